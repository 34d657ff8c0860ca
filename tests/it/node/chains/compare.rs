//! Holds the payloads of both controllers against each other, byte by byte, but for what is listed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::arena::is_trace;

/// A run with its children, as documents.
pub(super) struct Family {
    pub(super) run: Value,
    pub(super) children: Vec<Value>,
}

/// A difference that may be.
pub(super) struct Listed {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    /// By chance it may not occur.
    pub(super) is_rare: bool,
    /// Whether the run can have it.
    may_be: fn(&Family) -> bool,
    /// The payload without what may differ.
    without: fn(&Family, &str) -> String,
}

/// Where the two may differ. Chains is v0.26.3 here, and tekseal equals v0.29: tests/chains/VERSION-DIFFERENCES.md.
pub(super) const LISTED: &[Listed] = &[
    Listed {
        name: "order",
        why: "Chains names the images of several pairs of results in a random order; ours is the order of the results",
        is_rare: false,
        may_be: |family| family.texts("IMAGE_URL") + family.texts("ARTIFACT_URI") > 1,
        without: |_, payload| edit(payload, "\"subject\":[", |subjects| subjects.sort()),
    },
    Listed {
        name: "ref",
        why: "of a definition's several digests Chains names one at random; ours is the first by name of the algorithm",
        is_rare: true,
        may_be: |family| {
            let digests = family.run["status"]["provenance"]["refSource"]["digest"].as_object();
            digests.is_some_and(|digests| digests.len() > 1)
        },
        without: |family, payload| {
            let digests = family.run["status"]["provenance"]["refSource"]["digest"].as_object();
            let mut text = payload.to_owned();
            for (algorithm, hex) in digests.into_iter().flatten() {
                let hex = hex.as_str().unwrap_or_default();
                text = text.replace(&format!("\"ref\":\"{algorithm}:{hex}\""), "\"ref\":\"\"");
            }
            text
        },
    },
    Listed {
        name: "outputs",
        why: "in v0.29 a build artifact that is an image has the image's normalised name among the subjects",
        is_rare: false,
        may_be: |family| family.results().any(is_build_artifact),
        without: |family, payload| {
            let digests: Vec<&str> = family
                .results()
                .filter(|result| is_build_artifact(result))
                .filter_map(|result| result["value"]["digest"].as_str())
                .collect();
            edit(payload, "\"subject\":[", |subjects| {
                subjects.retain(|subject| {
                    !digests
                        .iter()
                        .any(|digest| subject.contains(hex_of(digest)))
                });
                subjects.sort();
            })
        },
    },
    Listed {
        name: "actions",
        why: "in v0.29 a step that came from elsewhere is a resolved dependency",
        is_rare: false,
        may_be: |family| {
            family
                .steps()
                .any(|step| step["provenance"]["refSource"].is_object())
        },
        without: |_, payload| {
            edit(payload, "\"resolvedDependencies\":[", |all| {
                all.retain(|one| !one.contains("\"name\":\"stepAction/"))
            })
        },
    },
    Listed {
        name: "child",
        why: "a child is embedded as its reader has it: with the marks of whoever signed it, and their managers; ours with kind and apiVersion, which the copies of Chains' controller lack",
        is_rare: false,
        may_be: |family| !family.children.is_empty(),
        without: |_, payload| {
            edit(payload, "\"resolvedDependencies\":[", |all| {
                for one in all {
                    *one = without_state(one);
                }
            })
        },
    },
];

impl Family {
    fn members(&self) -> impl Iterator<Item = &Value> {
        self.children.iter().chain([&self.run])
    }

    fn steps(&self) -> impl Iterator<Item = &Value> {
        self.members().flat_map(|run| list(&run["status"]["steps"]))
    }

    fn results(&self) -> impl Iterator<Item = &Value> {
        let of_runs = self
            .members()
            .flat_map(|run| list(&run["status"]["results"]));
        of_runs.chain(self.steps().flat_map(|step| list(&step["results"])))
    }

    fn texts(&self, suffix: &str) -> usize {
        let is_so = |result: &&Value| {
            result["name"]
                .as_str()
                .is_some_and(|name| name.ends_with(suffix))
        };
        self.results().filter(is_so).count()
    }
}

/// How often what was found.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) equal: usize,
    /// Payloads that are equal but for these.
    pub(super) listed: BTreeMap<&'static str, usize>,
    /// Payloads that are equal but for several at once, or one.
    pub(super) nearly: usize,
    /// Images that only ours has signed: see `outputs`.
    pub(super) images: usize,
    /// Images that only Chains has signed, of runs without provenance.
    pub(super) unproven: usize,
    /// Commas of Chains' Statements, and blanks after them.
    commas: usize,
    blanks: usize,
}

impl Tally {
    /// Compares the payload of one thing; the difference, where it is not listed.
    pub(super) fn compare(
        &mut self,
        family: &Family,
        theirs: &[u8],
        ours: &[u8],
    ) -> Result<(), String> {
        let theirs = std::str::from_utf8(theirs).map_err(|e| e.to_string())?;
        let ours = std::str::from_utf8(ours).map_err(|e| e.to_string())?;
        let is_statement = theirs.starts_with("{\"_type\"");
        let theirs = match is_statement {
            true => self.without_blanks(theirs),
            false => theirs.to_owned(),
        };
        if theirs == ours {
            self.equal += 1;
            return Ok(());
        }
        let possible: Vec<&Listed> = LISTED.iter().filter(|one| (one.may_be)(family)).collect();
        let alone = possible
            .iter()
            .find(|one| (one.without)(family, &theirs) == (one.without)(family, ours));
        if let Some(one) = alone {
            *self.listed.entry(one.name).or_default() += 1;
            self.nearly += 1;
            return Ok(());
        }
        let all = |text: &str| {
            possible
                .iter()
                .fold(text.to_owned(), |text, one| (one.without)(family, &text))
        };
        let (left, right) = (all(&theirs), all(ours));
        if left != right {
            return Err(first_difference(&left, &right));
        }
        for one in &possible {
            // Without it they would differ.
            let others = |text: &str| {
                possible
                    .iter()
                    .filter(|other| other.name != one.name)
                    .fold(text.to_owned(), |text, other| {
                        (other.without)(family, &text)
                    })
            };
            if others(&theirs) != others(ours) {
                *self.listed.entry(one.name).or_default() += 1;
            }
        }
        self.nearly += 1;
        Ok(())
    }

    /// Whether a payload that only ours has is that of an image which Chains took for one only later.
    pub(super) fn is_later_image(&mut self, family: &Family, key: &str) -> bool {
        let found = family
            .results()
            .filter(|result| is_build_artifact(result))
            .any(|result| {
                let digest = result["value"]["digest"].as_str().unwrap_or_default();
                hex_of(digest).starts_with(key)
            });
        self.images += usize::from(found);
        found
    }

    /// What Chains' build does after commas; panics when it does so only at times.
    pub(super) fn blank(&self) -> &'static str {
        match self.blanks {
            0 => "no blank after commas",
            all if all == self.commas => "a blank after every comma",
            some => panic!("Chains put {some} blanks after {} commas", self.commas),
        }
    }

    fn without_blanks(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut is_text, mut is_escaped) = (false, false);
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            out.push(c);
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if is_text => is_escaped = true,
                '"' => is_text = !is_text,
                ',' if !is_text => {
                    self.commas += 1;
                    self.blanks += usize::from(characters.next_if_eq(&' ').is_some());
                }
                _ => {}
            }
        }
        out
    }
}

/// The text with the elements of its first list after `start` changed.
fn edit(text: &str, start: &str, change: impl FnOnce(&mut Vec<String>)) -> String {
    // A quotation mark within a text is escaped, so this is no text.
    let Some((before, rest)) = text.split_once(start) else {
        return text.to_owned();
    };
    let (mut elements, mut element) = (Vec::new(), String::new());
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let mut end = rest.len();
    for (at, c) in rest.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_text => is_escaped = true,
            '"' => is_text = !is_text,
            '{' | '[' if !is_text => depth += 1,
            ']' if !is_text && depth == 0 => {
                end = at;
                break;
            }
            '}' | ']' if !is_text => depth -= 1,
            ',' if !is_text && depth == 0 => {
                elements.push(std::mem::take(&mut element));
                continue;
            }
            _ => {}
        }
        element.push(c);
    }
    elements.extend((!element.is_empty()).then_some(element));
    change(&mut elements);
    format!("{before}{start}{}{}", elements.join(","), &rest[end..])
}

/// An embedded child less what signing it has left, and less who changed it when.
fn without_state(dependency: &str) -> String {
    let Ok(mut read) = serde_json::from_str::<Value>(dependency) else {
        return dependency.to_owned();
    };
    let content = read["content"]
        .as_str()
        .and_then(|content| STANDARD.decode(content).ok());
    let child = content.and_then(|content| serde_json::from_slice::<Value>(&content).ok());
    let Some(mut child) = child else {
        return dependency.to_owned();
    };
    if let Some(whole) = child.as_object_mut() {
        whole.remove("apiVersion");
        whole.remove("kind");
    }
    if let Some(meta) = child["metadata"].as_object_mut() {
        meta.remove("managedFields");
        meta.remove("resourceVersion");
        meta.remove("finalizers");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| !is_trace(key));
            if annotations.is_empty() {
                meta.remove("annotations");
            }
        }
    }
    read["content"] = child;
    read.to_string()
}

/// Chains' own word for `true`.
fn is_build_artifact(result: &Value) -> bool {
    let name = result["name"].as_str().unwrap_or_default();
    name.ends_with("ARTIFACT_OUTPUTS") && result["value"]["isBuildArtifact"] == "true"
}

fn hex_of(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hex)| hex.trim())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Both payloads from shortly before the first byte that differs.
fn first_difference(theirs: &str, ours: &str) -> String {
    let at = theirs
        .bytes()
        .zip(ours.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let from = |text: &str| {
        let bytes =
            &text.as_bytes()[at.saturating_sub(80).min(text.len())..(at + 120).min(text.len())];
        String::from_utf8_lossy(bytes).into_owned()
    };
    format!(
        "from byte {at}\n  Chains: …{}…\n  ours:   …{}…",
        from(theirs),
        from(ours)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Family {
        Family {
            run: Value::Null,
            children: Vec::new(),
        }
    }

    #[test]
    fn blanks_after_commas_are_taken_out_and_others_are_not() {
        let mut tally = Tally::default();
        let theirs = r#"{"_type":"a, b", "subject":[{"name":"\", "}, 2]}"#;
        let ours = r#"{"_type":"a, b","subject":[{"name":"\", "},2]}"#;
        assert_eq!(
            tally.compare(&plain(), theirs.as_bytes(), ours.as_bytes()),
            Ok(())
        );
        assert_eq!(
            (tally.equal, tally.blank()),
            (1, "a blank after every comma")
        );
    }

    #[test]
    fn what_is_not_listed_differs() {
        let mut tally = Tally::default();
        let theirs = r#"{"_type":"a","subject":[1,2]}"#;
        let ours = r#"{"_type":"a","subject":[2,1]}"#;
        assert!(
            tally
                .compare(&plain(), theirs.as_bytes(), ours.as_bytes())
                .is_err()
        );
    }

    #[test]
    fn elements_of_a_list_can_be_changed_and_nothing_else() {
        let text = r#"{"a":"\"l\":[","l":[{"x":"],"},[1,2],3],"z":[2,1]}"#;
        let turned = edit(text, "\"l\":[", |elements| elements.reverse());
        assert_eq!(
            turned,
            r#"{"a":"\"l\":[","l":[3,[1,2],{"x":"],"}],"z":[2,1]}"#
        );
        assert_eq!(
            edit("{\"l\":[]}", "\"l\":[", |all| assert!(all.is_empty())),
            "{\"l\":[]}"
        );
    }
}
