//! Texts for people on one line: errors with their causes, and what others say. Much of them comes from outside, and control characters could forge lines
//! of a log or move a terminal's cursor.

use std::error::Error;

use crate::is_invisible;

/// The text without line breaks and other characters that are not seen, and not longer than so many characters.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let visible = |c| if is_invisible(c) { ' ' } else { c };
    text.trim_end().chars().map(visible).take(most).collect()
}

/// An error and what caused it, none of it twice.
#[must_use]
pub fn causes(error: &dyn Error, most: usize) -> String {
    let sources = std::iter::successors(error.source(), |&error| error.source());
    let text = sources.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        match text.ends_with(&cause) {
            true => text,
            false => format!("{text}: {cause}"),
        }
    });
    one_line(&text, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Told {
        #[error("cannot read a\u{1b}[2J\nb")]
        Outer(#[source] Box<Told>),
        #[error(transparent)]
        Same(Box<Told>),
        #[error("it is no file\n")]
        Inner,
    }

    #[test]
    fn an_error_and_its_causes_are_one_line_and_none_is_told_twice() {
        let error = Told::Outer(Box::new(Told::Same(Box::new(Told::Inner))));
        let said = causes(&error, 100);
        assert_eq!(said, "cannot read a [2J b: it is no file");
        assert_eq!(causes(&error, 11), "cannot read");
    }
}
