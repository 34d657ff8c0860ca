//! The line about one rule, which people read on a terminal: what does not fit is shortened, least where something is wrong. JSON has all of it.
//!
//! | | longer lines |
//! |---|---|
//! | all | of digests in places, the first twelve digits |
//! | `pass` | values cut to their ends; as many parts of the place as fit, one at least |
//! | `FAIL` | values cut only where they are far longer than any name; the member and the tag or referrer, and the layer if it fits |

use super::outcome::Answer;
use super::print::status;
use crate::log::quoted;

/// How long a line may be before it is shortened.
const COLUMNS: usize = 120;
/// How many characters of a value are kept where nothing is wrong with it.
const MOST_PASSED: usize = 28;
/// How many where it is.
const MOST_FAILED: usize = 240;
/// How many digits of a digest are kept.
const DIGITS: usize = 12;
/// How many a SHA-256 digest has.
const WHOLE: usize = 64;
/// In the place of what is not shown. ASCII, as the whole line is.
const CUT: &str = "...";

/// The line, with its end.
pub(super) fn line(answer: &Answer) -> String {
    let places = [&answer.path, &answer.place, &answer.layer];
    let places: Vec<String> = places
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| short(text))
        .collect();
    let whole = laid_out(answer, usize::MAX, &places);
    if columns(&whole) <= COLUMNS {
        return whole;
    }
    let (most, fewest) = match answer.passed {
        true => (MOST_PASSED, 1),
        // Whoever looks for what is wrong needs the statement, too.
        false => (MOST_FAILED, 2),
    };
    let fewest = fewest.min(places.len());
    let lines = (fewest..=places.len()).rev();
    let mut lines = lines.map(|count| laid_out(answer, most, &places[..count]));
    lines
        .find(|line| columns(line) <= COLUMNS)
        .unwrap_or_else(|| laid_out(answer, most, &places[..fewest]))
}

fn columns(line: &str) -> usize {
    line.trim_end().chars().count()
}

fn laid_out(answer: &Answer, most: usize, places: &[String]) -> String {
    let value = |text: &str| quoted(&cut(text, most));
    let mut line = format!(
        "{}  {:17}  found {}  wanted {}",
        status(answer.passed),
        answer.name,
        value(&answer.found),
        value(&answer.wanted)
    );
    if !places.is_empty() {
        let places = quoted(&places.join(" in "));
        line.push_str(&format!("  where {}", places.trim_matches('"')));
    }
    if answer.statements > 1 {
        line.push_str(&match answer.failing {
            0 => format!("  in all of {}", answer.statements),
            failing => format!("  failing {failing} of {}", answer.statements),
        });
    }
    line.push('\n');
    line
}

/// A text of at most so many characters: what is too much is taken out before its last third, since URLs differ at their ends.
fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(CUT.len());
    let last = kept / 3;
    let first = text.chars().take(kept - last);
    let last = text.chars().skip(count - last);
    first.chain(CUT.chars()).chain(last).collect()
}

/// The same with the digests in it shortened.
fn short(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    // A blank ends the last run, and goes again.
    for c in text.chars().chain([' ']) {
        if c.is_ascii_hexdigit() {
            digits.push(c);
            continue;
        }
        if digits.len() == WHOLE {
            digits.truncate(DIGITS);
            digits.push_str(CUT);
        }
        out.push_str(&digits);
        digits.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(passed: bool, found: &str, wanted: &str) -> Answer {
        let digest = "0123456789abcdef".repeat(4);
        Answer {
            name: "builder",
            passed,
            found: found.to_owned(),
            wanted: wanted.to_owned(),
            path: "predicate.builder.id".to_owned(),
            place: format!("tag sha256-{digest}.att"),
            layer: format!("sha256:{digest}"),
            statements: 1,
            failing: usize::from(!passed),
        }
    }

    #[test]
    fn a_line_has_as_much_of_the_place_as_fits() {
        let mut answer = answer(true, "urn:a", "urn:a");
        let begin = "pass  builder            found urn:a  wanted urn:a  where";
        assert_eq!(
            line(&answer),
            format!("{begin} predicate.builder.id in tag sha256-0123456789ab....att\n")
        );
        answer.path = "p".to_owned();
        assert_eq!(
            line(&answer),
            format!("{begin} p in tag sha256-0123456789ab....att in sha256:0123456789ab...\n")
        );
    }

    #[test]
    fn what_passes_is_cut_to_a_line_of_a_terminal() {
        for found in ["urn:a", "https://tekton.dev/chains/v2", &"x".repeat(2000)] {
            let line = line(&answer(true, found, found));
            assert!(columns(&line) <= COLUMNS + 10, "{line}");
            assert!(line.contains("where predicate.builder.id"), "{line}");
        }
    }

    #[test]
    fn what_fails_is_shown_with_the_place_however_long_the_line_is() {
        let (found, wanted) = ("x".repeat(100), "x".repeat(99) + "y");
        let said = line(&answer(false, &found, &wanted));
        let place = "where predicate.builder.id in tag sha256-0123456789ab....att\n";
        assert!(said.contains(&found) && said.contains(&wanted), "{said}");
        assert!(said.ends_with(place), "{said}");
        let endless = "x".repeat(100_000) + "the end";
        let said = line(&answer(false, &endless, &wanted));
        assert!(said.len() < 600 && said.contains("the end"), "{said}");
    }

    #[test]
    fn only_whole_digests_are_shortened() {
        let digest = "a".repeat(WHOLE);
        assert_eq!(short(&format!("sha256:{digest}")), "sha256:aaaaaaaaaaaa...");
        for text in [
            "deadbeef",
            "",
            "predicate.materials[0].uri",
            &"a".repeat(65),
        ] {
            assert_eq!(short(text), text);
        }
    }
}
