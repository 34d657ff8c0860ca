//! The trusted root of a TUF mirror, `signers.x509.tuf.mirror.url`: asked for when the configuration names it, asked again while it holds, and the last
//! good one kept while the mirror is down.
//!
//! What the mirror has said is remembered as long as the process lives, so that it shows nothing older than it showed before. There is no disk to keep it
//! on: a new process begins with the root that the configuration gives, and what is expired is refused.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tekseal_attest::settings::{MIRROR, RootMirror};
use tekseal_attest::tuf::{Error, Memory, Repository};
use tekseal_remote::{Mirror, Options};
use tokio::time::Instant;

use crate::trouble::chain;

/// How often the mirror is asked whether there is something new. Sigstore's is signed anew every few days.
const EVERY: Duration = Duration::from_secs(3600);
/// How soon it is asked again where it did not answer.
const AGAIN: Duration = Duration::from_secs(300);
/// The same where nothing can be signed before it answers.
const SOON: Duration = Duration::from_secs(10);
/// How long it is waited for: the configuration waits with it.
const LONGEST: Duration = Duration::from_secs(30);
/// How long one request is tried again, and how long it is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What mirrors have said.
pub(crate) struct Roots {
    ca: Vec<PathBuf>,
    known: Option<Known>,
}

/// What one mirror has said.
struct Known {
    setting: RootMirror,
    memory: Memory,
    /// The last good one.
    text: Option<String>,
    /// When it is to be asked again.
    next: Instant,
}

impl Roots {
    /// Nothing is asked yet. `ca` are files with certificate authorities of mirrors, beside the system's.
    pub(crate) fn new(ca: Vec<PathBuf>) -> Self {
        Self { ca, known: None }
    }

    /// When the mirror of the configuration is to be asked again, if it has one.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.known.as_ref().map(|known| known.next)
    }

    /// The last good one.
    pub(crate) fn last(&self) -> Option<&str> {
        self.known.as_ref()?.text.as_deref()
    }

    /// Where the configuration was read and the mirror was not asked, it is not due at once: that would be for ever.
    pub(crate) fn put_off(&mut self) {
        let now = Instant::now();
        if let Some(known) = &mut self.known
            && known.next <= now
        {
            known.next = now + AGAIN;
        }
    }

    /// There is no mirror in the configuration any more.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// The text of the trusted root at this mirror, which is asked if it is time to.
    ///
    /// # Errors
    /// Where there was none so far, and there is none now, in words.
    pub(crate) async fn of(&mut self, setting: &RootMirror) -> Result<String, String> {
        let now = Instant::now();
        let known = self.known.take().filter(|known| known.setting == *setting);
        let mut known = known.unwrap_or_else(|| Known {
            setting: setting.clone(),
            memory: Memory::default(),
            text: None,
            next: now,
        });
        if let Some(text) = &known.text
            && now < known.next
        {
            let text = text.clone();
            self.known = Some(known);
            return Ok(text);
        }
        let got = known.ask(&self.ca).await;
        let wait = match (&got, &known.text) {
            (Ok(_), _) => EVERY,
            (Err(_), Some(_)) => AGAIN,
            (Err(_), None) => SOON,
        };
        known.next = Instant::now() + wait;
        let said = match (got, &known.text) {
            (Ok(text), _) => {
                known.text = Some(text.clone());
                Ok(text)
            }
            (Err(problem), Some(text)) => {
                tracing::warn!(
                    problem,
                    "the trusted root is not asked for anew; the last good one holds"
                );
                Ok(text.clone())
            }
            (Err(problem), None) => Err(problem),
        };
        self.known = Some(known);
        said
    }
}

impl Known {
    async fn ask(&self, ca: &[PathBuf]) -> Result<String, String> {
        let url = self.setting.url();
        let options = Options {
            ca: ca.to_vec(),
            retry_for: PATIENCE,
            timeout: PATIENCE,
            ..Options::default()
        };
        let said = |error: &dyn std::error::Error| format!("{MIRROR}: {}", chain(error));
        let mirror = Mirror::new(url, options).map_err(|error| said(&error))?;
        let repository = Repository {
            mirror: Some(&mirror),
            cache: &self.memory,
        };
        let first = self.setting.first().clone();
        let asked = repository.trusted_root(first, Timestamp::now().as_second());
        let got = match tokio::time::timeout(LONGEST, asked).await {
            Ok(got) => got.map_err(Error::from),
            Err(_) => Err(Error::Slow),
        };
        let bytes = got.map_err(|error| said(&error))?;
        String::from_utf8(bytes).map_err(|_| format!("{MIRROR}: trusted_root.json is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tekseal_core::config::Config;
    use tekseal_harness::{Proxy, TufKey, TufRepository, signed};

    use super::*;

    /// A mirror whose answers go through a switch.
    fn switched(upstream: &Proxy) -> (Proxy, Arc<AtomicBool>) {
        let proxy = Proxy::start(upstream.address());
        let is_down = Arc::new(AtomicBool::new(false));
        let when = Arc::clone(&is_down);
        let rule = proxy.when(move |_| when.load(Ordering::SeqCst));
        rule.answer(404, &[], b"");
        (proxy, is_down)
    }

    fn setting(mirror: &Proxy, root: &[u8]) -> RootMirror {
        let url = format!("http://{}", mirror.address());
        let root = String::from_utf8(root.to_vec()).expect("JSON");
        let map = BTreeMap::from([
            (MIRROR.to_owned(), url),
            ("tekseal.tuf-root".to_owned(), root),
        ]);
        let config = Config::from_map(&map).expect("a good map");
        let mirror = RootMirror::of(&config).expect("it can be carried out");
        mirror.expect("there is one")
    }

    /// It is time to ask again.
    fn hurry(roots: &mut Roots) {
        let known = roots.known.as_mut().expect("something is known");
        known.next = Instant::now();
    }

    #[tokio::test]
    async fn a_mirror_that_was_not_asked_is_put_off() {
        let repository = TufRepository::new(b"first");
        let root = repository.file("1.root.json").to_vec();
        let served = repository.serve();
        let mut roots = Roots::new(Vec::new());
        roots.put_off();
        assert_eq!(roots.next(), None);
        let setting = setting(&served, &root);
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("first"));
        let next = roots.next();
        roots.put_off();
        assert_eq!(roots.next(), next, "it is not due");
        hurry(&mut roots);
        roots.put_off();
        let later = Instant::now() + AGAIN / 2;
        assert!(roots.next().is_some_and(|next| next > later));
        assert_eq!(roots.last(), Some("first"));
    }

    #[tokio::test]
    async fn the_last_good_root_holds_while_a_mirror_is_down_or_goes_back() {
        let mut repository = TufRepository::new(b"first");
        let root = repository.file("1.root.json").to_vec();
        let old = repository.file("timestamp.json").to_vec();
        repository.rotate();
        repository.publish(b"second");
        let upstream = repository.serve();
        let (mirror, is_down) = switched(&upstream);
        let setting = setting(&mirror, &root);
        let mut roots = Roots::new(Vec::new());
        is_down.store(true, Ordering::SeqCst);
        let said = roots.of(&setting).await.expect_err("there was none so far");
        assert!(
            said.starts_with("signers.x509.tuf.mirror.url: the mirror has no timestamp.json"),
            "{said}"
        );
        assert!(
            roots
                .next()
                .is_some_and(|next| next <= Instant::now() + SOON)
        );
        is_down.store(false, Ordering::SeqCst);
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("second"));
        let asked = mirror.count();
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("second"));
        assert_eq!(mirror.count(), asked, "it is not time to ask again");
        assert!(
            roots
                .next()
                .is_some_and(|next| next > Instant::now() + AGAIN)
        );
        is_down.store(true, Ordering::SeqCst);
        hurry(&mut roots);
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("second"));
        assert_eq!(roots.last(), Some("second"));
        is_down.store(false, Ordering::SeqCst);
        // What it showed before is remembered: nothing older is taken.
        let when = mirror.when(|seen| seen.path == "/timestamp.json");
        when.answer(200, &[], &old);
        hurry(&mut roots);
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("second"));
        assert!(
            roots
                .next()
                .is_some_and(|next| next <= Instant::now() + AGAIN)
        );
        // Another mirror is another one.
        let thief = TufRepository::new(b"third");
        let stolen = thief.serve();
        let setting = self::setting(&stolen, &root);
        let said = roots
            .of(&setting)
            .await
            .expect_err("nobody trusts its keys");
        assert!(said.contains("valid signatures of 0 keys"), "{said}");
        assert_eq!(roots.last(), None);
    }

    #[tokio::test]
    async fn a_newer_root_is_taken_when_it_is_time() {
        let mut repository = TufRepository::new(b"first");
        let root = repository.file("1.root.json").to_vec();
        let before = repository.serve();
        let later = Proxy::start(before.address());
        let setting = setting(&later, &root);
        let mut roots = Roots::new(Vec::new());
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("first"));
        repository.online = TufKey::p256();
        repository.publish_root();
        repository.publish(b"second");
        let files = repository.files.clone();
        for (path, content) in files {
            let path = format!("/{path}");
            let rule = later.when(move |seen| seen.path == path);
            rule.answer(200, &[], &content);
        }
        hurry(&mut roots);
        assert_eq!(roots.of(&setting).await.as_deref(), Ok("second"));
    }

    #[test]
    fn what_a_mirror_is_believed_by_must_be_a_root() {
        let of = |pairs: &[(&str, &str)]| {
            let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            let map = pairs.iter().map(owned).collect();
            let config = Config::from_map(&map).expect("a good map");
            RootMirror::of(&config).map(|mirror| mirror.map(|mirror| mirror.url().to_owned()))
        };
        assert_eq!(of(&[]), Ok(None));
        let url = (MIRROR, "https://tuf.example");
        assert_eq!(of(&[url]), Ok(None), "nothing is signed with certificates");
        let fulcio = ("signers.x509.fulcio.enabled", "true");
        let said = of(&[url, fulcio]).expect_err("nothing says by what it is believed");
        assert!(
            said.starts_with(MIRROR) && said.contains("tekseal.tuf-root"),
            "{said}"
        );
        assert_eq!(of(&[fulcio]), Ok(None), "the default asks for nothing");
        let text = ("tekseal.trusted-root", "{}");
        assert_eq!(of(&[url, fulcio, text]), Ok(None), "a text goes before it");
        let thief = [&TufKey::ed25519(), &TufKey::p256()];
        let repository = TufRepository::new(b"");
        let forged = signed(&repository.root(1), &thief);
        let forged = String::from_utf8(forged).expect("JSON");
        for bad in ["{}", "hunter2", &forged] {
            let said = of(&[url, ("tekseal.tuf-root", bad)]).expect_err("it is none");
            assert!(said.starts_with("tekseal.tuf-root: "), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let root = repository.file("1.root.json").to_vec();
        let root = String::from_utf8(root).expect("JSON");
        let root = ("tekseal.tuf-root", root.as_str());
        assert_eq!(of(&[url, root]), Ok(Some("https://tuf.example".to_owned())));
        let default = "https://tuf-repo-cdn.sigstore.dev".to_owned();
        assert_eq!(of(&[root]), Ok(Some(default)));
    }
}
