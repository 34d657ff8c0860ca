//! As much of XML as the answers of the security token service have: elements in elements, and text with the five named references.
//!
//! No document is parsed: what is looked for is found or not. Comments, sections of CDATA and processing instructions, which AWS does not send, are not
//! known: what they hide is taken as it stands, and is refused where it is no credential.

use zeroize::Zeroizing;

/// What is between the first `<NAME …>` and the next `</NAME>`.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    let content = loop {
        let (_, behind) = rest.split_once(&format!("<{name}"))?;
        // Otherwise it is another element, whose name begins so.
        match behind.as_bytes().first()? {
            b'>' => break &behind[1..],
            b' ' | b'\t' | b'\r' | b'\n' => break behind.split_once('>')?.1,
            _ => rest = behind,
        }
    };
    Some(content.split_once(&format!("</{name}>"))?.0)
}

/// The text of such an element, which has no other elements in it.
pub(super) fn text_of(text: &str, name: &str) -> Option<Zeroizing<String>> {
    let mut rest = element(text, name)?.trim();
    let mut plain = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((before, behind)) = rest.split_once('&') {
        plain.push_str(before);
        let (reference, behind) = behind.split_once(';')?;
        plain.push(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" | "#39" => '\'',
            _ => return None,
        });
        rest = behind;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_references_resolved() {
        let text = "<ErrorResponse xmlns=\"x\">\n<Error><Code> A&amp;B&lt; </Code></Error></ErrorResponse>";
        let inside = element(text, "Error").expect("it is there");
        let code = text_of(inside, "Code");
        assert_eq!(code.as_deref().map(String::as_str), Some("A&B<"));
        assert_eq!(element(text, "Err"), None);
    }

    #[test]
    fn what_is_cut_or_odd_is_not_found() {
        for text in [
            "",
            "<A",
            "<A>",
            "<A >x",
            "<A",
            "<A>x</B>",
            "<A>&x;</A>",
            "<A>&</A>",
        ] {
            assert!(text_of(text, "A").is_none(), "{text}");
        }
    }
}
