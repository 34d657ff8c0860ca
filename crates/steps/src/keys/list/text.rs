//! The list as people read it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::inventory::{Inventory, Listed};
use super::trust::Standing;
use crate::log::quoted;

const SECONDS_PER_DAY: i64 = 86_400;

/// Draws the list: a block for each key, then what is of no key.
pub(super) fn draw(inventory: &Inventory, now: Timestamp) -> String {
    let mut blocks: Vec<String> = inventory
        .keys
        .iter()
        .map(|listed| block(listed, now))
        .collect();
    if blocks.is_empty() {
        blocks.push("no key was found\n".to_owned());
    }
    let others = inventory.notes.iter().map(|note| format!("note: {note}\n"));
    let warnings = inventory.warnings.iter();
    let warnings = warnings.map(|warning| format!("WARNING: {warning}\n"));
    let tail: String = others.chain(warnings).collect();
    if !tail.is_empty() {
        blocks.push(tail);
    }
    visible(&blocks.join("\n"))
}

fn block(listed: &Listed, now: Timestamp) -> String {
    let mut text = format!("{} {}\n", listed.key.fingerprint(), listed.key.algorithm());
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    line("sha256", listed.key.spki_digest().hex());
    for place in &listed.places {
        let created = place.created.map(|time| format!(", {}", made(time, now)));
        let created = created.unwrap_or_default();
        line(place.role.name(), &format!("{}{created}", place.source));
    }
    for signs in &listed.signs {
        line("use", signs);
    }
    match &listed.last_use {
        Some(last) => {
            let at = last.at.map(|time| format!("{time} "));
            line(
                "last use",
                &format!("{}{}", at.unwrap_or_default(), last.what),
            );
        }
        None => line("last use", "not known"),
    }
    for trusted in &listed.trusted {
        let name = match trusted.name.as_str() {
            "" => String::new(),
            name => format!(" as {}", quoted(name)),
        };
        let since = match &trusted.standing {
            Standing::Unknown | Standing::Now { until: None } => String::new(),
            Standing::Now { until: Some(at) } => format!(", until {at}"),
            Standing::Ended { at } => format!(", ended {at}"),
            Standing::NotYet { at } => format!(", from {at} on"),
        };
        line("trust", &format!("{}{name}{since}", trusted.by));
    }
    for warning in &listed.warnings {
        line("WARNING", warning);
    }
    text
}

fn made(time: Timestamp, now: Timestamp) -> String {
    let days = (now.as_second() - time.as_second()).max(0) / SECONDS_PER_DAY;
    match days {
        0 => format!("made {time}, today"),
        1 => format!("made {time}, a day ago"),
        days => format!("made {time}, {days} days ago"),
    }
}

/// Names of keys and references are others' texts: nothing in them moves the cursor.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            c if tekseal_core::is_invisible(c) || c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tekseal_signing::{Signer, random};

    use super::super::inventory::{LastUse, Place, Role, Trusted};
    use super::*;

    #[test]
    fn a_key_is_a_block_and_no_text_of_others_leaves_it() {
        let now: Timestamp = "2026-03-03T00:00:00Z".parse().expect("a time");
        let signer = Signer::generate(&mut random::system).expect("a key");
        let mut inventory = Inventory::default();
        let listed = inventory.add(
            signer.public_key().clone(),
            Place {
                source: "Secret a/b, cosign.key".to_owned(),
                role: Role::Signs,
                created: "2026-03-01T00:00:00Z".parse().ok(),
            },
        );
        listed.signs.push("signs images (x509)".to_owned());
        listed.last_use = Some(LastUse {
            at: "2026-03-02T01:02:03Z".parse().ok(),
            what: "TaskRun a/b (record)".to_owned(),
        });
        listed.trusted.push(Trusted {
            by: "keys.json".to_owned(),
            name: "platform\u{202e}\n2026".to_owned(),
            standing: Standing::Now {
                until: Some("2026-12-31T23:59:59Z".to_owned()),
            },
        });
        listed.warnings.push("weak\u{1b}[2J".to_owned());
        inventory.notes.push("n".to_owned());
        inventory.warnings.push("w".to_owned());
        let key = signer.public_key();
        let wanted = format!(
            "{} ECDSA P-256
  sha256    {}
  signs     Secret a/b, cosign.key, made 2026-03-01T00:00:00Z, 2 days ago
  use       signs images (x509)
  last use  2026-03-02T01:02:03Z TaskRun a/b (record)
  trust     keys.json as \"platform\\u{{202e}}\\n2026\", until 2026-12-31T23:59:59Z
  WARNING   weak\u{fffd}[2J

note: n
WARNING: w
",
            key.fingerprint(),
            key.spki_digest().hex()
        );
        assert_eq!(draw(&inventory, now), wanted);
        assert_eq!(inventory.warnings(), 2);
        assert_eq!(draw(&Inventory::default(), now), "no key was found\n");
    }
}
