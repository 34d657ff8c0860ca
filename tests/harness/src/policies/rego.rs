//! OPA, which evaluates Rego over a JSON document; and reads YAML, which nothing else of the tests does.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Verdict, confined, peers};
use crate::run::Run;

/// The program.
pub struct Opa {
    program: PathBuf,
}

impl Opa {
    /// `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it is missing and `CI` is `true`.
    #[must_use]
    pub fn find() -> Option<Self> {
        Some(Self {
            program: peers::find("opa")?,
        })
    }

    /// What the rule at `query` (`data.PACKAGE.allow`) says of a document.
    ///
    /// # Panics
    ///
    /// When the policy is none, or has no such rule, or it says something else than true and false.
    #[must_use]
    #[track_caller]
    pub fn judge(&self, policy: &Path, query: &str, document: &str) -> Verdict {
        verdict(query, self.eval(policy, query, document).as_ref())
    }

    /// The value of a rule; `None` where it has none.
    ///
    /// # Panics
    ///
    /// When the policy is none.
    #[must_use]
    #[track_caller]
    pub fn eval(&self, policy: &Path, query: &str, document: &str) -> Option<Value> {
        let run = confined(Run::new(&self.program))
            .args(["eval", "--format", "json", "--stdin-input", "--data"])
            .arg(policy)
            .arg(query)
            .stdin(document);
        value(run.ok().json())
    }

    /// What a YAML file with one document holds.
    ///
    /// # Panics
    ///
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn yaml(&self, file: &Path) -> Value {
        let run = confined(Run::new(&self.program))
            .args(["eval", "--format", "json", "--data"])
            .arg(format!("file.document:{}", file.display()))
            .arg("data.file.document");
        let value = value(run.ok().json());
        value.unwrap_or_else(|| panic!("{} holds nothing", file.display()))
    }
}

fn value(mut answer: Value) -> Option<Value> {
    let value = answer.pointer_mut("/result/0/expressions/0/value")?;
    Some(value.take())
}

#[track_caller]
fn verdict(query: &str, value: Option<&Value>) -> Verdict {
    match value {
        Some(Value::Bool(true)) => Verdict::Accepted,
        Some(Value::Bool(false)) => Verdict::refused(format!("{query} is false")),
        None => panic!("OPA loaded no rule {query}"),
        Some(value) => panic!("{query} is neither true nor false: {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rule_says_yes_or_no() {
        let answer = |value: Value| json!({"result": [{"expressions": [{"value": value}]}]});
        let judged = |value| verdict("data.p.allow", self::value(answer(value)).as_ref());
        assert_eq!(judged(json!(true)), Verdict::Accepted);
        assert_eq!(
            judged(json!(false)),
            Verdict::Refused("data.p.allow is false".to_owned())
        );
    }

    #[test]
    #[should_panic(expected = "no rule data.p.allow")]
    fn a_policy_without_the_rule_is_no_verdict() {
        let _ = verdict("data.p.allow", value(json!({})).as_ref());
    }

    #[test]
    #[should_panic(expected = "neither true nor false")]
    fn a_rule_that_is_no_decision_is_no_verdict() {
        let _ = verdict("data.p.allow", Some(&json!([])));
    }
}
