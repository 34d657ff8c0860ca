//! Promises of logs of certificates.

use sha2::{Digest as _, Sha256};
use tekseal_core::trusted_root::Validity;

use super::*;
use crate::certificate::x509::oid;
use crate::der::{encode, tag};
use crate::signer::Signer;
use crate::trust::Log;

fn issuer() -> Vec<u8> {
    der_of(&sample("keys/fulcioca.crt"))
}

/// What the promise of the sample is worth when the certificate is this.
fn verify_sct(der: &[u8]) -> Result<(), Error> {
    Certificate::from_der(der)?.verify_sct(&issuer(), &sample_trust())
}

#[test]
fn a_certificate_without_promise_is_refused() {
    let trust = sample_trust();
    let certificate = without_sct();
    let chain = certificate.verify_chain(&[], &trust).expect("good");
    let error = certificate
        .verify_sct(chain.issuer(), &trust)
        .expect_err("there is none");
    assert_eq!(error, Error::NoSct);
    assert_eq!(
        error.to_string(),
        "the certificate does not include the required embedded SCT"
    );
}

#[test]
fn every_part_of_a_promise_and_of_what_is_promised_counts() {
    let der = image_signer().der().to_vec();
    assert_eq!(verify_sct(&der), Ok(()));
    let log_id = sample_trust().certificate_logs[0].key_id.clone();
    let at = position(&der, &log_id);
    // Before the id stands the version; behind it stand timestamp, extensions, algorithm and signature.
    assert!(matches!(
        verify_sct(&flipped(&der, at - 1)),
        Err(Error::SctUnsupported(_))
    ));
    assert!(matches!(
        verify_sct(&flipped(&der, at)),
        Err(Error::SctLogUnknown(_))
    ));
    for behind in 32..40 {
        let outcome = verify_sct(&flipped(&der, at + behind));
        // A flip in the higher bytes moves the time by years.
        assert!(
            matches!(
                outcome,
                Err(Error::SctSignature(_) | Error::SctLogNotValid { .. })
            ),
            "{behind}: {outcome:?}"
        );
    }
    assert!(matches!(
        verify_sct(&flipped(&der, at + 39)),
        Err(Error::SctSignature(_))
    ));
    assert_eq!(
        verify_sct(&flipped(&der, at + 41)),
        Err(Error::SctsMalformed)
    );
    for algorithm in [at + 42, at + 43] {
        assert!(matches!(
            verify_sct(&flipped(&der, algorithm)),
            Err(Error::SctUnsupported(_))
        ));
    }
    assert!(matches!(
        verify_sct(&flipped(&der, at + 60)),
        Err(Error::SctSignature(_))
    ));
    // The certificate, but for its own signature, is what was promised.
    for part in [
        &b"tekton-chains/serviceaccounts"[..],
        b"system:serviceaccount:",
    ] {
        assert!(matches!(
            verify_sct(&flipped(&der, position(&der, part))),
            Err(Error::SctSignature(_))
        ));
    }
    assert_eq!(verify_sct(&flipped(&der, der.len() - 1)), Ok(()));
}

#[test]
fn a_promise_is_for_one_issuer() {
    let other = Maker::new("fulcio-root").root();
    assert!(matches!(
        image_signer().verify_sct(&other, &sample_trust()),
        Err(Error::SctSignature(_))
    ));
    assert!(matches!(
        image_signer().verify_sct(b"nothing", &sample_trust()),
        Err(Error::Damaged(_))
    ));
}

#[test]
fn the_log_must_be_trusted_and_have_been_in_use() {
    let mut trust = sample_trust();
    let certificate = image_signer();
    let at = certificate.not_before();
    trust.certificate_logs[0].valid = Validity {
        start: None,
        end: Some(at - 1),
    };
    assert!(matches!(
        certificate.verify_sct(&issuer(), &trust),
        Err(Error::SctLogNotValid { .. })
    ));
    // The same log may be listed again for a later time.
    let mut again = trust.certificate_logs[0].clone();
    again.valid = Validity {
        start: Some(at),
        end: None,
    };
    trust.certificate_logs.push(again);
    assert_eq!(certificate.verify_sct(&issuer(), &trust), Ok(()));
    trust.certificate_logs.clear();
    let error = certificate
        .verify_sct(&issuer(), &trust)
        .expect_err("no log is trusted");
    assert!(matches!(&error, Error::SctLogUnknown(logs) if logs.len() == 1));
    assert!(error.to_string().contains("9386a89fe39000d2"), "{error}");
    // A log of that id with another key did not promise this.
    let mut forged = sample_trust();
    forged.certificate_logs[0].key = new_key().public_key().clone();
    assert!(matches!(
        certificate.verify_sct(&issuer(), &forged),
        Err(Error::SctSignature(_))
    ));
}

/// A promise made here.
fn promise(log: &Signer, issuer: &Maker, draft: &Draft) -> Vec<u8> {
    let timestamp = u64::try_from(draft.valid.0).expect("after 1970") * 1000;
    let tbs = draft.to_be_signed(issuer.name);
    let length = u32::try_from(tbs.len()).expect("short").to_be_bytes();
    let message = [
        &[0, 0][..],
        &timestamp.to_be_bytes(),
        &[0, 1],
        &Sha256::digest(issuer.key.public_key().spki_der()),
        &length[1..],
        &tbs,
        &[0, 0],
    ];
    let signature = tekseal_harness::at_once(log.sign(&message.concat())).expect("it signs");
    let id = Sha256::digest(log.public_key().spki_der());
    [
        &[0][..],
        &id,
        &timestamp.to_be_bytes(),
        &[0, 0, 4, 3],
        &short(&signature),
    ]
    .concat()
}

/// With its length in 16 bits.
fn short(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
    [&length, bytes].concat()
}

fn sct_extension(promises: &[Vec<u8>]) -> Vec<u8> {
    let list: Vec<u8> = promises.iter().flat_map(|promise| short(promise)).collect();
    let value = encode(tag::OCTET_STRING, &short(&list));
    extension(oid::SCT_LIST, false, &value)
}

fn trusting(log: &Signer) -> Trust {
    let log = Log {
        host: String::new(),
        key: log.public_key().clone(),
        key_id: Sha256::digest(log.public_key().spki_der()).to_vec(),
        valid: Validity::default(),
    };
    Trust {
        certificate_logs: vec![log],
        ..Trust::default()
    }
}

#[test]
fn promises_of_unknown_logs_are_left_out_and_all_others_must_hold() {
    let (root, log, unknown) = (Maker::new("root"), new_key(), new_key());
    let draft = Draft::signer();
    let trust = trusting(&log);
    let good = promise(&log, &root, &draft);
    let mut bad = good.clone();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    let foreign = promise(&unknown, &root, &draft);
    let outcome = |promises: &[Vec<u8>]| {
        let der = root.issue(&draft.clone().with(sct_extension(promises)));
        let certificate = Certificate::from_der(&der).expect("a certificate");
        certificate.verify_sct(&root.root(), &trust)
    };
    assert_eq!(outcome(std::slice::from_ref(&good)), Ok(()));
    assert_eq!(outcome(&[foreign.clone(), good.clone()]), Ok(()));
    assert!(matches!(
        outcome(&[good.clone(), bad]),
        Err(Error::SctSignature(_))
    ));
    assert!(matches!(
        outcome(std::slice::from_ref(&foreign)),
        Err(Error::SctLogUnknown(_))
    ));
    assert_eq!(outcome(&[]), Err(Error::NoSct));
    assert_eq!(outcome(&vec![good.clone(); 16]), Ok(()));
    assert_eq!(outcome(&vec![good; 17]), Err(Error::TooManyScts));
}

#[test]
fn a_certificate_with_nothing_but_a_promise_was_promised_without_extensions() {
    let (root, log) = (Maker::new("root"), new_key());
    let mut draft = Draft::signer();
    draft.extensions.clear();
    let extension = sct_extension(&[promise(&log, &root, &draft)]);
    let der = root.issue(&draft.with(extension));
    let certificate = Certificate::from_der(&der).expect("a certificate");
    assert_eq!(
        certificate.verify_sct(&root.root(), &trusting(&log)),
        Ok(())
    );
}

#[test]
fn a_list_that_is_cut_or_too_long_is_damaged() {
    let root = Maker::new("root");
    let promise = promise(&new_key(), &root, &Draft::signer());
    let list = short(&short(&promise));
    let wrapped = |list: &[u8]| encode(tag::OCTET_STRING, list);
    let long = [&wrapped(&list)[..], &[0]].concat();
    let inner_cut = short(&short(&promise[..promise.len() - 1]));
    for value in [
        list.clone(),
        long,
        wrapped(&list[..list.len() - 1]),
        wrapped(&[&list[..], &[0]].concat()),
        wrapped(&inner_cut),
        wrapped(&short(&short(&[&promise[..], &[0]].concat()))),
        wrapped(&[]),
        Vec::new(),
    ] {
        let draft = Draft::signer().with(extension(oid::SCT_LIST, false, &value));
        let certificate = Certificate::from_der(&root.issue(&draft)).expect("a certificate");
        assert_eq!(
            certificate.verify_sct(&root.root(), &Trust::default()),
            Err(Error::SctsMalformed)
        );
    }
}
