//! The proxy held against a small server of its own, and once against the real registry.

use super::*;
use crate::registry::Registry;

/// A server that answers every request with its method, target and body, in chunks.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address")
        .to_string();
    let own = address.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&stream);
            let Ok(Some(request)) = http::read_request(&mut reader, &stream) else {
                continue;
            };
            let text = format!(
                "{} {} {}",
                request.method,
                request.target,
                String::from_utf8_lossy(&request.body)
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\nLocation: http://{own}/next\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let _ = (&stream)
                .write_all(format!("{head}{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).as_bytes());
        }
    });
    address
}

fn get(proxy: &Proxy, path: &str) -> io::Result<Answer> {
    http::request(proxy.address(), &Request::new("GET", path))
}

/// Sends a request on a thread of its own.
fn later(proxy: &Proxy, method: &str, path: &str) -> JoinHandle<io::Result<Answer>> {
    let (address, request) = (proxy.address().to_owned(), Request::new(method, path));
    thread::spawn(move || http::request(&address, &request))
}

#[test]
fn requests_are_passed_on_and_recorded_without_their_query() {
    let proxy = Proxy::start(&echo());
    let sent = Request::new("PUT", "/a/b?secret=1").body("text/plain", b"body");
    let answer = http::request(proxy.address(), &sent).expect("it answers");
    assert_eq!(answer.text(), "PUT /a/b?secret=1 body");
    assert_eq!(
        answer.header("location"),
        Some(format!("http://{}/next", proxy.address()).as_str())
    );
    let seen = &proxy.seen()[0];
    assert_eq!(
        (
            seen.method.as_str(),
            seen.path.as_str(),
            seen.size,
            seen.status
        ),
        ("PUT", "/a/b", 4, Some(200))
    );
    assert_eq!(
        (
            proxy.count(),
            proxy.count_of("GET", "/a"),
            proxy.connections()
        ),
        (1, 0, 1)
    );
}

#[test]
fn one_connection_carries_many_requests_chunked_ones_too() {
    let proxy = Proxy::start(&echo());
    let stream = TcpStream::connect(proxy.address()).expect("it listens");
    let mut reader = BufReader::new(&stream);
    for _ in 0..2 {
        (&stream).write_all(b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").expect("it reads");
        assert_eq!(
            http::read_answer(&mut reader, "POST")
                .expect("it answers")
                .text(),
            "POST /x hi"
        );
    }
    assert_eq!((proxy.count(), proxy.connections()), (2, 1));
}

#[test]
fn round_trips_in_a_row_are_told_from_those_side_by_side() {
    let proxy = Proxy::start(&echo());
    get(&proxy, "/1").expect("it answers");
    let gate = proxy.on("GET", "/both").hold(Moment::BeforeAnswering);
    let both = [
        later(&proxy, "GET", "/both/1"),
        later(&proxy, "GET", "/both/2"),
    ];
    gate.wait_until_holding(2);
    gate.release();
    for one in both {
        one.join().expect("no panic").expect("it answers");
    }
    get(&proxy, "/3").expect("it answers");
    assert_eq!(
        (
            proxy.count(),
            proxy.sequential_latencies(),
            proxy.connections()
        ),
        (4, 3, 4)
    );
}

#[test]
fn each_answer_is_delayed() {
    let proxy = Proxy::start(&echo());
    proxy.delay_each(Duration::from_millis(30));
    let start = Instant::now();
    get(&proxy, "/").expect("it answers");
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_gate_holds_a_request_until_it_is_released() {
    let proxy = Proxy::start(&echo());
    let gate = proxy.on("PUT", "/held").hold(Moment::BeforeForwarding);
    let held = later(&proxy, "PUT", "/held");
    gate.wait_until_held();
    get(&proxy, "/other").expect("others go on");
    assert_eq!(
        (gate.held(), held.is_finished(), proxy.seen()[0].status),
        (1, false, None)
    );
    gate.release();
    assert_eq!(
        held.join().expect("no panic").expect("it answers").status,
        200
    );
    assert_eq!(gate.held(), 0);
}

#[test]
fn a_gate_before_answering_lets_the_registry_do_it_first() {
    let registry = Registry::start();
    let proxy = Proxy::start(registry.back_door());
    let image = registry.push_image("a", "v1");
    let gate = proxy
        .on("DELETE", "/manifests/")
        .hold(Moment::BeforeAnswering);
    let held = later(
        &proxy,
        "DELETE",
        &format!("/v2/a/manifests/{}", image.digest),
    );
    gate.wait_until_held();
    assert!(registry.manifest("a", &image.digest).is_none() && !held.is_finished());
    drop(gate);
    assert_eq!(
        held.join().expect("no panic").expect("it answers").status,
        202
    );
}

#[test]
fn rules_choose_by_number_and_give_answers_of_the_test() {
    let proxy = Proxy::start(&echo());
    proxy
        .on("GET", "/x")
        .nth(2)
        .answer(503, &[("Retry-After", "1")], b"busy");
    proxy.on("GET", "/x").first(1).edit(|answer| {
        answer.remove_header("location");
        answer.body.truncate(3);
    });
    let first = get(&proxy, "/x").expect("it answers");
    assert_eq!(
        (first.text().as_str(), first.header("location")),
        ("GET", None)
    );
    let second = get(&proxy, "/x").expect("it answers");
    assert_eq!(
        (
            second.status,
            second.header("retry-after"),
            second.text().as_str()
        ),
        (503, Some("1"), "busy")
    );
    assert_eq!(get(&proxy, "/x").expect("it answers").text(), "GET /x ");
}

#[test]
fn connections_are_cut_before_during_and_instead_of_an_answer() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1");
    let proxy = Proxy::start(registry.back_door());
    let path = format!("/v2/a/manifests/{}", image.digest);
    proxy.on("GET", "/manifests/").cut(5);
    assert!(get(&proxy, &path).is_err(), "the body is not whole");
    proxy.on("DELETE", "/manifests/").first(1).refuse();
    proxy.on("DELETE", "/manifests/").lose_answer();
    let delete = Request::new("DELETE", &path);
    assert!(http::request(proxy.address(), &delete).is_err());
    assert!(
        registry.manifest("a", &image.digest).is_some(),
        "the registry did not see it"
    );
    assert!(http::request(proxy.address(), &delete).is_err());
    assert!(
        registry.manifest("a", &image.digest).is_none(),
        "the registry did it"
    );
    assert!(proxy.seen().iter().all(|seen| seen.status.is_none()));
}

fn token(proxy: &Proxy, request: Request) -> Option<String> {
    let answer = http::request(proxy.address(), &request).expect("it answers");
    let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    (answer.status == 200).then(|| json["token"].as_str().expect("there is a token").to_owned())
}

#[test]
fn tokens_are_given_to_the_known_user_for_a_scope_and_expire() {
    let registry = Registry::start();
    let image = registry.push_image("a/b", "v1");
    let proxy = Proxy::start_with_bearer(registry.back_door(), Bearer::new("me", "pass"));
    let path = format!("/v2/a/b/manifests/{}", image.digest);
    let ask = |method: &str, token: &str| {
        let request = Request::new(method, &path)
            .header("Accept", "application/vnd.oci.image.manifest.v1+json")
            .header("Authorization", &format!("Bearer {token}"));
        http::request(proxy.address(), &request).expect("it answers")
    };
    let challenge = get(&proxy, &path).expect("it answers");
    let wanted = format!(
        r#"Bearer realm="http://{}/token",service="registry.test",scope="repository:a/b:pull""#,
        proxy.address()
    );
    assert_eq!(
        (challenge.status, challenge.header("www-authenticate")),
        (401, Some(wanted.as_str()))
    );

    let target = "/token?service=registry.test&scope=repository%3Aa%2Fb%3Apull";
    assert!(
        token(&proxy, Request::new("GET", target)).is_none(),
        "no login"
    );
    assert!(
        token(
            &proxy,
            Request::new("GET", target).header("Authorization", "Basic bWU6d3Jvbmc=")
        )
        .is_none(),
        "a wrong login"
    );
    let pull = token(
        &proxy,
        Request::new("GET", target).header("Authorization", "Basic bWU6cGFzcw=="),
    )
    .expect("the right login");
    assert_eq!(ask("GET", &pull).status, 200);
    let refused = ask("DELETE", &pull);
    assert!(
        refused.status == 401
            && refused
                .header("www-authenticate")
                .is_some_and(|c| c.contains("pull,push") && c.contains("insufficient_scope"))
    );
    assert_eq!(proxy.scopes_asked(), vec!["repository:a/b:pull"; 3]);
    proxy.expire_tokens();
    assert_eq!(ask("GET", &pull).status, 401);
}

#[test]
fn identity_tokens_and_anonymous_callers_get_what_they_may() {
    let registry = Registry::start();
    let image = registry.push_image("a", "v1");
    let bearer = Bearer::new("me", "pass")
        .with_identity_token("id-1")
        .with_anonymous_pull();
    let proxy = Proxy::start_with_bearer(registry.back_door(), bearer);
    let delete = |token: &str| {
        let request = Request::new("DELETE", &format!("/v2/a/manifests/{}", image.digest))
            .header("Authorization", &format!("Bearer {token}"));
        http::request(proxy.address(), &request)
            .expect("it answers")
            .status
    };
    let anonymous = token(
        &proxy,
        Request::new(
            "GET",
            "/token?service=registry.test&scope=repository:a:pull,push",
        ),
    )
    .expect("all may pull");
    assert_eq!(delete(&anonymous), 401);
    let form = |id: &str| {
        format!(
            "grant_type=refresh_token&service=registry.test&refresh_token={id}&scope=repository:a:pull,push"
        )
    };
    let post = |id: &str| {
        Request::new("POST", "/token")
            .body("application/x-www-form-urlencoded", form(id).as_bytes())
    };
    assert!(token(&proxy, post("id-2")).is_none());
    assert_eq!(
        delete(&token(&proxy, post("id-1")).expect("the right identity token")),
        202
    );
}

#[test]
fn an_answer_that_stalls_has_a_head_and_ends_with_the_gate() {
    let proxy = Proxy::start(&echo());
    let gate = proxy.on("GET", "/a").stall(3);
    let waiting = later(&proxy, "GET", "/a");
    gate.wait_until_held();
    assert!(!waiting.is_finished());
    gate.release();
    let cut = waiting.join().expect("the thread does not panic");
    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(get(&proxy, "/a").expect("it answers").text(), "GET /a ");
}
