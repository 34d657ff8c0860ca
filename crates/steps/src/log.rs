//! One line on stderr per outside effect, in the past tense, with key=value pairs: `pushed image=… digest=…`.
//!
//! stdout is for data only. `RUST_LOG` set to `off`, `error` or `warn` silences the information lines; nothing finer is needed in a step,
//! and a logging framework would cost more than a tool of this size.

use std::fmt::Display;

/// Says which tool, version and commit is running; the first line of every tool.
pub fn started(tool: &str) {
    let commit = option_env!("TEKSEAL_COMMIT").unwrap_or("unknown");
    info(
        &format!(
            "{tool} version={} commit={commit}",
            env!("CARGO_PKG_VERSION")
        ),
        &[],
    );
}

/// An effect that happened.
pub fn info(what: &str, pairs: &[(&str, &dyn Display)]) {
    if level() >= 2 {
        print("", what, pairs);
    }
}

/// Something a person should look at though the tool goes on.
pub fn warn(what: &str, pairs: &[(&str, &dyn Display)]) {
    if level() >= 1 {
        print("warning: ", what, pairs);
    }
}

fn level() -> u8 {
    match std::env::var("RUST_LOG").as_deref() {
        Ok("off" | "error") => 0,
        Ok("warn") => 1,
        _ => 2,
    }
}

fn print(prefix: &str, what: &str, pairs: &[(&str, &dyn Display)]) {
    let mut line = format!("{prefix}{what}");
    for (key, value) in pairs {
        line.push(' ');
        line.push_str(key);
        line.push('=');
        line.push_str(&quoted(&value.to_string()));
    }
    eprintln!("{line}");
}

/// A value with blanks or control characters is quoted, so that a line stays a line and pairs stay pairs.
pub(crate) fn quoted(value: &str) -> String {
    if !value.is_empty()
        && value
            .chars()
            .all(|c| !tekseal_core::is_invisible(c) && !c.is_whitespace() && c != '"')
    {
        return value.to_owned();
    }
    // Debug escapes control characters and most of the invisible ones; the rest go.
    format!("{value:?}")
        .chars()
        .filter(|c| !tekseal_core::is_invisible(*c))
        .collect()
}
