//! Servers that want credentials, that cannot be believed, that fail and that hang.

use std::time::Duration;

use tekseal_harness::{Certificates, Moment, Proxy};

use super::forge::{Forge, Sshd};
use super::{Shop, explains};

const LOGIN: &str = "robot:s3cret-word";

/// The text of every file in the work tree's repository that could hold a password.
fn leftovers(shop: &Shop) -> String {
    [".git/config", ".git/FETCH_HEAD", ".git/logs/HEAD"]
        .iter()
        .filter_map(|name| shop.text(name))
        .collect()
}

#[test]
fn a_password_is_used_and_shown_nowhere() {
    let forge = Forge::new();
    let server = forge.serve(Some(LOGIN));
    let url = format!("http://{}/app.git", server.address);
    let shop = Shop::new();
    let refused = shop.tool(&url).run().fails_with(2);
    explains(&refused, &["could not read Username"], "basic-auth");
    shop.is_clean();

    let wrong = format!("http://robot:wrong-word@{}\n", server.address);
    shop.file("wrong/.git-credentials", &wrong);
    let run = shop.tool(&url).arg("--basic-auth").arg(shop.path("wrong"));
    let refused = run.run().fails_with(2);
    explains(&refused, &["Authentication failed"], "basic-auth");
    assert!(!refused.stderr.contains("wrong-word"), "{refused:?}");
    shop.is_clean();

    let right = format!("http://{LOGIN}@{}\n", server.address);
    shop.file("right/.git-credentials", &right);
    // As Tekton makes it of the ServiceAccount's Secrets.
    shop.file("creds/.git-credentials", &right);
    shop.file("creds/.gitconfig", "[credential]\n\thelper = store\n");
    let token = base64_of(LOGIN);
    let config = format!("[http]\n\textraHeader = Authorization: Bearer {token}\n");
    shop.file("header/.gitconfig", &config);
    for (variable, folder) in [
        ("WORKSPACE_BASIC_AUTH_DIRECTORY_PATH", "right"),
        ("TEKSEAL_CREDENTIALS", "creds"),
        ("WORKSPACE_BASIC_AUTH_DIRECTORY_PATH", "header"),
    ] {
        let output = shop.tool(&url).env(variable, shop.path(folder)).run().ok();
        for secret in ["s3cret-word", &token] {
            assert!(!output.stderr.contains(secret), "{output:?}");
            assert!(!leftovers(&shop).contains(secret));
        }
        assert_eq!(shop.results()["url"], url);
        assert!(shop.is_without_temporary_files());
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn user_and_password_of_a_secret_go_over_https_only() {
    let forge = Forge::new();
    let server = forge.serve(Some(LOGIN));
    let shop = Shop::new();
    shop.file("auth/username", "robot\n");
    shop.file("auth/password", "s3cret-word\n");
    let url = format!("http://{}/app.git", server.address);
    let run = shop.tool(&url).arg("--basic-auth").arg(shop.path("auth"));
    let refused = run.run().fails_with(2);
    explains(&refused, &["in the clear"], "use https");
    assert!(!refused.stderr.contains("s3cret"), "{refused:?}");
    shop.is_clean();
}

#[test]
fn a_certificate_is_verified_whatever_a_gitconfig_says() {
    let forge = Forge::new();
    let certificates = Certificates::make();
    let (certificate, key) = certificates.server();
    let server = forge.serve_tls(&certificate, &key);
    let url = format!("https://{}/app.git", server.address);
    let shop = Shop::new();
    shop.file(
        "auth/.gitconfig",
        "[http]\n\tsslVerify = false\n[http \"https://127.0.0.1\"]\n\tsslVerify = false\n",
    );
    let run = shop.tool(&url).arg("--basic-auth").arg(shop.path("auth"));
    let refused = run.env("GIT_SSL_NO_VERIFY", "1").run().fails_with(2);
    explains(&refused, &["certificate"], "ssl-ca-directory");
    let _ = refused.says("left out").says("http.sslverify");
    shop.is_clean();

    let authority = std::fs::read_to_string(certificates.ca()).expect("just made");
    shop.file("ca/ca-bundle.crt", &authority);
    shop.file("ca/other.pem", &authority);
    let ca = shop.path("ca");
    let _ = shop
        .tool(&url)
        .arg("--ssl-ca-directory")
        .arg(&ca)
        .run()
        .ok();
    let run = shop.tool(&url).env("WORKSPACE_SSL_CA_DIRECTORY_PATH", &ca);
    let _ = run.env("PARAM_CRT_FILENAME", "other.pem").run().ok();
    let run = shop.tool(&url).env("PARAM_SSL_VERIFY", "false");
    let _ = run.run().ok().says("certificates are not verified");
    assert_eq!(shop.results()["CHAINS-GIT_COMMIT"], forge.commit("main"));
}

#[test]
fn a_server_that_fails_for_a_moment_is_asked_again_and_one_that_stays_down_is_not_for_ever() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let proxy = Proxy::start(&server.address);
    proxy.on("GET", "/info/refs").first(1).answer(503, &[], b"");
    proxy
        .on("POST", "/git-upload-pack")
        .first(1)
        .answer(502, &[], b"");
    let url = format!("http://{}/app.git", proxy.address());
    let output = shop.tool(&url).run().ok();
    let _ = output.says("trying again retry=2 of=3 seconds=2");
    assert_eq!(shop.results()["commit"], forge.commit("main"));

    let shop = Shop::new();
    let down = Proxy::start(&server.address);
    down.on("GET", "").answer(500, &[], b"");
    let url = format!("http://{}/app.git", down.address());
    let failed = shop
        .tool(&url)
        .env("PARAM_RETRIES", "1")
        .run()
        .fails_with(3);
    explains(&failed, &["fetching HEAD", "500"], "may help");
    assert_eq!(down.count(), 2);
    shop.is_clean();

    let gone = down.address().to_owned();
    drop(down);
    let run = shop.tool(&format!("http://{gone}/app.git"));
    let failed = run.env("PARAM_RETRIES", "0").run().fails_with(3);
    explains(&failed, &["connect"], "may help");
    let run = shop.tool("https://git.invalid/x").env("PARAM_RETRIES", "0");
    explains(&run.run().fails_with(3), &["resolve"], "may help");
    shop.is_clean();
}

#[test]
fn a_refusal_is_not_tried_again() {
    let forge = Forge::new();
    let server = forge.serve(None);
    for (status, code) in [(403, 2), (404, 1)] {
        let proxy = Proxy::start(&server.address);
        proxy.on("GET", "/info/refs").answer(status, &[], b"");
        let shop = Shop::new();
        let url = format!("http://{}/app.git", proxy.address());
        let _ = shop.tool(&url).run().fails_with(code);
        assert_eq!(proxy.count(), 1, "{status}");
        shop.is_clean();
    }
}

#[test]
fn a_server_that_knows_whole_histories_only_is_told_by_its_depth() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let url = format!("http://{}/dumb/app.git", server.address);
    let refused = shop.tool(&url).run().fails_with(2);
    explains(&refused, &["shallow"], "--depth 0");
    shop.is_clean();
    let _ = shop.tool(&url).env("PARAM_DEPTH", "0").run().ok();
    assert_eq!(shop.results()["commit"], forge.commit("main"));
}

#[test]
fn sigterm_in_the_middle_leaves_nothing() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let proxy = Proxy::start(&server.address);
    let gate = proxy
        .on("POST", "/git-upload-pack")
        .hold(Moment::BeforeAnswering);
    let shop = Shop::new();
    let url = format!("http://{}/app.git", proxy.address());
    let running = shop.tool(&url).timeout(Duration::from_secs(20)).start();
    gate.wait_until_held();
    running.signal("TERM");
    let ended = running.wait().fails_with(143);
    let _ = ended.says("ended by SIGTERM");
    shop.is_clean();
}

#[test]
fn a_proxy_is_used_where_the_parameter_or_the_environment_names_one() {
    let forge = Forge::new();
    let server = forge.serve(None);
    // A proxy for http gets the same request with a whole URL in it, which is refused here: that it came is what counts.
    let proxy = Proxy::start(&server.address);
    proxy.on("GET", "").answer(418, &[], b"");
    let address = format!("http://{}", proxy.address());
    for (at, variable) in ["PARAM_HTTP_PROXY", "http_proxy"].iter().enumerate() {
        let shop = Shop::new();
        let run = shop.tool("http://git.invalid/x").env(variable, &address);
        let _ = run.run().fails_with(3);
        assert_eq!(proxy.count(), at + 1, "{variable}");
    }
    let shop = Shop::new();
    let run = shop.tool(&format!("http://{}/app.git", server.address));
    let run = run.env("PARAM_HTTP_PROXY", &address);
    let _ = run.env("PARAM_NO_PROXY", "127.0.0.1").run().ok();
}

#[test]
fn over_ssh_the_server_must_be_known_and_the_key_be_right() {
    let forge = Forge::new();
    let Some(sshd) = Sshd::start(&forge) else {
        return;
    };
    let shop = Shop::new();
    let url = format!(
        "ssh://git@127.0.0.1:{}{}",
        sshd.port,
        forge.path("app.git").display()
    );
    let with = |folder: &str| {
        let run = shop.tool(&url).arg("--ssh-directory");
        run.arg(shop.path(folder)).env("PARAM_RETRIES", "0")
    };
    // The newline at the end of a key is easily lost.
    shop.file("right/id_ed25519", sshd.key.trim_end());
    let refused = with("right").run().fails_with(2);
    explains(&refused, &["no known_hosts"], "ssh-keyscan");
    let refused = shop.tool(&url).run().fails_with(2);
    explains(&refused, &["no ssh-directory"], "ssh-keyscan");
    shop.is_clean();

    let other = Forge::new();
    let stranger = Sshd::start(&other).expect("the first one came up");
    let wrong_key = stranger.known_host.split_once(' ').expect("host and key").1;
    let imposter = format!("[127.0.0.1]:{} {wrong_key}", sshd.port);
    shop.file("imposter/id_ed25519", &sshd.key);
    shop.file("imposter/known_hosts", &imposter);
    shop.file(
        "imposter/config",
        "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n",
    );
    let refused = with("imposter").run().fails_with(2);
    explains(&refused, &["Host key verification failed"], "known_hosts");
    // Not even where new keys are accepted.
    let refused = with("imposter").arg("--insecure-accept-host-key").run();
    let _ = refused.fails_with(2);

    shop.file("wrong/id_ed25519", &stranger.key);
    shop.file("wrong/known_hosts", &sshd.known_host);
    let refused = with("wrong").run().fails_with(2);
    explains(&refused, &["Permission denied"], "ssh-directory");
    assert!(!refused.stderr.contains("PRIVATE KEY"), "{refused:?}");
    shop.is_clean();

    shop.file("right/known_hosts", &sshd.known_host);
    let _ = with("right").run().ok();
    assert_eq!(shop.results()["url"], url);
    assert_eq!(shop.results()["commit"], forge.commit("main"));
    assert!(shop.is_without_temporary_files());

    shop.file("unknown/my_key", &sshd.key);
    shop.file("unknown/config", "Host *\n  IdentityFile ~/.ssh/my_key\n");
    let run = with("unknown").env("PARAM_INSECURE_ACCEPT_HOST_KEY", "true");
    let _ = run.run().ok().says("accepted unseen");

    // As Tekton makes it of the ServiceAccount's Secrets.
    shop.file("creds/.ssh/id_robot", &sshd.key);
    shop.file("creds/.ssh/known_hosts", &sshd.known_host);
    let run = shop
        .tool(&url)
        .env("TEKSEAL_CREDENTIALS", shop.path("creds"));
    let _ = run.run().ok();

    let absent = url.replace("app.git", "absent.git");
    let run = shop.tool(&absent).arg("--ssh-directory");
    let refused = run.arg(shop.path("right")).run().fails_with(1);
    explains(
        &refused,
        &["does not appear to be a git repository"],
        "typing error",
    );
}
