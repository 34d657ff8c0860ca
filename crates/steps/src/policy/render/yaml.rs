//! YAML 1.2 as policies need it: a tree, and one way to write it.
//!
//! Values reach a document only through [`Node`], so none can become structure: what is not plainly a word is quoted, and everything that could
//! be read as something else is escaped. Texts of several lines stand as block scalars, since people read keys and rego there.
//!
//! Specification: <https://yaml.org/spec/1.2.2/> (7.3.1 double-quoted, 7.3.3 plain, 8.1.2 literal).

/// A node of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// Keys in the order in which they are written.
    Map(Vec<(&'static str, Node)>),
    /// Keys that are values of somebody, such as scopes of a registry.
    Named(Vec<(String, Node)>),
    List(Vec<Node>),
    Text(String),
    Number(u32),
    Switch(bool),
}

/// A map of these pairs.
pub(super) fn map<const N: usize>(pairs: [(&'static str, Node); N]) -> Node {
    Node::Map(pairs.into())
}

/// A text.
pub(super) fn text(value: impl Into<String>) -> Node {
    Node::Text(value.into())
}

/// A list of one.
pub(super) fn only(item: Node) -> Node {
    Node::List(vec![item])
}

/// A list of texts.
pub(super) fn texts<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Node {
    Node::List(values.into_iter().map(text).collect())
}

impl Node {
    /// The same map with one more pair, where there is one.
    #[must_use]
    pub(super) fn with(mut self, key: &'static str, value: Option<Node>) -> Self {
        if let (Self::Map(pairs), Some(value)) = (&mut self, value) {
            pairs.push((key, value));
        }
        self
    }

    /// The document, each line ended.
    pub(super) fn document(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    /// Writes it on lines of its own, `indent` blanks before each.
    fn write(&self, indent: usize, out: &mut String) {
        match self {
            Self::Map(pairs) if !pairs.is_empty() => {
                for (key, value) in pairs {
                    pair(key, value, indent, out);
                }
            }
            Self::Named(pairs) if !pairs.is_empty() => {
                for (key, value) in pairs {
                    pair(key, value, indent, out);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for item in items {
                    let mut lines = String::new();
                    item.write(indent + STEP, &mut lines);
                    blanks(indent, out);
                    out.push_str("- ");
                    // The first line stands behind the dash.
                    out.push_str(lines.trim_start_matches(' '));
                }
            }
            _ => {
                blanks(indent, out);
                out.push_str(&self.inline(indent));
                out.push('\n');
            }
        }
    }

    /// It in the rest of a line, and for a block on lines that follow it.
    fn inline(&self, indent: usize) -> String {
        match self {
            Self::Map(_) | Self::Named(_) => "{}".to_owned(),
            Self::List(_) => "[]".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Switch(is_on) => is_on.to_string(),
            Self::Text(value) => block(value, indent).unwrap_or_else(|| scalar(value)),
        }
    }
}

/// Blanks by which what belongs to a line is indented.
const STEP: usize = 2;

fn blanks(count: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', count));
}

fn pair(key: &str, value: &Node, indent: usize, out: &mut String) {
    blanks(indent, out);
    out.push_str(&scalar(key));
    out.push(':');
    let is_nested = match value {
        Node::Map(pairs) => !pairs.is_empty(),
        Node::Named(pairs) => !pairs.is_empty(),
        Node::List(items) => !items.is_empty(),
        Node::Text(_) | Node::Number(_) | Node::Switch(_) => false,
    };
    if is_nested {
        out.push('\n');
        value.write(indent + STEP, out);
        return;
    }
    out.push(' ');
    out.push_str(&value.inline(indent + STEP));
    out.push('\n');
}

/// A literal block, where the text is one of several lines that a block gives back to the last byte.
fn block(value: &str, indent: usize) -> Option<String> {
    let (lines, chomping) = match value.strip_suffix('\n') {
        Some(lines) => (lines, "|"),
        None => (value, "|-"),
    };
    let is_plain =
        |line: &str| line.bytes().all(|b| (b' '..=b'~').contains(&b)) && !line.ends_with(' ');
    let begins_well = !lines.starts_with([' ', '\n']) && !lines.ends_with('\n');
    if !value.contains('\n') || lines.is_empty() || !begins_well || !lines.split('\n').all(is_plain)
    {
        return None;
    }
    let mut out = chomping.to_owned();
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            blanks(indent, &mut out);
            out.push_str(line);
        }
    }
    Some(out)
}

/// A scalar on one line that is read as this text and nothing else.
fn scalar(value: &str) -> String {
    if is_word(value) {
        return value.to_owned();
    }
    let mut out = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a text may stand without quotes: it begins with a letter, has nothing that YAML gives a meaning, and is none of the words that YAML 1.1
/// or 1.2 reads as something else than a text.
fn is_word(value: &str) -> bool {
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"-_./+@=".contains(&b);
    // A colon has a meaning only before a blank and at the end.
    let has_safe = value.bytes().all(|b| is_safe(b) || b == b':') && !value.ends_with(':');
    let is_other = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word));
    value.starts_with(|c: char| c.is_ascii_alphabetic()) && has_safe && !is_other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_indented_by_two_and_lists_under_their_key() {
        let node = map([
            ("kind", text("ClusterPolicy")),
            (
                "spec",
                map([
                    ("background", Node::Switch(false)),
                    (
                        "rules",
                        Node::List(vec![
                            map([
                                ("name", text("one")),
                                ("match", only(map([("kinds", texts(["Pod"]))]))),
                                ("key", text("-----BEGIN\nabc\n")),
                            ]),
                            map([("timeoutSeconds", Node::Number(30))]),
                        ]),
                    ),
                    ("empty", Node::List(Vec::new())),
                    ("none", Node::Map(Vec::new())),
                ]),
            ),
        ]);
        let wanted = "\
kind: ClusterPolicy
spec:
  background: false
  rules:
    - name: one
      match:
        - kinds:
            - Pod
      key: |
        -----BEGIN
        abc
    - timeoutSeconds: 30
  empty: []
  none: {}
";
        assert_eq!(node.document(), wanted);
    }

    #[test]
    fn what_could_be_read_as_something_else_is_quoted() {
        for word in [
            "Pod",
            "v1",
            "kyverno.io/v1",
            "https://tekton.dev/chains/v2",
            "team-a@sha256:ab",
        ] {
            assert_eq!(scalar(word), word);
        }
        for other in [
            "",
            "true",
            "No",
            "OFF",
            "null",
            "~",
            "1",
            "1.5",
            "0x1f",
            "-1",
            ".5",
            "- a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x",
            "{a}",
            "[a]",
            "a, b",
            "?",
            "'",
            "|",
            ">",
            " a",
            "a ",
            "{{ x }}",
            "registry.example/team/*",
            "2026-01-01",
            "=",
        ] {
            let quoted = scalar(other);
            assert!(quoted.starts_with('"') && quoted.ends_with('"'), "{other}");
            assert_eq!(quoted.len(), other.len() + 2, "{other}");
        }
    }

    #[test]
    fn hostile_values_stay_one_line_and_one_value() {
        assert_eq!(
            scalar("a\"\nkind: Pod\n# \\"),
            "\"a\\\"\\U0000000akind: Pod\\U0000000a# \\\\\""
        );
        assert_eq!(
            scalar("\u{2028}ü\u{7f}"),
            "\"\\U00002028\\U000000fc\\U0000007f\""
        );
        let node = map([("value", text("x\n--- \nkind: Pod"))]);
        assert_eq!(
            node.document(),
            "value: \"x\\U0000000a--- \\U0000000akind: Pod\"\n"
        );
        let node = Node::Named(vec![("a: b".to_owned(), text("c"))]);
        assert_eq!(node.document(), "\"a: b\": c\n");
    }

    #[test]
    fn a_block_is_written_only_where_it_gives_the_text_back() {
        assert_eq!(block("a\n\nb\n", 2).as_deref(), Some("|\n  a\n\n  b"));
        assert_eq!(block("a\nb", 2).as_deref(), Some("|-\n  a\n  b"));
        for other in [
            "a",
            "a\n\n",
            "\na\n",
            " a\nb\n",
            "a \nb\n",
            "a\tb\nc\n",
            "ü\nb\n",
            "\n",
            "a\r\nb\n",
        ] {
            assert_eq!(block(other, 2), None, "{other:?}");
        }
    }
}
