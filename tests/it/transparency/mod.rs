//! `tekseal-log`: against a real Rekor of each version, and against a log that lies.

mod clients;
mod lying;
mod rekor_v1;
mod rekor_v2;

use std::fs;
use std::path::Path;

use tekseal_harness::{Run, fixtures};

/// The examples of the page about logs that are of one version, without the program, with these words for what is different each time.
fn examples(of_rekor_2: bool, words: &[(&str, &str)]) -> Vec<Vec<String>> {
    let page = fixtures().join("../../docs/transparency.md");
    let page = fs::read_to_string(page).expect("there is such a page");
    let commands = page
        .lines()
        .filter_map(|line| line.strip_prefix("tekseal-log "));
    let all: Vec<Vec<String>> = commands
        .filter(|command| command.contains("--log-version v2") == of_rekor_2)
        .map(|command| {
            let word = |word: &str| {
                let known = words.iter().find(|(name, _)| *name == word);
                known.map_or(word, |(_, value)| value).to_owned()
            };
            command.split(' ').map(word).collect()
        })
        .collect();
    assert!(all.len() > 1, "{all:?}");
    all
}

/// A command of the program for the log at this URL.
fn asking(url: &str, command: &str) -> Run {
    let run = Run::tool("tekseal-log").arg(command);
    run.args(["--rekor-url", url])
}

/// `verify` with a trusted root, JSON.
fn verifying(url: &str, root: &Path) -> Run {
    let run = asking(url, "verify").args(["--output", "json"]);
    run.arg("--trusted-root").arg(root)
}
