//! The tables in `tests/fixtures/go`: texts, and what Go made of them. For tests only.

use serde::Deserialize;

/// One text, and what Go made of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// The text that went in.
    #[serde(rename = "in")]
    pub(crate) text: String,
    /// What came out.
    pub(crate) out: Option<String>,
    /// Times only: as `time.Time`.
    pub(crate) nano: Option<String>,
    /// Times and strings only: as protojson.
    pub(crate) proto: Option<String>,
    /// Why nothing came out.
    pub(crate) error: Option<String>,
}

/// All rows of the table `name`.
pub(crate) fn rows(name: &str) -> Vec<Row> {
    let path = format!(
        "{}/../../tests/fixtures/go/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).expect("the tables are beside the sources");
    let rows: Vec<Row> = serde_json::from_str(&text).expect("tables are lists of rows");
    assert!(rows.len() > 300, "{path} has only {} rows", rows.len());
    rows
}

/// Compares what Go made of each text with what `ours` makes of it: an error where Go has an error, else the same text.
pub(crate) fn compare<E: std::fmt::Debug>(name: &str, ours: impl Fn(&str) -> Result<String, E>) {
    let mut wrong = Vec::new();
    for row in rows(name) {
        let got = ours(&row.text);
        let is_same = match (&got, &row.out) {
            (Ok(got), Some(out)) => got == out,
            (Err(_), None) => true,
            _ => false,
        };
        if !is_same {
            wrong.push((row, got));
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}

/// Random cases that are the same in every run.
pub(crate) fn fixed_cases() -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: 1000,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..Default::default()
    }
}
