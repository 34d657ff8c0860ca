use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).expect("the URL is well formed")
}

fn guard(allowed: &[&str], api_server: &[&str]) -> Guard {
    Guard::new(allowed, api_server).expect("the entries are well formed")
}

fn reason(guard: &Guard, text: &str) -> Option<Reason> {
    guard.judge(&url(text)).err().map(|refused| refused.reason)
}

fn admitted(guard: &Guard, repository: &str) -> bool {
    let repository = Repository::parse(repository).expect("the name is well formed");
    let base = format!("https://{}/", repository.registry());
    guard.admit(&repository, &url(&base)).is_ok()
}

#[test]
fn odd_spellings_of_an_address_are_the_address() {
    for host in [
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST.",
        "registry.localhost",
    ] {
        let text = format!("https://{host}:5000/v2/");
        assert_eq!(
            reason(&Guard::default(), &text),
            Some(Reason::Loopback),
            "{host}"
        );
    }
    // Hosts in other letters than ASCII are none, so nobody is asked.
    for host in ["１２７.0.0.1", "127。0。0。1", "loc\u{ad}alhost"] {
        let text = format!("https://{host}:5000/v2/");
        assert!(Url::parse(&text).is_err(), "{host}");
    }
    for (host, expected) in [
        ("0", Reason::Unspecified),
        ("0xa9fea9fe", Reason::Metadata),
        ("169.254.43518", Reason::Metadata),
        ("metadata", Reason::Metadata),
        ("Metadata.Google.Internal.", Reason::Metadata),
        ("[fe80::1]", Reason::LinkLocal),
    ] {
        let text = format!("http://{host}/");
        assert_eq!(reason(&Guard::default(), &text), Some(expected), "{host}");
    }
}

#[test]
fn ordinary_registries_pass_without_a_list() {
    for text in [
        "https://quay.io/v2/",
        "https://10.0.0.7:5000/v2/",
        "https://image-registry.openshift-image-registry.svc:5000/v2/",
        "https://[2001:db8::1]/",
        "https://localhost.example/",
        "https://metadata.example/",
    ] {
        assert_eq!(reason(&Guard::default(), text), None, "{text}");
    }
    assert!(admitted(&Guard::default(), "quay.io/org/app"));
}

#[test]
fn with_a_list_only_listed_registries_are_admitted() {
    let guard = guard(&["quay.io/org", "r.example:5000", "docker.io/library"], &[]);
    for name in ["quay.io/org/app", "quay.io/org", "r.example:5000/x/y"] {
        assert!(admitted(&guard, name), "{name}");
    }
    for name in [
        "quay.io/organic/app",
        "r.example/x/y",
        "evil.example/quay.io/org",
    ] {
        assert!(!admitted(&guard, name), "{name}");
    }
    // Where they send us need not be listed.
    assert_eq!(reason(&guard, "https://cdn.quay.io/blob?x"), None);
    assert_eq!(
        reason(&guard, "http://169.254.169.254/latest"),
        Some(Reason::Metadata)
    );
}

#[test]
fn being_listed_helps_loopback_and_nothing_else() {
    let listed = [
        "localhost:5000/org",
        "127.0.0.1:5000",
        "0.0.0.0:5000",
        "169.254.0.1",
        "metadata",
        "api.example",
        "10.0.0.1",
    ];
    let guard = guard(&listed, &["api.example", "10.0.0.1"]);
    for (text, expected) in [
        ("http://localhost:5000/token", None),
        ("http://127.0.0.1:5000/v2/", None),
        ("http://127.0.0.1:5001/v2/", Some(Reason::Loopback)),
        ("http://localhost/v2/", Some(Reason::Loopback)),
        ("http://[::1]:5000/v2/", Some(Reason::Loopback)),
        ("http://0.0.0.0:5000/v2/", Some(Reason::Unspecified)),
        ("https://169.254.0.1/v2/", Some(Reason::LinkLocal)),
        ("https://metadata/v2/", Some(Reason::Metadata)),
        ("https://api.example/v2/", Some(Reason::ApiServer)),
        ("https://10.0.0.1/v2/", Some(Reason::ApiServer)),
    ] {
        assert_eq!(reason(&guard, text), expected, "{text}");
    }
}

#[test]
fn the_api_server_is_known_by_name_and_address_at_its_ports() {
    let entries = [
        "10.96.0.1:443",
        "192.0.2.1",
        "fd00::1",
        "[fd00::2]:6443",
        "Kubernetes.default.svc",
        "node.example:6443",
    ];
    let guard = guard(&[], &entries);
    for text in [
        "https://10.96.0.1/v2/",
        "https://0x0a.96.1:443/v2/",
        "http://10.96.0.1:443/v2/",
        "https://[::ffff:10.96.0.1]/v2/",
        "https://192.0.2.1:1234/",
        "https://[fd00:0::1]/",
        "https://[fd00::2]:6443/",
        "https://kubernetes.default.svc./",
        "https://kubernetes.default.svc:5000/",
        "https://node.example:6443/",
    ] {
        assert_eq!(reason(&guard, text), Some(Reason::ApiServer), "{text}");
    }
    for text in [
        "https://10.96.0.1:5000/",
        "https://[fd00::2]/",
        "https://node.example:5000/",
        "https://10.96.0.2/",
    ] {
        assert_eq!(reason(&guard, text), None, "{text}");
    }
}

#[test]
fn an_api_server_on_loopback_is_at_every_address_of_it() {
    for entry in ["127.0.0.1:6443", "localhost:6443", "[::1]:6443"] {
        let guard = guard(
            &["127.0.0.2:6443", "[::1]:6443", "127.0.0.1:5000"],
            &[entry],
        );
        for text in ["https://127.0.0.2:6443/", "https://[::1]:6443/"] {
            assert_eq!(
                reason(&guard, text),
                Some(Reason::ApiServer),
                "{entry} {text}"
            );
        }
        assert_eq!(reason(&guard, "http://127.0.0.1:5000/"), None, "{entry}");
    }
}

#[test]
fn of_a_names_addresses_only_the_harmless_ones_are_left() {
    let addresses = |texts: &[&str]| {
        let addresses = texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().expect("it is an address"), 0));
        addresses.collect::<Vec<_>>()
    };
    let guard = guard(&[], &["10.96.0.1:443"]);
    let gate = guard
        .judge(&url("https://r.example/"))
        .expect("the name is harmless");
    assert_eq!(
        guard.sift(
            addresses(&["127.0.0.1", "192.0.2.7", "fe80::1", "10.96.0.1"]),
            gate
        ),
        Ok(addresses(&["192.0.2.7"]))
    );
    let refused = guard.sift(addresses(&["10.96.0.1", "127.0.0.1"]), gate);
    assert_eq!(
        refused.map_err(|refused| refused.to_string()),
        Err("it resolves to 10.96.0.1, which is the API server of the cluster".to_owned())
    );
    let other = guard
        .judge(&url("https://r.example:5000/"))
        .expect("the name is harmless");
    assert!(guard.sift(addresses(&["10.96.0.1"]), other).is_ok());
    assert_eq!(guard.sift(Vec::new(), gate), Ok(Vec::new()));
}

#[test]
fn entries_of_another_form_are_errors() {
    let bad = Guard::new(&["https://r.example"], &[]);
    assert!(matches!(bad, Err(Error::Allowed { .. })));
    let bad = Guard::new(&[], &["https://10.96.0.1:443"]);
    assert!(matches!(bad, Err(Error::ApiServer { .. })));
}
