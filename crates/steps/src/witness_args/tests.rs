//! What flags, a signing configuration and Chains' configuration say together.

use super::*;

const NOW: i64 = 1_800_000_000;

fn args() -> WitnessArgs {
    WitnessArgs {
        witness_timeout: 30,
        ..WitnessArgs::default()
    }
}

fn with(tlog: &str, url: &str) -> WitnessArgs {
    WitnessArgs {
        tlog: Some(tlog.to_owned()),
        rekor_url: Some(url.to_owned()),
        ..args()
    }
}

fn signing(version: u64) -> SigningConfig {
    let text = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogUrls":[{{"url":"http://c","majorApiVersion":{version}}}],"rekorTlogConfig":{{"selector":"ANY"}},"tsaUrls":[{{"url":"http://t","majorApiVersion":1}}],"tsaConfig":{{"selector":"ALL"}}}}"#
    );
    SigningConfig::parse(text.as_bytes()).expect("a good one")
}

fn config(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("config.json");
    std::fs::write(&path, text).expect("the folder is ours");
    (folder, path)
}

#[test]
fn nobody_is_told_unless_something_says_so() {
    for args in [args(), with("", ""), with("off", "")] {
        assert!(
            args.logs(None, None, LogWish::Unknown, NOW)
                .expect("nothing")
                .is_empty()
        );
    }
    let refused = |args: WitnessArgs| {
        args.logs(None, None, LogWish::Unknown, NOW)
            .expect_err("bad")
            .code()
    };
    for bad in [
        with("", "http://x"),
        with("off", "http://x"),
        with("v3", ""),
        with("v2", ""),
    ] {
        assert_eq!(refused(bad), crate::exit::MISUSE);
    }
}

#[test]
fn flags_go_before_the_signing_configuration_and_that_before_chains() {
    let url = |url: &str| url.to_owned();
    let (_folder, path) =
        config(r#"{"transparency.enabled":"true","transparency.url":"http://chains"}"#);
    let chains = Some(path.as_path());
    let v2 = signing(2);
    let logs =
        |args: WitnessArgs, signing, config| args.logs(signing, config, LogWish::Unwanted, NOW);
    for (args, signing, config, wanted) in [
        (
            with("v1", "http://x"),
            Some(&v2),
            chains,
            vec![(LogVersion::V1, url("http://x"))],
        ),
        (
            with("v2", "http://x"),
            Some(&v2),
            chains,
            vec![(LogVersion::V2, url("http://x"))],
        ),
        (
            with("v2", ""),
            Some(&v2),
            chains,
            vec![(LogVersion::V2, url("http://c"))],
        ),
        (
            args(),
            Some(&v2),
            chains,
            vec![(LogVersion::V2, url("http://c"))],
        ),
        (with("off", ""), Some(&v2), chains, vec![]),
        (
            args(),
            None,
            chains,
            vec![(LogVersion::V1, url("http://chains"))],
        ),
        (
            with("v1", ""),
            None,
            chains,
            vec![(LogVersion::V1, url("http://chains"))],
        ),
        (
            with("v1", ""),
            None,
            None,
            vec![(LogVersion::V1, url("https://rekor.sigstore.dev"))],
        ),
    ] {
        assert_eq!(logs(args, signing, config).expect("good"), wanted);
    }
    let (_v2_folder, v2_path) = config(
        r#"{"transparency.enabled":"true","transparency.url":"http://chains","tekseal.tlog":"v2"}"#,
    );
    let of_v2 = Some(v2_path.as_path());
    for args in [args(), with("v2", "")] {
        let found = logs(args, None, of_v2).expect("good");
        assert_eq!(found, [(LogVersion::V2, url("http://chains"))]);
    }
    assert!(
        logs(with("v1", ""), None, of_v2).is_err(),
        "the public log is told nothing by surprise"
    );
    // The configuration has a log, and none of the version that is asked for.
    assert!(
        with("v1", "")
            .logs(Some(&v2), None, LogWish::Unknown, NOW)
            .is_err()
    );
}

#[test]
fn what_chains_leaves_to_each_run_is_what_the_runs_say() {
    let (_folder, path) = config(r#"{"transparency.enabled":"manual"}"#);
    let logs = |args: WitnessArgs, wish| args.logs(None, Some(&path), wish, NOW);
    let none = LogWish::Unknown;
    let mixed = none.and(true).and(false);
    for unclear in [none, mixed, mixed.and(true)] {
        let refused = logs(args(), unclear).expect_err("nobody says it");
        assert!(refused.message().contains("manual"), "{refused:?}");
        let off = logs(with("off", ""), unclear);
        assert!(off.expect("it is said").is_empty());
    }
    for (wish, count) in [(none.and(true).and(true), 1), (none.and(false), 0)] {
        assert_eq!(logs(args(), wish).expect("clear").len(), count);
    }
}

/// An address that is given on a command line may hold a password by mistake; what is said of it goes into logs that many read.
#[test]
fn passwords_in_addresses_are_refused_and_not_shown() {
    let secrets = [
        "https://me:hunter2@service.example",
        "https://hunter2@service.example/x",
        "https://me:hunter2@service example",
        "https://service.example/?token=hunter2",
        "ftp://me:hunter2@service.example",
    ];
    let samples = tekseal_harness::fixtures().join("cosign-samples/keys");
    let root = samples.join("trusted_root.json").display().to_string();
    for url in secrets {
        let of_log = with("v1", url);
        let of_time = WitnessArgs {
            timestamp_url: vec![url.to_owned()],
            trusted_root: Some(root.clone()),
            ..args()
        };
        let text = format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogUrls":[{{"url":{url:?},"majorApiVersion":1}}],"rekorTlogConfig":{{"selector":"ANY"}}}}"#
        );
        let (_folder, path) = config(&text);
        let of_config = WitnessArgs {
            signing_config: Some(path.display().to_string()),
            ..args()
        };
        for args in [of_log, of_time, of_config] {
            let refused = args.witnesses(
                Layout::Bundle,
                None,
                LogWish::Unknown,
                &RegistryArgs::default(),
            );
            let refused = refused.err().expect("it is no address of a service");
            assert_eq!(refused.code(), crate::exit::MISUSE, "{url}");
            let said = format!("{refused:?}");
            assert!(!said.contains("hunter2"), "{url}: {said}");
        }
    }
}

#[test]
fn what_has_no_room_in_the_layout_is_refused() {
    let one = |version| vec![(version, String::new())];
    let refused = |logs: &[_], authorities: usize, layout| {
        check_layout(logs, &vec![String::new(); authorities], layout).is_err()
    };
    assert!(refused(&one(LogVersion::V2), 0, Layout::Tags));
    assert!(!refused(&one(LogVersion::V2), 0, Layout::Both));
    assert!(!refused(&one(LogVersion::V1), 1, Layout::Tags));
    assert!(refused(&[], 2, Layout::Both));
    assert!(!refused(&[], 2, Layout::Bundle));
    let intoto = WitnessArgs {
        rekor_entry_type: Some("intoto".to_owned()),
        ..args()
    };
    let entry = |logs: &[_], layout| intoto.envelopes(logs, layout).ok();
    let v1 = one(LogVersion::V1);
    assert_eq!(entry(&v1, Layout::Tags), Some(EnvelopeEntry::InToto));
    assert_eq!(entry(&v1, Layout::Both), None);
    assert_eq!(entry(&[], Layout::Tags), None);
}

#[test]
fn timestamps_are_those_of_the_flag_or_of_the_signing_configuration() {
    let both = signing(2);
    assert_eq!(
        args().authorities(Some(&both), None, NOW).expect("good"),
        ["http://t"]
    );
    let flag = WitnessArgs {
        timestamp_url: vec!["http://a".to_owned(), String::new()],
        ..args()
    };
    assert_eq!(
        flag.authorities(Some(&both), None, NOW).expect("good"),
        ["http://a"]
    );
    let again = WitnessArgs {
        timestamp_url: ["http://a", "http://b", "http://a"]
            .map(str::to_owned)
            .into(),
        ..args()
    };
    let once = again.authorities(None, None, NOW).expect("good");
    assert_eq!(once, ["http://a", "http://b"], "each is asked once");
    let (_folder, path) = config(r#"{"tekseal.timestamp.urls":"http://c, http://d"}"#);
    let of_config = |args: &WitnessArgs, signing| args.authorities(signing, Some(&path), NOW);
    let found = of_config(&args(), None).expect("good");
    assert_eq!(found, ["http://c", "http://d"]);
    assert_eq!(of_config(&flag, None).expect("good"), ["http://a"]);
    let found = of_config(&args(), Some(&both)).expect("good");
    assert_eq!(found, ["http://t"]);
    let nobody = args().witnesses(
        Layout::Tags,
        None,
        LogWish::Unknown,
        &RegistryArgs::default(),
    );
    assert!(nobody.expect("nothing is said").is_none());
    let trustless = flag.witnesses(
        Layout::Tags,
        None,
        LogWish::Unknown,
        &RegistryArgs::default(),
    );
    let trustless = trustless.err().expect("anybody could sign a time");
    assert_eq!(trustless.code(), crate::exit::MISUSE);
}
