use kube::config::Kubeconfig;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn only(text: &str) -> Value {
    let mut documents = read(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0).to_json()
}

fn refusal(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("it is read: {text}"),
        Err(error) => error.to_string(),
    }
}

/// What a whole reader of YAML makes of a value, through the client that brings one.
fn peer(text: &str) -> Option<Value> {
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let config = Kubeconfig::from_yaml(&format!("other:\n{indented}")).ok()?;
    config.other.get("other").cloned()
}

#[test]
fn a_kubeconfig_as_command_lines_write_it_is_read() {
    let text = r#"apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QUJD
    server: https://127.0.0.1:6443   # here
  name: 'it''s'
contexts: []
current-context: "a\tb"
kind: Config
preferences: {}
users:
  - name: gke
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1beta1
        args:
        - --region
        - eu: west
        command: gke-gcloud-auth-plugin
        env: null
        installHint: Install gke-gcloud-auth-plugin for use with kubectl by following
          https://cloud.google.com/kubernetes-engine/docs/how-to/kubectl-auth#configure

          and so on
        provideClusterInfo: true
"#;
    assert_eq!(
        only(text),
        json!({
            "apiVersion": "v1",
            "clusters": [{
                "cluster": {"certificate-authority-data": "QUJD", "server": "https://127.0.0.1:6443"},
                "name": "it's",
            }],
            "contexts": [],
            "current-context": "a\tb",
            "kind": "Config",
            "preferences": {},
            "users": [{"name": "gke", "user": {"exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "args": ["--region", {"eu": "west"}],
                "command": "gke-gcloud-auth-plugin",
                "env": null,
                "installHint": "Install gke-gcloud-auth-plugin for use with kubectl by following https://cloud.google.com/kubernetes-engine/docs/how-to/kubectl-auth#configure\nand so on",
                "provideClusterInfo": true,
            }}}],
        })
    );
}

#[test]
fn json_is_read() {
    let value = json!({"a": [1, true, null, "x\u{1f600}\"\\/\n", {}, []], "b": {"c": "d: e # f"}});
    assert_eq!(only(&value.to_string()), value);
    let pretty = serde_json::to_string_pretty(&value).expect("it is JSON");
    assert_eq!(only(&pretty), value);
    assert_eq!(only(&pretty.replace("  ", "\t")), value);
    assert_eq!(only(r#"{"a":"\ud83d\ude00"}"#), json!({"a": "\u{1f600}"}));
}

/// Each of these is read as another reader reads it.
#[test]
fn what_is_read_is_what_another_reader_reads() {
    for text in [
        "a: b",
        "a:\n- b\n-   c\n- - d\n  - e\n-\n  f: g\n- h: i\n  j: k",
        "a: |\n  b\n   c\n\n  d\n\n",
        "a: |-\n  b\nc: |+\n  d\n\ne: f",
        "a: >\n  b\n  c\n\n  d\n   e\n  f\n",
        "a: >-\n  b\n\n\n  c\nd: 'e\n  f\n\n  g'",
        "a: \"b \\\n   c\\n\n   d\"",
        "a: {b: c, d: [e, 'f', \"g\"], h: , i}\nj: []".trim_end_matches(", i}\nj: []"),
        "a: {b: c, d: [e, 'f', \"g\"],\n  h: i}\nj: []",
        "# x\na: b # c\n\n# d\ne: 'f # g' # h\ni: j#k",
        "a: http://b:1/c?d=e#f",
        "\"a: b\": c\n'd': e",
        "a: b c\n  d\n\n  e # f",
        "a: ~\nb: null\nc:\nd: ''\ne: true\nf: 12\ng: \"12\"",
        "- a\n- b: c",
        "a: |2\n   b\n  c",
        "a:   # x\n  b: c",
        "a: -1\nb: -x\nc: a - b\nd: 1.5",
    ] {
        if let Some(theirs) = peer(text) {
            assert_eq!(only(text), theirs, "{text}");
        } else {
            refusal(text);
        }
    }
}

#[test]
fn what_may_mean_something_else_is_refused_with_its_line() {
    for (text, said) in [
        ("a: &b c", "line 1: anchors"),
        ("a: *b", "line 1: anchors"),
        ("a: !!str b", "line 1: anchors"),
        ("a: b\na: c", "line 2: its key stands there twice"),
        ("{a: b, a: c}", "line 1: its key stands there twice"),
        ("a: b: c", "line 1: it has two keys"),
        ("a: b\n  c: d", "line 2: it has a key, and the value before"),
        ("a: [b", "line 1: it does not end"),
        ("a: 'b", "line 1: it does not end"),
        ("a:\n\tb: c", "line 2: it is indented with a tab"),
        ("a:\n   b: c\n  d: e", "line 3: it does not belong"),
        ("  a: b\nc: d", "line 2: it does not belong"),
        ("a: b\nc", "line 2: it has no key"),
        ("- a\nb: c", "line 2: it does not belong"),
        ("a: - b", "line 1: it must be in quotes"),
        ("a: 'b' c", "line 1: something follows the value"),
        ("a: [b c: d]", "line 1: a comma is missing"),
        ("a: \"\\q\"", "line 1: there is no such escape"),
        ("a: \"\\ud83d\"", "line 1: there is no such escape"),
        ("a: |x\n  b", "line 1: something follows the sign"),
        ("not: [a, kubeconfig", "line 1: it does not end"),
    ] {
        let refused = refusal(text);
        assert!(refused.starts_with(said), "{text}: {refused}");
    }
}

#[test]
fn what_is_nested_or_large_without_end_is_refused() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        (0..1000)
            .map(|at| format!("{}a:\n", " ".repeat(at)))
            .collect(),
    ] {
        assert!(refusal(&text).contains("it is nested too deeply"));
    }
    let many = format!("a: [{}]", "b, ".repeat(MOST_NODES + 1));
    assert!(refusal(&many).contains("there are too many values"));
}

#[test]
fn several_documents_are_told_apart() {
    let documents = read("---\na: b\n---\n# nothing\n---\nc: d\n...\n").expect("it is YAML");
    let found: Vec<Value> = documents.iter().map(Node::to_json).collect();
    assert_eq!(found, [json!({"a": "b"}), json!({"c": "d"})]);
    assert_eq!(only(""), json!(null));
    assert_eq!(
        only("\u{feff}a: b\r\nc: d\r\n"),
        json!({"a": "b", "c": "d"})
    );
}

proptest! {
    /// Whatever is read at all is read as another reader reads it; and nothing makes a panic.
    #[test]
    fn nothing_is_read_otherwise(text in "([a-c\"'#:|>{}, \\[\\]-]|: |- |\n|\n  |\n    |\\\\n|~|1){1,24}") {
        let text = text.trim_matches('\n');
        if let Ok(documents) = read(&format!("k:\n{}", text.lines().map(|line| format!("  {line}\n")).collect::<String>()))
            && let Some(theirs) = peer(text)
        {
            let ours = documents[0].get("k").map(Node::to_json);
            prop_assert_eq!(ours, Some(theirs));
        }
    }
}
