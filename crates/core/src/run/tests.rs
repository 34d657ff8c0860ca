use super::*;
use crate::gojson::Writer;
use crate::typed::Encoding;

fn task_run(rest: &str) -> String {
    format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRun","metadata":{{"name":"r","namespace":"n"}}{rest}}}"#
    )
}

const DONE: &str = r#","status":{"conditions":[{"type":"Succeeded","status":"True"}]}"#;

fn read(text: &str) -> Result<CompletedRun<'_>, Error> {
    CompletedRun::from_json(text.as_bytes(), &[], MissingChildren::Refuse)
}

/// An error with what caused it.
fn chain(error: &Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn a_run_that_is_not_done_is_refused() {
    let running = task_run(r#","status":{"conditions":[{"type":"Succeeded","status":"Unknown"}]}"#);
    let error = read(&running).expect_err("it runs");
    assert_eq!(
        error.to_string(),
        "TaskRun n/r is not completed: its condition Succeeded is Unknown"
    );
    let unborn = task_run("");
    assert!(matches!(read(&unborn), Err(Error::NotCompleted { .. })));
}

#[test]
fn other_kinds_and_garbage_are_refused() {
    assert!(matches!(
        read(r#"{"apiVersion":"v1","kind":"Pod"}"#),
        Err(Error::Kind { .. })
    ));
    assert!(matches!(read("{"), Err(Error::Json(_))));
    assert!(matches!(read("[]"), Err(Error::Json(_))));
    assert!(matches!(
        read(r#"{"kind":"TaskRun"}"#),
        Err(Error::Kind { .. })
    ));
    let trailing = format!("{} x", task_run(DONE));
    assert!(matches!(read(&trailing), Err(Error::Field(_))));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(read(&deep), Err(Error::Json(_))));
    let nested = r#"{"retriesStatus":["#.repeat(1000);
    let nested = task_run(&format!(r#","status":{nested}"#));
    assert!(matches!(read(&nested), Err(Error::Field(_))));
}

#[test]
fn an_error_names_the_field() {
    for (rest, wanted) in [
        (
            r#","spec":{"params":[{"name":"a","value":"b"},{"name":1}]}"#,
            "the run's field spec.params[1].name is not as Tekton writes it: invalid type: integer `1`, expected a string",
        ),
        (r#","metadata":{"labels":{"a b":{}}}"#, "metadata"),
        (
            r#","spec":{"podTemplate":{"nodeSelector":{"x":["y"]}}}"#,
            r#"spec.podTemplate.nodeSelector["x"]"#,
        ),
        (r#","spec":{"timeout":"1 hour"}"#, "spec.timeout"),
        (r#","spec":{"retries":1.5}"#, "spec.retries"),
        (r#","status":{"startTime":"yesterday"}"#, "status.startTime"),
        (
            r#","spec":{"computeResources":{"limits":{"cpu":"much"}}}"#,
            r#"spec.computeResources.limits["cpu"]"#,
        ),
        (
            r#","spec":{"retries":1,"retries":2}"#,
            "duplicate field `retries`",
        ),
    ] {
        let text = task_run(rest);
        let error = read(&text).expect_err("a field is wrong");
        assert!(chain(&error).contains(wanted), "{}", chain(&error));
    }
}

#[test]
fn null_is_absent_and_unknown_fields_are_passed_over() {
    let text = task_run(
        r#","spec":null,"unknown":{"spec":[1]},"status":{"results":null,"podName":null,"conditions":[{"type":"Succeeded","status":"False"}]}"#,
    );
    let run = read(&text).expect("a completed run");
    assert!(!run.succeeded());
    assert_eq!(run.run().results().count(), 0);
}

#[test]
fn the_older_version_is_read_at_its_old_places() {
    let text = r#"{"apiVersion":"tekton.dev/v1beta1","kind":"TaskRun","metadata":{"name":"r"},
        "spec":{"stepOverrides":[{"name":"s","resources":{"limits":{"cpu":"0.5"}}}],"resources":{"inputs":[]}},
        "status":{"conditions":[{"type":"Succeeded","status":"True"}],"taskResults":[{"name":"IMAGE_URL","value":"x"}],
          "taskSpec":{"steps":[{"name":"s","resources":{"requests":{"memory":"1024Mi"}}}]}}}"#;
    let run = read(text).expect("a completed run");
    assert_eq!(run.run().results().next().map(|r| r.text()), Some("x"));
    let mut writer = Writer::new(crate::gojson::Escape::Go);
    run.run().object().write(&mut writer, Encoding::Go);
    let bytes = writer.finish().expect("the run can be written");
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        concat!(
            r#"{"kind":"TaskRun","apiVersion":"tekton.dev/v1","metadata":{"name":"r"},"spec":{"serviceAccountName":"","#,
            r#""stepSpecs":[{"name":"s","computeResources":{"limits":{"cpu":"500m"}}}]},"#,
            r#""status":{"conditions":[{"type":"Succeeded","status":"True","lastTransitionTime":null}],"podName":"","#,
            r#""results":[{"name":"IMAGE_URL","value":"x"}],"taskSpec":{"steps":[{"name":"s","computeResources":{"requests":{"memory":"1Gi"}}}]}}}"#,
        )
    );
    let text = r#"{"apiVersion":"tekton.dev/v1beta1","kind":"PipelineRun","metadata":{"name":"p"},
        "spec":{"timeout":"90m","serviceAccountName":"sa","podTemplate":{"schedulerName":"x"},
          "taskRunSpecs":[{"pipelineTaskName":"t","taskServiceAccountName":"other"}]},
        "status":{"conditions":[{"type":"Succeeded","status":"True"}],"pipelineResults":[{"name":"a","value":"b"}]}}"#;
    let run = read(text).expect("a completed run");
    let mut writer = Writer::new(crate::gojson::Escape::Proto);
    run.run().write_spec(&mut writer);
    let bytes = writer.finish().expect("the specification can be written");
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        concat!(
            r#"{"taskRunSpecs":[{"pipelineTaskName":"t","serviceAccountName":"other"}],"#,
            r#""taskRunTemplate":{"podTemplate":{"schedulerName":"x"},"serviceAccountName":"sa"},"timeouts":{"pipeline":"1h30m0s"}}"#,
        )
    );
    assert_eq!(run.run().results().count(), 1);
}

fn pipeline_run(references: &str) -> String {
    format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"PipelineRun","metadata":{{"name":"p","namespace":"n"}},
        "status":{{"conditions":[{{"type":"Succeeded","status":"True"}}],"childReferences":{references},
        "pipelineSpec":{{"tasks":[{{"name":"b"}},{{"name":"a"}}],"finally":[{{"name":"z"}}]}}}}}}"#
    )
}

fn child(name: &str, task: &str, completed: bool) -> String {
    let time = if completed {
        r#""completionTime":"2026-03-01T10:00:00Z""#
    } else {
        ""
    };
    format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"tekton.dev/pipelineTask":"{task}"}}}},"status":{{{time}}}}}"#
    )
}

fn with_children<'a>(
    run: &'a str,
    children: &'a [String],
    missing: MissingChildren,
) -> Result<CompletedRun<'a>, Error> {
    let documents: Vec<_> = children
        .iter()
        .map(|text| ChildDocument {
            name: "child.json",
            bytes: text.as_bytes(),
        })
        .collect();
    CompletedRun::from_json(run.as_bytes(), &documents, missing)
}

fn names(run: &CompletedRun<'_>) -> Vec<String> {
    run.executed().map(|c| c.name().to_owned()).collect()
}

#[test]
fn children_are_those_that_the_run_names_in_the_order_of_its_tasks() {
    let run = pipeline_run(
        r#"[{"kind":"TaskRun","name":"z1"},{"kind":"TaskRun","name":"a2"},{"kind":"TaskRun","name":"b1"},{"kind":"TaskRun","name":"a1"}]"#,
    );
    let children = ["a1:a", "a2:a", "b1:b", "z1:z", "foreign:a"].map(|text| {
        let (name, task) = text.split_once(':').expect("written so above");
        child(name, task, true)
    });
    let run = with_children(&run, &children, MissingChildren::Refuse).expect("all are there");
    assert_eq!(names(&run), ["b1", "a2", "a1", "z1"]);
    let unnamed = pipeline_run("null");
    let run = with_children(&unnamed, &children, MissingChildren::Refuse).expect("all are taken");
    assert_eq!(names(&run), ["b1", "a1", "a2", "foreign", "z1"]);
}

#[test]
fn absent_children_are_refused_by_name_unless_allowed() {
    let run = pipeline_run(
        r#"[{"kind":"TaskRun","name":"a1"},{"kind":"CustomRun","name":"c"},{"kind":"TaskRun","name":"b1"},{"kind":"TaskRun","name":"gone"}]"#,
    );
    let children = [child("a1", "a", true), child("b1", "b", false)];
    let error = with_children(&run, &children, MissingChildren::Refuse).expect_err("three lack");
    assert_eq!(
        error.to_string(),
        "PipelineRun n/p lacks children: CustomRun c is no TaskRun, so its steps are unknown; \
         TaskRun b1 is not completed; TaskRun gone was not found"
    );
    let run = with_children(&run, &children, MissingChildren::Allow).expect("they may lack");
    assert_eq!(names(&run), ["a1"]);
    assert_eq!(run.absent_children().len(), 3);
}

#[test]
fn a_task_run_of_another_namespace_is_no_child() {
    let run = pipeline_run(r#"[{"kind":"TaskRun","name":"a1"}]"#);
    let own = child("a1", "a", true);
    let foreign = own.replace(r#""name":"a1""#, r#""name":"a1","namespace":"other""#);
    let children = [foreign.clone()];
    let error = with_children(&run, &children, MissingChildren::Refuse).expect_err("it lacks");
    assert!(error.to_string().contains("TaskRun a1 was not found"));
    let children = [own, foreign];
    let run = with_children(&run, &children, MissingChildren::Refuse).expect("its own is there");
    assert_eq!(run.executed().next().map(Run::namespace), Some(""));
}

#[test]
fn a_task_run_of_another_pipeline_run_is_no_child() {
    let run = pipeline_run(r#"[{"kind":"TaskRun","name":"a1"}]"#)
        .replace(r#""name":"p","#, r#""name":"p","uid":"u1","#);
    let owned = |uid: &str| {
        let owner =
            format!(r#""ownerReferences":[{{"kind":"PipelineRun","uid":"{uid}"}}],"name":"a1""#);
        [child("a1", "a", true).replace(r#""name":"a1""#, &owner)]
    };
    assert!(with_children(&run, &owned("u1"), MissingChildren::Refuse).is_ok());
    let error =
        with_children(&run, &owned("u2"), MissingChildren::Refuse).expect_err("not its own");
    assert!(error.to_string().contains("TaskRun a1 was not found"));
}

#[test]
fn a_child_may_be_given_twice_but_not_in_two_forms() {
    let run = pipeline_run(r#"[{"kind":"TaskRun","name":"a1"}]"#);
    let one = child("a1", "a", true);
    let same = [one.clone(), one.clone()];
    let run_once = with_children(&run, &same, MissingChildren::Refuse).expect("they are one");
    assert_eq!(names(&run_once), ["a1"]);
    let differing = [one.clone(), one.replace("2026", "2027")];
    let error = with_children(&run, &differing, MissingChildren::Allow).expect_err("they differ");
    assert!(error.to_string().contains("given twice"));
}

#[test]
fn half_a_character_is_refused_wherever_it_stands() {
    for value in [r#""\ud800""#, r#"["a","\ud800"]"#, r#"{"\ud800":"a"}"#] {
        let text = task_run(&format!(
            r#","spec":{{"params":[{{"name":"a","value":{value}}}]}}"#
        ));
        let error = read(&text).expect_err("it is no text");
        assert!(
            chain(&error).contains("spec.params[0].value"),
            "{}",
            chain(&error)
        );
    }
}

#[test]
fn a_child_that_cannot_be_read_is_named() {
    let run = pipeline_run("[]");
    let children = [r#"{"spec":{"params":7}}"#.to_owned()];
    let error = with_children(&run, &children, MissingChildren::Allow).expect_err("it is no run");
    assert!(
        chain(&error).starts_with("child document child.json: the run's field spec.params is not"),
        "{}",
        chain(&error)
    );
}

#[test]
fn what_a_controller_wrote_on_a_run_is_forgotten_and_what_a_user_wrote_is_not() {
    let annotations = |annotations: &str| {
        let metadata = format!(r#""namespace":"n"{annotations}"#);
        let text = task_run(DONE).replace(r#""namespace":"n""#, &metadata);
        let mut run = read(&text).expect("it is completed");
        run.forget_marks();
        let mut writer = Writer::new(crate::gojson::Escape::Go);
        run.run().write_metadata("annotations", &mut writer);
        String::from_utf8(writer.finish().expect("it is written")).expect("it is JSON")
    };
    let told = r#""tekseal.dev/reason":"it waits","chains.tekton.dev/retries":"0""#;
    let both = format!(r#","annotations":{{{told},"mine":"a"}}"#);
    assert_eq!(annotations(&both), r#"{"mine":"a"}"#);
    let only_marks = format!(r#","annotations":{{{told}}}"#);
    assert_eq!(annotations(&only_marks), annotations(""));
}

#[test]
fn marks_of_chains_alone_stay_for_the_tools_and_those_of_a_controller_of_ours_go() {
    let annotations = |annotations: &str| {
        let metadata = format!(r#""namespace":"n","annotations":{{{annotations}}}"#);
        let text = task_run(DONE).replace(r#""namespace":"n""#, &metadata);
        let mut run = read(&text).expect("it is completed");
        run.forget_marks_of_ours();
        let mut writer = Writer::new(crate::gojson::Escape::Go);
        run.run().write_metadata("annotations", &mut writer);
        String::from_utf8(writer.finish().expect("it is written")).expect("it is JSON")
    };
    let chains = r#""chains.tekton.dev/signed":"true","tekseal.dev/mine":"a""#;
    assert_eq!(annotations(chains), format!("{{{chains}}}"));
    let ours = format!(r#"{chains},"tekseal.dev/record":"r""#);
    assert_eq!(annotations(&ours), r#"{"tekseal.dev/mine":"a"}"#);
}

#[test]
fn a_payload_ends_where_its_reader_takes_no_more() {
    use crate::config::Config;
    use crate::format::Format;
    use crate::hints;

    let params = format!(
        r#""spec":{{"params":[{{"name":"a","value":"{}"}}]}}"#,
        "<".repeat(1000)
    );
    let text = task_run(DONE).replacen("{", &format!("{{{params},"), 1);
    let size = |format: Format, most: usize| {
        let mut run = read(&text).expect("it is completed");
        run.limit_payloads(most);
        let observed = hints::observe(&run);
        let config = Config::of_a_step();
        let payload = format.payload(&run, &observed, config.settings(&run));
        payload.map(|payload| payload.bytes().len())
    };
    for format in Format::ALL {
        let whole = size(format, usize::MAX).expect("there is no limit");
        assert!(whole > 1000, "{format:?} has the parameter: {whole}");
        assert_eq!(size(format, whole), Ok(whole));
        let refused = crate::format::Error::PayloadSize(PayloadSize::Limit(whole - 1));
        assert_eq!(size(format, whole - 1), Err(refused));
    }
}
