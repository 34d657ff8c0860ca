//! Statements around predicates against those that cosign 2.6.5 signs of the same files, byte for byte.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use tekseal_core::DigestRef;
use tekseal_core::predicate::{PredicateType, STATEMENT_END};

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "type")]
    name: String,
    predicate: String,
    statement: String,
}

/// What only cosign knew: when it ran.
fn time(statement: &str) -> &str {
    let found = statement.split_once(r#","Timestamp":""#);
    found.map_or("", |(_, rest)| rest.split('"').next().unwrap_or_default())
}

#[test]
fn statements_have_the_bytes_of_cosign() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/predicates");
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).expect("a list of cases");
    assert!(cases.len() >= 20, "only {}", cases.len());
    let image = format!("registry.example.com/team/app@sha256:{}", "ab".repeat(32));
    let image = DigestRef::parse(&image).expect("well formed");
    for case in cases {
        let wanted = String::from_utf8(read(&case.statement)).expect("JSON is UTF-8");
        let kind = PredicateType::parse(&case.name).expect(&case.name);
        let mut ours = kind.statement_start(&image);
        let predicate = read(&case.predicate);
        let told = format!("{} {}", case.name, case.predicate);
        kind.write(&mut &predicate[..], &mut ours, time(&wanted))
            .unwrap_or_else(|e| panic!("{told}: {e}"));
        ours.extend_from_slice(STATEMENT_END);
        assert_eq!(String::from_utf8_lossy(&ours), wanted, "{told}");
        assert_eq!(kind.has_time(), !time(&wanted).is_empty(), "{told}");
    }
}
