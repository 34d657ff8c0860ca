//! How far a call with many images is, on one line of a terminal. Nothing is written where stderr is none: a log keeps what is written to it.

use std::io::{IsTerminal as _, Write as _};

use super::tally::Tally;

/// Below so many images the answers come quickly enough.
const FEWEST: usize = 4;

/// A line that is written over itself.
pub(super) struct Progress {
    all: usize,
    is_shown: bool,
}

impl Progress {
    pub(super) fn of(all: usize) -> Self {
        Self {
            all,
            is_shown: all >= FEWEST && std::io::stderr().is_terminal(),
        }
    }

    /// Shows how many are done. The cursor goes back to the start, so that a line of the log begins there.
    pub(super) fn show(&self, tally: &Tally) {
        if self.is_shown && tally.done < self.all {
            self.write(&format!("{}\r", line(tally, self.all)));
        }
    }

    /// Takes the line away, for what is printed.
    pub(super) fn clear(&self) {
        if self.is_shown {
            self.write("\r\x1b[K");
        }
    }

    /// A terminal that cannot be written to changes nothing of the answers.
    fn write(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// `[#####.....] 250 of 500 images, 3 failed, 1 not judged`
fn line(tally: &Tally, all: usize) -> String {
    const WIDTH: usize = 24;
    let done = tally.done;
    let filled = WIDTH * done / all.max(1);
    let bar = "#".repeat(filled) + &".".repeat(WIDTH - filled.min(WIDTH));
    let mut line = format!("[{bar}] {done} of {all} images");
    for (count, what) in [(tally.failed, "failed"), (tally.unjudged, "not judged")] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_done_and_what_failed() {
        let tally = Tally {
            done: 4,
            passed: 3,
            failed: 1,
            ..Tally::default()
        };
        assert_eq!(
            line(&tally, 8),
            "[############............] 4 of 8 images, 1 failed"
        );
    }
}
