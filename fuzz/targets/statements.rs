//! Statements: what is accepted keeps its bytes, and says to us what it says to a plain reader of JSON.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;
use tekseal_core::provenance::{self, Provenance};
use tekseal_core::{Envelope, ResourceDescriptor, Statement, Subject, dsse};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    tekseal_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    check_envelope(data);
    let Ok(statement) = Statement::parse(data) else {
        return;
    };
    assert_eq!(statement.to_bytes(), data);
    let value: Value = serde_json::from_slice(data).expect("a statement is JSON");
    assert_eq!(value["_type"], statement.statement_type());
    assert_eq!(value["predicateType"], statement.predicate_type());
    let predicate = statement.predicate().map_or(Value::Null, |raw| {
        serde_json::from_str(raw.get()).expect("a part of JSON is JSON")
    });
    assert_eq!(value["predicate"], predicate);
    let subjects = value["subject"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(subjects.len(), statement.subjects().len());
    for (wanted, subject) in subjects.iter().zip(statement.subjects()) {
        check_descriptor(wanted, subject);
        if let Some(image) = Subject::from(subject).image() {
            assert_eq!(
                subject.digest.get("sha256").map(String::as_str),
                Some(image.digest.hex())
            );
        }
    }
    check_provenance(&statement, &predicate);
});

fn check_descriptor(wanted: &Value, found: &ResourceDescriptor) {
    for (member, text) in [
        ("name", &found.name),
        ("uri", &found.uri),
        ("content", &found.content),
        ("downloadLocation", &found.download_location),
        ("mediaType", &found.media_type),
    ] {
        assert_eq!(wanted[member].as_str().unwrap_or_default(), text);
    }
    let digest = wanted["digest"].as_object().cloned().unwrap_or_default();
    assert_eq!(digest.len(), found.digest.len());
    for (algorithm, hex) in &found.digest {
        assert_eq!(digest[algorithm], *hex);
    }
}

fn check_provenance(statement: &Statement, predicate: &Value) {
    let known = [provenance::PROVENANCE_V02, provenance::PROVENANCE_V1];
    let is_known = known.contains(&statement.predicate_type());
    let Ok(view) = Provenance::of(statement) else {
        assert!(is_known);
        return;
    };
    assert_eq!(view.is_some(), is_known);
    let Some(view) = view else {
        return;
    };
    let (builder, list) = match view.version {
        provenance::Version::V02 => ("/builder/id", "/materials"),
        provenance::Version::V1 => (
            "/runDetails/builder/id",
            "/buildDefinition/resolvedDependencies",
        ),
    };
    let id = predicate.pointer(builder).and_then(Value::as_str);
    assert_eq!(view.builder_id.as_deref(), id);
    let wanted = predicate.pointer(list).and_then(Value::as_array);
    let wanted = wanted.map_or(&[][..], Vec::as_slice);
    assert_eq!(wanted.len(), view.dependencies.len());
    for (wanted, found) in wanted.iter().zip(&view.dependencies) {
        check_descriptor(wanted, found);
    }
}

/// What is read of an envelope is all that is written of it.
fn check_envelope(data: &[u8]) {
    let wrapped = Envelope::new(dsse::IN_TOTO_PAYLOAD_TYPE, data, "k", data);
    let back = Envelope::parse(&wrapped.to_bytes()).expect("it was just written");
    assert_eq!(back, wrapped);
    assert_eq!(back.unverified_payload().expect("it is base64"), data);
    assert_eq!(back.signatures[0].decoded().expect("it is base64"), data);
    let Ok(envelope) = Envelope::parse(data) else {
        return;
    };
    let again = Envelope::parse(&envelope.to_bytes()).expect("it was just written");
    assert_eq!(again, envelope);
}
