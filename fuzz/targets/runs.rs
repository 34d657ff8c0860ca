//! Run documents: whatever is signed of a run is a Statement that our own verifier reads, says what the settings and the hints say,
//! and is the same bytes each time.
//!
//! An input is documents with a byte between that no UTF-8 has: the configuration, the run, its children.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use tekseal_core::config::{Config, TagIdentity};
use tekseal_core::format::{self, Format, Settings};
use tekseal_core::hints::{self, Hints, Observed, TaskHints};
use tekseal_core::plan::{Overrides, Plan};
use tekseal_core::run::{self, ChildDocument, CompletedRun, MissingChildren};
use tekseal_core::{DigestRef, Payload, Provenance, Statement, Subject, redact};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|byte| *byte == 0xff);
    let (Some(config), Some(document)) = (parts.next(), parts.next()) else {
        return;
    };
    let children: Vec<_> = parts
        .map(|bytes| ChildDocument { name: "c", bytes })
        .collect();
    let config = serde_json::from_slice(config)
        .ok()
        .and_then(|map| Config::from_map(&map).ok())
        .unwrap_or_else(Config::of_a_step);
    let read = |missing| CompletedRun::from_json(document, &children, missing);
    let Ok(run) = read(MissingChildren::Allow) else {
        assert!(read(MissingChildren::Refuse).is_err());
        return;
    };
    match read(MissingChildren::Refuse) {
        Ok(again) => check_run(&run, &again, &config),
        Err(run::Error::ChildrenAbsent { absent, .. }) => {
            assert_eq!(absent, run.absent_children());
            check_run(&run, &run, &config);
        }
        Err(other) => panic!("{other} only where children must be there"),
    }
});

/// `again` is the same run, read once more.
fn check_run(run: &CompletedRun<'_>, again: &CompletedRun<'_>, config: &Config) {
    let observed = hints::observe(run);
    for task in [&observed.own].into_iter().chain(&observed.children) {
        check_hints(task);
    }
    let settings = config.settings(run);
    let observed_again = hints::observe(again);
    let mut made = Vec::new();
    for format in Format::ALL {
        let payload = format.payload(run, &observed, settings);
        let same = format.payload(again, &observed_again, settings);
        assert_eq!(payload, same, "the same input gives the same bytes");
        if let Ok(payload) = &payload {
            check_payload(format, payload, settings);
        }
        made.push(payload);
    }
    let bytes =
        |made: &Result<Payload, format::Error>| made.as_ref().map(|p| p.bytes().to_vec()).ok();
    assert_eq!(
        bytes(&made[0]),
        bytes(&made[1]),
        "in-toto and slsa/v1 are one format"
    );
    check_plan(run, &observed, config, settings, &made);
    check_redacted(run, &observed, config, settings, &made);
}

fn check_payload(format: Format, payload: &Payload, settings: Settings<'_>) {
    let statement =
        Statement::parse(payload.bytes()).unwrap_or_else(|e| panic!("{}: {e:?}", format.name()));
    assert_eq!(statement.predicate_type(), format.predicate_type());
    let subjects: Vec<_> = statement.subjects().iter().map(Subject::from).collect();
    assert_eq!(subjects, payload.subjects());
    let provenance = Provenance::of(&statement)
        .unwrap_or_else(|e| panic!("{}: {e:?}", format.name()))
        .expect("its predicate type is provenance");
    assert_eq!(
        provenance.builder_id.unwrap_or_default(),
        settings.builder_id
    );
}

fn check_hints(task: &TaskHints<'_>) {
    for hints in task
        .steps
        .iter()
        .map(|(_, hints)| hints)
        .chain([&task.results])
    {
        assert!(hints.findings.windows(2).all(|two| two[0].at < two[1].at));
        let told: Vec<_> = hints
            .findings
            .iter()
            .map(|f| f.outcome.to_string())
            .collect();
        assert!(told.iter().all(|text| !text.is_empty()));
        check_images(hints);
    }
}

fn check_images(hints: &Hints<'_>) {
    for (at, image) in hints.images.iter().enumerate() {
        assert!(
            !hints.images[..at].contains(image),
            "{image} is signed once"
        );
        // Longer paths: see the target of references.
        if image.repository.path().len() <= 255 {
            assert_eq!(DigestRef::parse(&image.to_string()).as_ref(), Ok(image));
        }
    }
    for tagged in &hints.tagged {
        assert!(hints.images.contains(tagged.image()));
    }
}

/// The plan signs the payloads that the formats make, and says so in words.
fn check_plan(
    run: &CompletedRun<'_>,
    observed: &Observed<'_>,
    config: &Config,
    settings: Settings<'_>,
    made: &[Result<Payload, format::Error>],
) {
    let overrides = Overrides {
        formats: Some(&Format::ALL),
        tag_identity: Some(TagIdentity::On),
    };
    let plan = Plan::of(run, observed, config, settings, overrides);
    let items = plan.items.iter().take(made.len());
    assert!(items.map(|item| &item.payload).eq(made));
    for item in &plan.items {
        assert!(!item.what.to_string().is_empty());
        assert!(
            item.places
                .iter()
                .all(|place| !place.to_string().is_empty())
        );
    }
}

/// To hide values changes neither what there is provenance of, nor its subjects.
fn check_redacted(
    run: &CompletedRun<'_>,
    observed: &Observed<'_>,
    config: &Config,
    settings: Settings<'_>,
    made: &[Result<Payload, format::Error>],
) {
    let mut shown = run.clone();
    let Ok(done) = redact::redact(&mut shown, config.redact_params()) else {
        return;
    };
    for (format, clear) in Format::ALL.into_iter().zip(made) {
        let hidden = format.payload(&shown, observed, settings);
        if done.params.is_empty() {
            assert_eq!(hidden, *clear);
            continue;
        }
        assert_eq!(hidden.is_ok(), clear.is_ok(), "{hidden:?} {clear:?}");
        if let (Ok(hidden), Ok(clear)) = (hidden, clear) {
            assert_eq!(hidden.subjects(), clear.subjects());
            check_payload(format, &hidden, settings);
        }
    }
}
