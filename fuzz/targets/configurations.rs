//! Configurations: every problem is one of the map's, and without those keys the map is taken; name patterns match what a slower and
//! simpler matcher says.
//!
//! An input is a map as JSON, or a list of patterns and a name with a byte between that no UTF-8 has.

#![no_main]

use std::collections::BTreeMap;
use std::str;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::config::{Artifact, Config, Warning};
use tekseal_core::patterns::NamePatterns;

type Map = BTreeMap<String, String>;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    if let Ok(map) = serde_json::from_slice(data) {
        check_map(map);
        return;
    }
    let mut parts = data.splitn(2, |byte| *byte == 0xff);
    let (Some(Ok(patterns)), Some(Ok(name))) = (
        parts.next().map(str::from_utf8),
        parts.next().map(str::from_utf8),
    ) else {
        return;
    };
    check_patterns(patterns, name);
});

fn check_map(mut map: Map) {
    if let Err(error) = Config::from_map(&map) {
        assert!(!error.problems.is_empty());
        for problem in &error.problems {
            assert!(error.to_string().contains(problem.key));
            assert!(
                map.remove(problem.key).is_some(),
                "{} is told once",
                problem.key
            );
        }
    }
    let config = Config::from_map(&map).expect("all problems were told");
    for artifact in [config.taskrun(), config.pipelinerun(), config.oci()] {
        check_artifact(artifact);
    }
    assert!(config.oci().formats.is_empty());
    assert!(!config.taskrun().formats.is_empty());
    assert!(!config.pipelinerun().formats.is_empty());
    for key in config.keys_of_others() {
        assert!(map.contains_key(*key));
    }
    for warning in config.warnings() {
        match warning {
            Warning::UnknownKey { key, nearest } => {
                assert!(map.contains_key(key));
                assert_ne!(
                    nearest.as_ref(),
                    Some(&key.as_str()),
                    "the nearest key is a known one"
                );
            }
            Warning::IgnoredValue { key, value, .. } => assert_eq!(map.get(*key), Some(value)),
        }
    }
    assert_eq!(
        config.signers().kms.token.reveal(),
        map.get("signers.kms.auth.token").map_or("", String::as_str)
    );
    assert_eq!(
        config.managed_by().is_empty(),
        !map.contains_key("filter.managed-by")
    );
}

fn check_artifact(artifact: &Artifact) {
    let formats = &artifact.formats;
    for (at, format) in formats.iter().enumerate() {
        assert!(
            !formats[..at]
                .iter()
                .any(|earlier| earlier.is_alias_of(*format))
        );
    }
    assert!(!artifact.is_enabled() || !artifact.storages.is_empty());
}

fn check_patterns(text: &str, name: &str) {
    let Ok(patterns) = NamePatterns::parse(text) else {
        return;
    };
    let pieces: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect();
    assert_eq!(patterns.is_empty(), pieces.is_empty());
    let wanted = pieces.iter().any(|piece| is_match(piece, name));
    assert_eq!(patterns.matches(name), wanted, "{text:?} {name:?}");
}

/// Whether `pattern` matches all of `name`, by a row of answers for each character of the pattern.
fn is_match(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // Whether the pattern so far matches the first n characters of the name.
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for wanted in pattern.chars() {
        let before = row.clone();
        for n in 0..row.len() {
            row[n] = match wanted {
                '*' => before[n] || (n > 0 && row[n - 1]),
                '?' => n > 0 && before[n - 1],
                _ => n > 0 && before[n - 1] && name[n - 1].eq_ignore_ascii_case(&wanted),
            };
        }
    }
    row[name.len()]
}
