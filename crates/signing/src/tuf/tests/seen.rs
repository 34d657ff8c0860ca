//! What was seen before, and what is left of that when some of it is lost.

use super::*;

#[test]
fn what_is_older_than_what_was_seen_is_refused() {
    let old = TufRepository::new(CONTENT);
    let mut new = TufRepository {
        roots: [TufKey::p256(), TufKey::ed25519()],
        online: TufKey::ed25519(),
        ..TufRepository::new(CONTENT)
    };
    new.publish(CONTENT);
    // Other keys: it says nothing.
    assert!(update(&old, Some(&new)).is_ok());
    let mut repository = TufRepository::new(CONTENT);
    let before = repository.files.clone();
    repository.publish(b"new");
    let after = repository.files.clone();
    let known = TufRepository::new(CONTENT);
    let known = TufRepository {
        files: after.clone(),
        version: 2,
        ..known
    };
    repository.files.clone_from(&before);
    refused(
        &repository,
        Some(&known),
        "timestamp.json was rolled back: version 1 after 2",
    );
    // A new timestamp over an old snapshot.
    repository.files = after;
    repository.publish_as(
        CONTENT,
        of("timestamp", |t| {
            t["meta"]["snapshot.json"]["version"] = json!(1)
        }),
    );
    refused(
        &repository,
        Some(&known),
        "snapshot.json was rolled back: version 1 after 2",
    );
    repository.publish_as(
        CONTENT,
        of("snapshot", |s| {
            s["meta"]["targets.json"]["version"] = json!(1)
        }),
    );
    refused(
        &repository,
        Some(&known),
        "targets.json was rolled back: version 1 after 2",
    );
}

#[test]
fn what_was_seen_is_known_by_each_document_that_is_still_there() {
    let mut repository = TufRepository::new(CONTENT);
    let before = repository.files.clone();
    repository.publish(b"new");
    let known = TufRepository {
        files: repository.files.clone(),
        version: 2,
        ..TufRepository::new(CONTENT)
    };
    // A mirror that shows what was, all of it.
    repository.files = before;
    type Lose = fn(&mut Cached<'_>);
    let rows: [(Lose, &str); 4] = [
        (
            |c| c.snapshot = None,
            "timestamp.json was rolled back: version 1 after 2",
        ),
        (
            |c| c.timestamp = None,
            "snapshot.json was rolled back: version 1 after 2",
        ),
        (
            |c| (c.timestamp, c.snapshot) = (None, None),
            "targets.json was rolled back: version 1 after 2",
        ),
        (|c| *c = Cached::default(), ""),
    ];
    for (lose, wanted) in rows {
        let said = update_with(&repository, Some(&known), lose);
        let said = said.map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(said, wanted);
    }
    // The snapshot is lost, and a new one names old targets.
    let mut repository = TufRepository::new(CONTENT);
    repository.publish_as(CONTENT, |_| ());
    repository.publish_as(
        CONTENT,
        of("snapshot", |s| {
            s["meta"]["targets.json"]["version"] = json!(1)
        }),
    );
    let said = update_with(&repository, Some(&known_as(&repository, 2)), |c| {
        c.snapshot = None
    });
    let said = said.expect_err("older than the targets that are there");
    let wanted = "targets.json was rolled back: version 1 after 2";
    assert_eq!(said.to_string(), wanted);
}

/// A client that has seen this version of the repository, and a timestamp that is newer than its snapshot: what came after that was not to be had.
fn known_as(repository: &TufRepository, version: u64) -> TufRepository {
    TufRepository {
        files: repository.files.clone(),
        version,
        ..TufRepository::new(CONTENT)
    }
}

#[test]
fn a_timestamp_that_is_newer_than_the_snapshot_takes_nothing_away_from_it() {
    let mut repository = TufRepository::new(CONTENT);
    repository.publish(CONTENT);
    repository.publish_as(
        CONTENT,
        of("snapshot", |s| {
            s["meta"]["targets.json"]["version"] = json!(1)
        }),
    );
    // The timestamp of the third version is kept, and the snapshot of the second.
    let known = known_as(&repository, 2);
    let said = update_with(&repository, Some(&known), |c| c.targets = None);
    let said = said.expect_err("older than what the snapshot names");
    let wanted = "targets.json was rolled back: version 1 after 2";
    assert_eq!(said.to_string(), wanted);
}
