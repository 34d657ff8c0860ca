//! Values as literals of the languages inside policies: CEL, rego and JMESPath. None can end its literal.

/// A value that cannot be a literal of JMESPath in a policy of Kyverno.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{value:?} has {found:?}, which Kyverno would read as something else")]
pub(super) struct Unwritable {
    value: String,
    found: &'static str,
}

/// A string literal of CEL: <https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values>.
pub(super) fn cel(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A list literal of CEL.
pub(super) fn cel_list(values: &[String]) -> String {
    let values: Vec<_> = values.iter().map(|value| cel(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A string literal of rego, which is one of JSON: <https://www.openpolicyagent.org/docs/policy-language#strings>.
pub(super) fn rego(value: &str) -> String {
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

/// A set literal of rego. It has at least one value: `{}` would be an object.
pub(super) fn rego_set(values: &[String]) -> String {
    let values: Vec<_> = values.iter().map(|value| rego(value)).collect();
    format!("{{{}}}", values.join(", "))
}

/// A raw string literal of JMESPath (<https://jmespath.org/specification.html#raw-string-literals>) within `{{ }}` of Kyverno. Escapes
/// are read differently by libraries of JMESPath, so what needs one is refused.
pub(super) fn jmespath(value: &str) -> Result<String, Unwritable> {
    for found in ["'", "\\", "`", "{", "}"] {
        if value.contains(found) {
            return Err(Unwritable {
                value: value.to_owned(),
                found,
            });
        }
    }
    Ok(format!("'{}'", without_variables(value)?))
}

/// A value which Kyverno compares as it is: it substitutes `{{ }}` and `$( )` anywhere, and `*` and `?` stand for other characters.
pub(super) fn exact(value: &str) -> Result<&str, Unwritable> {
    for found in ["*", "?"] {
        if value.contains(found) {
            return Err(Unwritable {
                value: value.to_owned(),
                found,
            });
        }
    }
    without_variables(value)
}

/// A value in which Kyverno substitutes nothing.
pub(super) fn without_variables(value: &str) -> Result<&str, Unwritable> {
    for found in ["{{", "}}", "$("] {
        if value.contains(found) {
            return Err(Unwritable {
                value: value.to_owned(),
                found,
            });
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\" || true || \"\\\n}\r*/ allow { true } \u{2028}\u{1f512}";

    #[test]
    fn a_value_cannot_end_its_literal_of_cel() {
        assert_eq!(cel("https://a/b"), "\"https://a/b\"");
        assert_eq!(
            cel(HOSTILE),
            "\"a\\\" || true || \\\"\\\\\\U0000000a}\\U0000000d*/ allow { true } \\U00002028\\U0001f512\""
        );
        assert_eq!(cel_list(&["a".into(), "\"".into()]), r#"["a", "\""]"#);
    }

    #[test]
    fn a_value_cannot_end_its_literal_of_rego() {
        let literal = rego(HOSTILE);
        assert!(!literal.contains('\n'), "{literal}");
        let read: String = serde_json::from_str(&literal).expect("it is JSON");
        assert_eq!(read, HOSTILE);
        assert_eq!(rego_set(&["a".into(), "b\\".into()]), r#"{"a", "b\\"}"#);
    }

    #[test]
    fn kyverno_is_given_no_value_that_it_would_read_as_a_variable_or_a_pattern() {
        assert_eq!(
            jmespath("git+https://a/b.git?x=*"),
            Ok("'git+https://a/b.git?x=*'".to_owned())
        );
        for hostile in ["a'b", "a\\", "a`b", "{{ request.object }}", "}", "$(./x)"] {
            assert!(jmespath(hostile).is_err(), "{hostile}");
        }
        assert_eq!(
            exact("https://tekton.dev/chains/v2"),
            Ok("https://tekton.dev/chains/v2")
        );
        for hostile in ["*", "https://tekton.dev/?", "{{x}}", "x}}", "$(x)"] {
            assert!(exact(hostile).is_err(), "{hostile}");
        }
        let refused = exact("a*").expect_err("a pattern").to_string();
        assert_eq!(
            refused,
            "\"a*\" has \"*\", which Kyverno would read as something else"
        );
    }
}
