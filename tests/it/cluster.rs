//! The API server of the harness itself: it holds runs as a cluster does, tells who asked for what, and ends with its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Request, Run, object_path, peer_folder};

/// Set for the process that [`a_server_ends_with_its_process_however_that_ends`] starts: the file in which it says what it holds.
const HOLDER: &str = "TEKSEAL_TEST_HOLDER";

fn task_run(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"taskSpec": {"steps": [{"name": "build", "image": "example.com/build"}]}},
    })
}

fn completed(mut run: Value) -> Value {
    run["status"] = json!({
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
        "podName": "build-pod",
        "completionTime": "2026-03-01T10:01:00Z",
    });
    run
}

#[test]
fn a_watch_sees_a_run_created_and_completed() {
    let Some(api) = ApiServer::shared() else {
        return;
    };
    let namespace = api.namespace();
    let mut watch = api.watch(&format!(
        "/apis/tekton.dev/v1/namespaces/{namespace}/taskruns"
    ));

    let run = api.create(&task_run(&namespace, "build"));
    api.put_status(&completed(run));

    let added = watch.until(|event| event["type"] == "ADDED");
    assert_eq!(added["object"]["status"], Value::Null);
    let changed = watch.until(|event| event["type"] == "MODIFIED");
    assert_eq!(
        changed["object"]["status"]["conditions"][0]["reason"],
        "Succeeded"
    );

    let path = object_path(&task_run(&namespace, "build"));
    let marked = json!({"metadata": {"annotations": {"a": "b"}}});
    assert_eq!(
        api.patch(&path, &marked)["metadata"]["annotations"]["a"],
        "b"
    );
    api.delete(&path);
    assert_eq!(api.get(&path), None);
    watch.until(|event| event["type"] == "DELETED");
}

#[test]
fn a_service_account_may_do_what_its_role_says_and_the_audit_tells_it() {
    let Some(api) = ApiServer::shared() else {
        return;
    };
    let namespace = api.namespace();
    api.create(&task_run(&namespace, "build"));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace},
        "rules": [{"apiGroups": ["tekton.dev"], "resources": ["taskruns"], "verbs": ["get"]}],
    }));
    api.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }));
    let token = api.token_for(&namespace, "default");
    let config = fs::read_to_string(api.kubeconfig_for(&token)).expect("it was written");
    assert!(config.contains(&token) && config.contains(&api.url()));

    let reader = api.with_token(&token);
    let path = object_path(&task_run(&namespace, "build"));
    let send = |method: &str, target: &str, body: &str| {
        let request = Request::new(method, target)
            .header("User-Agent", "tester/1")
            .body("application/merge-patch+json", body.as_bytes());
        reader.send(&request).expect("the server answers").status
    };
    let audit = api.audit();
    // The server learns of the binding a moment after it is stored.
    let deadline = Instant::now() + Duration::from_secs(10);
    while send("GET", &path, "") != 200 {
        assert!(Instant::now() < deadline, "the role has no effect");
    }
    let patch = format!("{path}?fieldManager=tester");
    assert_eq!(send("PATCH", &patch, "{}"), 403);

    let mut seen = audit.requests();
    seen.retain(|request| request.namespace == namespace && request.verb != "get");
    let [request] = seen.as_slice() else {
        panic!("{seen:#?}");
    };
    assert_eq!(
        request.user,
        format!("system:serviceaccount:{namespace}:default")
    );
    assert_eq!(
        (
            request.verb.as_str(),
            request.resource.as_str(),
            request.name.as_str()
        ),
        ("patch", "taskruns", "build")
    );
    assert_eq!(
        (request.user_agent.as_str(), request.status),
        ("tester/1", 403)
    );
    assert_eq!(request.field_manager.as_deref(), Some("tester"));
}

#[test]
fn a_server_that_is_killed_comes_back_with_what_it_had() {
    let Some(mut api) = ApiServer::start() else {
        return;
    };
    let namespace = api.namespace();
    let run = task_run(&namespace, "build");
    let made = api.create(&run);
    let mut watch = api.watch(&format!(
        "/apis/tekton.dev/v1/namespaces/{namespace}/taskruns"
    ));
    watch.until(|event| event["object"]["metadata"]["uid"] == made["metadata"]["uid"]);

    api.stop();
    assert_eq!(watch.next_within(Duration::from_secs(10)), None);
    assert!(api.send(&Request::new("GET", "/version")).is_err());

    api.restart();
    let kept = api
        .get(&object_path(&run))
        .expect("etcd kept the run and its definition");
    assert_eq!(kept["metadata"]["uid"], made["metadata"]["uid"]);
}

#[test]
fn a_server_ends_with_its_process_however_that_ends() {
    // In this process, so that a missing peer is told of here.
    if ApiServer::shared().is_none() {
        return;
    }
    let peers = peer_folder();
    let cache = peers.parent().expect("the peers are in the cache");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let holders = ["INT", "KILL"].map(|signal| {
        let said = folder.path().join(signal);
        let holder = std::env::current_exe().expect("a process has an executable");
        // Whoever starts the tests in the background of a script lets them ignore ctrl-C, and all that they start.
        let running = Run::new("env")
            .arg("--default-signal=INT")
            .arg(holder)
            .args(["--ignored", "--exact", "cluster::holds_a_server"])
            .env(HOLDER, &said)
            .env("TEKSEAL_CACHE", cache)
            .start();
        (signal, said, running)
    });
    for (signal, said, running) in holders {
        until("the holder has started its server", || said.exists());
        let held = fs::read_to_string(&said).expect("it was written");
        let held: Vec<PathBuf> = held.lines().map(PathBuf::from).collect();
        assert!(
            held.len() == 3 && held.iter().all(|path| path.exists()),
            "{held:?}"
        );

        running.signal(signal);
        let left = || -> Vec<&PathBuf> { held.iter().filter(|path| is_left(path)).collect() };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !left().is_empty() {
            assert!(
                Instant::now() < deadline,
                "left after {signal}: {:?}",
                left()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = running.wait();
    }
}

/// A process that has ended stays in the list of processes until its parent, now the machine's init, has taken note of that; some take their time.
fn is_left(path: &Path) -> bool {
    let Ok(stat) = fs::read_to_string(path.join("stat")) else {
        return path.exists();
    };
    let (_, state) = stat.rsplit_once(") ").expect("the name is in brackets");
    !state.starts_with('Z')
}

#[test]
#[ignore = "the process that is killed by a_server_ends_with_its_process_however_that_ends"]
fn holds_a_server() {
    let Some(said) = std::env::var_os(HOLDER) else {
        return;
    };
    let api = ApiServer::start().expect("the peers were found before");
    let mut held: Vec<String> = api
        .processes()
        .iter()
        .map(|id| format!("/proc/{id}"))
        .collect();
    held.push(api.folder().display().to_string());
    let young = Path::new(&said).with_extension("young");
    fs::write(&young, held.join("\n")).expect("the folder is writable");
    fs::rename(young, said).expect("the folder is writable");
    loop {
        std::thread::park();
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
