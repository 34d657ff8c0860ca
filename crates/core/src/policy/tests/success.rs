//! Whether the run succeeded.

use super::*;

#[test]
fn a_run_of_which_one_task_did_not_succeed_did_not() {
    let succeeded = || Draft {
        require_success: true,
        ..Draft::default()
    };
    let tasks = |tasks: Value| {
        let predicate = with(&v02(), "/buildConfig/tasks", tasks);
        only(succeeded(), PROVENANCE_V02, &predicate)
    };
    let good = json!({"status": "Succeeded"});
    assert_eq!(tasks(json!([good])).found, "1 of 1 tasks");
    for (list, found, path) in [
        (
            json!([good, {"status": "Failed"}]),
            "Failed",
            "predicate.buildConfig.tasks[1].status",
        ),
        (
            json!([good, {}]),
            "nothing",
            "predicate.buildConfig.tasks[1].status",
        ),
        (
            json!([{"status": "succeeded"}]),
            "succeeded",
            "predicate.buildConfig.tasks[0].status",
        ),
        (
            json!([]),
            "no task whose status is told",
            "predicate.buildConfig.tasks",
        ),
        (
            json!(null),
            "no task whose status is told",
            "predicate.buildConfig.tasks",
        ),
    ] {
        let check = tasks(list.clone());
        assert_eq!(
            (check.passed, check.found.as_str(), check.path.as_str()),
            (false, found, path),
            "{list}"
        );
    }
    for wrong in [
        json!({}),
        json!([["Succeeded"]]),
        json!([{"status": true}]),
        json!(["Succeeded"]),
    ] {
        assert!(!tasks(wrong.clone()).passed, "{wrong}");
    }
    // Of a TaskRun v0.2 tells the steps.
    let steps = with(&v02(), "/buildConfig", json!({"steps": [{}]}));
    assert!(!only(succeeded(), PROVENANCE_V02, &steps).passed);
}

#[test]
fn v1_tells_success_in_the_runs_of_its_tasks() {
    let succeeded = || Draft {
        require_success: true,
        ..Draft::default()
    };
    let check = |contents: &[String]| {
        let list: Value = contents
            .iter()
            .map(|content| json!({"name": "pipelineTask", "content": content}))
            .collect();
        let predicate = with(&v1(), "/buildDefinition/resolvedDependencies", list);
        only(succeeded(), PROVENANCE_V1, &predicate)
    };
    let encoded = |run: &str| STANDARD.encode(run);
    assert_eq!(
        check(&[task_run("True"), task_run("True")]).found,
        "2 of 2 tasks"
    );
    let failed = check(&[task_run("True"), task_run("False")]);
    assert_eq!(
        (failed.passed, failed.found.as_str()),
        (false, "Succeeded=False")
    );
    assert_eq!(
        failed.path,
        "predicate.buildDefinition.resolvedDependencies[1].content"
    );
    let two = r#"{"status":{"conditions":[{"type":"Succeeded","status":"True"},{"type":"Succeeded","status":"False"}]}}"#;
    let twice =
        r#"{"status":{"conditions":[{"type":"Succeeded","status":"False","status":"True"}]}}"#;
    let deep = "[".repeat(100_000);
    for content in [
        String::new(),
        "not base64".to_owned(),
        encoded("{}"),
        encoded(r#"{"status":{"conditions":[]}}"#),
        encoded(two),
        encoded(twice),
        encoded(&deep),
    ] {
        let check = check(&[task_run("True"), content.clone()]);
        assert!(!check.passed, "{content:.60}");
    }
    assert!(!check(&[]).passed);
    let plain = with(
        &v1(),
        "/buildDefinition/buildType",
        json!("https://tekton.dev/chains/v2/slsa"),
    );
    let check = only(succeeded(), PROVENANCE_V1, &plain);
    assert_eq!(check.found, "a build type that does not tell");
}
