//! The real docker-registry.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;

use tekseal_core::cosign::Tag;
use tekseal_core::{DigestRef, Repository, Signed};
use tekseal_remote::registry::{Access, Options, Registry};
use tekseal_remote::store::{self, Outcome};

use crate::{HEX, att_tag, attestation, image, never, same_payload, signature};

/// A docker-registry on a free loopback port. It ends with this value.
struct Server {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("config.yml");
        let root = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            root.display()
        );
        std::fs::write(&file, text).expect("the temporary folder is writable");
        let mut command = Command::new("docker-registry");
        command
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("docker-registry is installed");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr is a pipe"))
            .lines()
            .map_while(Result::ok);
        let found = lines.find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(
                rest.chars()
                    .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                    .collect(),
            )
        });
        // The pipe is read to its end, or the server would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address: found.expect("docker-registry says where it listens"),
            _folder: folder,
        }
    }

    fn image(&self, name: &str) -> DigestRef {
        image(&Repository::parse(&format!("{}/{name}", self.address)).expect("well formed"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client() -> Registry {
    Registry::new(Options {
        access: Access::PullPush,
        ..Options::default()
    })
    .expect("the options are fine")
}

#[tokio::test]
async fn what_is_appended_is_read_back_in_order_and_both_tags_can_be_written_at_once() {
    let server = Server::start();
    let image = server.image("app");
    let client = client();
    let signatures = [signature("a"), signature("b")];
    let attestations = [attestation("one", "1"), attestation("two", "2")];
    let (sig, att) = tokio::join!(
        store::append(&client, &image, Tag::Signatures, &signatures, &never),
        store::append(
            &client,
            &image,
            Tag::Attestations,
            &attestations,
            &same_payload
        ),
    );
    assert_eq!(sig.expect("alone").outcomes, [Outcome::Added; 2]);
    let att = att.expect("alone");
    assert_eq!(
        (att.tag.as_str(), att.outcomes.as_slice()),
        (att_tag().as_str(), [Outcome::Added; 2].as_slice())
    );
    let later = [signature("c"), signature("a")];
    let later = store::append(&client, &image, Tag::Signatures, &later, &never)
        .await
        .expect("alone");
    assert_eq!(later.outcomes, [Outcome::Added, Outcome::AlreadyThere]);
    let again = [attestation("two", "other random")];
    let again = store::append(&client, &image, Tag::Attestations, &again, &same_payload)
        .await
        .expect("alone");
    assert_eq!(
        (again.outcomes, again.manifest_digest),
        (vec![Outcome::AlreadyThere], att.manifest_digest)
    );

    let read = |fetched: Vec<store::Fetched>| -> Vec<Signed> {
        fetched
            .into_iter()
            .map(|layer| layer.signed.expect("the layer is fine"))
            .collect()
    };
    let found = read(
        store::signatures(&client, &image)
            .await
            .expect("the tag is fine"),
    );
    assert_eq!(found, [signature("a"), signature("b"), signature("c")]);
    assert_eq!(
        read(
            store::attestations(&client, &image)
                .await
                .expect("the tag is fine")
        ),
        attestations
    );
    let tree = store::tree(&client, &image)
        .await
        .expect("all of it is fine");
    assert_eq!(tree.tags.len(), 2);
    assert_eq!(tree.tags[0].tag, format!("sha256-{HEX}.sig"));
}

/// Six writers with a connection pool and a thread each, let go at the same moment.
fn contend(server: &Server, round: usize) {
    const WRITERS: usize = 6;
    let image = server.image(&format!("contended/{round}"));
    let barrier = Barrier::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (image, barrier) = (&image, &barrier);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                barrier.wait();
                let new = [signature(&format!("writer {writer}"))];
                let client = client();
                let run = store::append(&client, image, Tag::Signatures, &new, &never);
                runtime
                    .block_on(run)
                    .unwrap_or_else(|e| panic!("round {round}, writer {writer}: {e:?}"));
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let fetched = runtime
        .block_on(store::signatures(&client(), &image))
        .expect("the tag is fine");
    let mut found: Vec<String> = fetched.into_iter().map(|layer| layer.digest).collect();
    let mut wanted: Vec<String> = (0..WRITERS)
        .map(|writer| {
            signature(&format!("writer {writer}"))
                .layer_digest()
                .to_string()
        })
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "round {round}");
}

#[test]
fn six_writers_at_once_lose_nothing() {
    let server = Server::start();
    (0..5).for_each(|round| contend(&server, round));
}

#[test]
#[ignore = "takes minutes; run it after every change to the times in store/pace.rs"]
fn six_writers_at_once_lose_nothing_in_a_hundred_rounds() {
    let server = Server::start();
    (0..100).for_each(|round| contend(&server, round));
}
