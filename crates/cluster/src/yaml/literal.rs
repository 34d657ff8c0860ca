//! Texts in lines below their key.

use zeroize::Zeroizing;

use super::{Node, Reader, YamlError, indent_of, without_comment};

impl Reader<'_> {
    /// A text of which each line counts (`|`), or of which lines are joined (`>`).
    pub(super) fn literal(&mut self, floor: usize) -> Result<Node, YamlError> {
        let (header, _) = without_comment(&self.lines[self.at][self.column..]);
        let (mut chomp, mut digit) = (None, None);
        for sign in header[1..].chars() {
            match sign {
                '+' | '-' if chomp.is_none() => chomp = Some(sign),
                '1'..='9' if digit.is_none() => digit = sign.to_digit(10),
                _ => return Err(self.error("something follows the sign of a text in lines")),
            }
        }
        let is_folded = header.starts_with('>');
        self.advance();
        let first = self.lines[self.at..]
            .iter()
            .find(|line| !line.trim().is_empty());
        let indent = match digit {
            Some(digit) => floor.saturating_sub(1) + digit as usize,
            None => first.map_or(floor, |line| indent_of(line)),
        };
        let mut kept = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            let is_empty = line.trim_start_matches(' ').is_empty();
            if !is_empty && (indent_of(line) < indent || indent < floor.max(1)) {
                break;
            }
            kept.push(line.get(indent..).unwrap_or_default());
            self.at += 1;
        }
        let last = kept.iter().rposition(|line| !line.is_empty());
        let used = last.map_or(0, |last| last + 1);
        let mut text = Zeroizing::new(String::new());
        let breaks = |text: &mut String, count| (0..count).for_each(|_| text.push('\n'));
        let (mut before, mut empty) = (None::<&str>, 0);
        for &line in &kept[..used] {
            if line.is_empty() {
                empty += 1;
                continue;
            }
            let is_wide = |line: &str| line.starts_with([' ', '\t']);
            match before {
                None => breaks(&mut text, empty),
                Some(before) if !is_folded || is_wide(before) || is_wide(line) => {
                    breaks(&mut text, empty + 1);
                }
                Some(_) if empty == 0 => text.push(' '),
                Some(_) => breaks(&mut text, empty),
            }
            text.push_str(line);
            (before, empty) = (Some(line), 0);
        }
        match chomp {
            Some('-') => {}
            Some(_) => breaks(&mut text, kept.len() - used + usize::from(used > 0)),
            None => breaks(&mut text, usize::from(used > 0)),
        }
        Ok(Node::Scalar {
            text,
            is_plain: false,
        })
    }
}
