//! A key pair in a Secret, as `cosign generate-key-pair k8s://…` leaves it, and its rotation.
//!
//! ```text
//!   make     Secret absent ── create ──▶ cosign.key, cosign.password, cosign.pub; immutable
//!   rotate   read ── dry runs of create and delete ── delete ── create ──▶ new pair, cosign.pub.1 … of the earlier ones
//!                                                      └ refused ── create with the old contents ──▶ as it was
//!                                                                    └ refused ── file, mode 0600
//! ```
//!
//! An immutable Secret cannot be changed, so rotation must delete it. Everything that can refuse is asked before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tekseal_cluster::secrets::{self, Effect};
use tekseal_cluster::{Cluster, Error, SecretData, SecretRef};
use tekseal_core::Blame;
use tekseal_signing::{PublicKey, Signer, Zeroizing};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Args, Pair, exists, with_suffix, write_new};
use crate::Failure;
use crate::cluster_args::{ClusterArgs, read_secret};
use crate::files::{self, Mode};
use crate::log;

/// How often a Secret is tried to be made while the API server does not answer.
const ATTEMPTS: u32 = 10;
/// The wait between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

type Data = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// Makes or rotates the pair in a Secret and writes its public key.
pub(super) fn run(args: &Args, reference: &str) -> Result<PublicKey, Failure> {
    let secret: SecretRef = reference.parse().map_err(Failure::misuse)?;
    let public_path = with_suffix(&args.output_key_prefix, ".pub");
    match args.rotate {
        true => rotate(args, &secret, &public_path),
        false => make(args, &secret, &public_path),
    }
}

fn make(args: &Args, secret: &SecretRef, public_path: &Path) -> Result<PublicKey, Failure> {
    // First, for it has the public key that the file probably is of.
    crate::block_on(is_free(&args.cluster, secret))?;
    if public_path.symlink_metadata().is_ok() {
        return Err(exists(public_path));
    }
    let pair = Pair::make(args)?;
    let public = pair.public();
    let content = SecretData::opaque(pair.into_data());
    crate::block_on(async {
        let cluster = args.cluster.connect().await?;
        let made = cluster.create_secret(secret, &content, Effect::Real);
        made.await.map_err(|error| not_made(error, secret))
    })?;
    write_new(public_path, public.to_pem().as_bytes(), Mode::Public)
        .map_err(|failure| in_secret_all_the_same(failure, secret))?;
    tell("made key pair", secret, public_path, &public);
    Ok(public)
}

/// Asked before a password is: nobody should think of one in vain.
async fn is_free(cluster: &ClusterArgs, secret: &SecretRef) -> Result<(), Failure> {
    let cluster = cluster.connect().await?;
    match cluster.secret(secret).await {
        Ok(_) => Err(taken(secret)),
        // Whoever may only make Secrets is told by the attempt.
        Err(error) if error.is_not_found() || error.status() == Some(403) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn rotate(args: &Args, secret: &SecretRef, public_path: &Path) -> Result<PublicKey, Failure> {
    let old = crate::block_on(async {
        let cluster = args.cluster.connect().await?;
        read_secret(&cluster, &secret.namespace, &secret.name).await
    })?;
    if let Some(finalizer) = old.finalizers.first() {
        let error = anyhow!(
            "the Secret {secret} has the finalizer {finalizer}, so it cannot be deleted and made again at once"
        );
        return Err(Failure::misuse(error)
            .hint("take the finalizer away, or make a pair under another name"));
    }
    let former = public_key_of(&old, secret)?;
    check_replaceable(public_path, &former)?;
    let is_replaced = public_path.symlink_metadata().is_ok();
    let rescue = rescue_path(public_path, secret)?;
    let pair = Pair::make(args)?;
    let public = pair.public();
    let new = old.with(rotated(&old, &former, pair.into_data()));
    if old.get("x509.pem").is_some() {
        log::warn(
            "the Secret also has x509.pem, which is not rotated; Tekton Chains takes it before cosign.key",
            &[("secret", secret)],
        );
    }
    let rotation = Rotation {
        secret,
        old,
        new,
        rescue,
    };
    crate::block_on(async { rotation.run(&args.cluster.connect().await?).await })?;
    files::write(public_path, public.to_pem().as_bytes(), Mode::Public)
        .map_err(|failure| in_secret_all_the_same(failure, secret))?;
    if is_replaced {
        log::info(
            "replaced the file of the earlier public key",
            &[("file", &public_path.display())],
        );
    }
    log::info(
        "kept public key of the earlier pair",
        &[
            ("under", &secrets::former_public_key(1)),
            ("key", &former.fingerprint()),
        ],
    );
    tell("rotated key pair", secret, public_path, &public);
    Ok(public)
}

impl Pair {
    fn public(&self) -> PublicKey {
        self.signer.public_key().clone()
    }

    fn into_data(self) -> Data {
        let public = self.signer.public_key().to_pem().into_bytes();
        [
            (secrets::PRIVATE_KEY, Zeroizing::new(self.pem.into_bytes())),
            (secrets::PASSWORD, self.password),
            (secrets::PUBLIC_KEY, Zeroizing::new(public)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// The public key of the pair in a Secret: as it is written there, else by the private key.
fn public_key_of(old: &SecretData, secret: &SecretRef) -> Result<PublicKey, Failure> {
    let failed = |failure: Failure| {
        failure
            .context(format!("reading the key pair in {secret}"))
            .hint("a Secret whose public key is not known is not rotated, since old signatures would be lost; make a new one under another name")
    };
    if let Some(pem) = old.get(secrets::PUBLIC_KEY) {
        return PublicKey::from_pem(pem).map_err(|e| failed(Failure::misuse(e)));
    }
    let Some(pem) = old.get(secrets::PRIVATE_KEY) else {
        let error = anyhow!("it has neither cosign.pub nor cosign.key");
        return Err(failed(Failure::misuse(error)));
    };
    let password = old.get(secrets::PASSWORD).unwrap_or_default().to_vec();
    Signer::from_pem(pem, || Ok::<_, Failure>(Zeroizing::new(password)))
        .map(|signer| signer.public_key().clone())
        .map_err(failed)
}

/// What is in the Secret afterwards: the new pair, the public keys of the earlier ones, and what else was in it.
fn rotated(old: &SecretData, former: &PublicKey, mut data: Data) -> Data {
    let former = Zeroizing::new(former.to_pem().into_bytes());
    let earlier = old.former_public_keys().map(<[u8]>::to_vec);
    let all = std::iter::once(former).chain(earlier.map(Zeroizing::new));
    for (at, key) in all.take(secrets::MOST_FORMER).enumerate() {
        data.insert(secrets::former_public_key(at + 1), key);
    }
    if old.former_public_keys().count() >= secrets::MOST_FORMER {
        log::warn(
            "the oldest public key is no longer kept",
            &[("kept", &secrets::MOST_FORMER)],
        );
    }
    for (key, value) in &old.data {
        data.entry(key.clone()).or_insert_with(|| value.clone());
    }
    data
}

/// A file is replaced only where it has the public key that is kept.
pub(super) fn check_replaceable(path: &Path, former: &PublicKey) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let bytes = files::read_plain(path, 64 * 1024, "public key")?;
    match PublicKey::from_pem(&bytes) {
        Ok(key) if key == *former => Ok(()),
        _ => Err(exists(path)),
    }
}

/// A Secret that is being replaced.
struct Rotation<'a> {
    secret: &'a SecretRef,
    old: SecretData,
    new: SecretData,
    /// Where the new contents go if the cluster takes neither them nor the old ones.
    rescue: PathBuf,
}

impl Rotation<'_> {
    /// Guarantees: afterwards the Secret has the new contents, or the old ones, or another one was made by somebody else, or the new
    /// ones are in the rescue file; the error says which. Assumptions: the process is not killed by force between two requests.
    async fn run(&self, cluster: &Cluster) -> Result<(), Failure> {
        self.rehearse(cluster).await?;
        let _deaf = deaf_to_signals()?;
        let deleted = cluster
            .delete_secret(self.secret, &self.old.version, Effect::Real)
            .await;
        match deleted {
            Ok(()) => {}
            // Perhaps only the answer was lost: the attempt to make the new one tells.
            Err(error) if error.blame() == Blame::Outside && !error.is_conflict() => {}
            // Somebody else deleted it, which leaves the cluster without one all the same.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(self.untouched(error)),
        }
        let Err(error) = self.create(cluster, &self.new).await else {
            return Ok(());
        };
        if let Ok(found) = cluster.secret(self.secret).await {
            if found.version.0 == self.old.version.0 {
                return Err(self.untouched(error));
            }
            let failure = anyhow!("somebody else made the Secret {} meanwhile", self.secret);
            return Err(
                Failure::no(failure).hint("look whose key it has; nothing of ours is in it")
            );
        }
        log::warn(
            "the new pair was refused, putting back the old one",
            &[("reason", &crate::exit::chain(&error))],
        );
        match self.create(cluster, &self.old).await {
            Ok(()) => Err(self.untouched(error)),
            Err(_) => Err(self.rescue(error)),
        }
    }

    /// Asks for everything that may be refused while nothing is lost yet.
    async fn rehearse(&self, cluster: &Cluster) -> Result<(), Failure> {
        let made = cluster
            .create_secret(self.secret, &self.new, Effect::DryRun)
            .await;
        match made {
            Ok(()) => {}
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(self.untouched(error)),
        }
        cluster
            .delete_secret(self.secret, &self.old.version, Effect::DryRun)
            .await
            .map_err(|error| self.untouched(error))
    }

    /// Makes the Secret, with patience where the API server does not answer. That it is there already with these contents, because only
    /// an answer was lost, is a success.
    async fn create(&self, cluster: &Cluster, content: &SecretData) -> Result<(), Error> {
        let mut left = ATTEMPTS;
        loop {
            let made = cluster.create_secret(self.secret, content, Effect::Real);
            let Err(error) = made.await else {
                return Ok(());
            };
            if error.is_conflict() {
                let found = cluster.secret(self.secret).await;
                return match found {
                    Ok(found)
                        if found.data == content.data && found.version != self.old.version =>
                    {
                        Ok(())
                    }
                    _ => Err(error),
                };
            }
            left -= 1;
            if left == 0 || error.blame() != Blame::Outside {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn untouched(&self, error: Error) -> Failure {
        let is_conflict = error.is_conflict();
        let failure =
            Failure::from(error).context(format!("not rotated, {} is as it was", self.secret));
        match is_conflict {
            true => failure.hint("it was changed meanwhile: try again"),
            false => failure,
        }
    }

    /// The last resort: what should be in the cluster lies in a file, ready to be made.
    fn rescue(&self, error: Error) -> Failure {
        let failure = Failure::from(error).context(format!(
            "the Secret {} was deleted, and the cluster takes neither the new pair nor the old one",
            self.secret
        ));
        let document = Zeroizing::new(manifest(self.secret, &self.new).to_string());
        match write_new(&self.rescue, document.as_bytes(), Mode::Secret) {
            Ok(()) => failure.hint(format!(
                "the new pair with its password is in {path} (mode 0600): kubectl create -f {path}, then remove it",
                path = self.rescue.display()
            )),
            Err(e) => failure.hint(format!(
                "the new pair could not be saved either ({}): make another one with tekseal-keygen {}",
                e.message(),
                self.secret
            )),
        }
    }
}

/// Between delete and create nothing but force may end the process.
fn deaf_to_signals() -> Result<Vec<Signal>, Failure> {
    [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ]
    .into_iter()
    .map(signal)
    .collect::<Result<_, _>>()
    .map_err(|e| Failure::outside(e).context("preparing for signals"))
}

/// The Secret as `kubectl create -f` takes it.
fn manifest(secret: &SecretRef, content: &SecretData) -> serde_json::Value {
    let data: BTreeMap<&str, String> = content
        .data
        .iter()
        .map(|(key, value)| (key.as_str(), STANDARD.encode(value.as_slice())))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": secret.namespace,
            "name": secret.name,
            "labels": content.labels,
            "annotations": content.annotations,
        },
        "type": content.kind,
        "immutable": content.immutable,
        "data": data,
    })
}

/// Where the new contents can be saved. That a file can be made there is known before anything is deleted.
fn rescue_path(public_path: &Path, secret: &SecretRef) -> Result<PathBuf, Failure> {
    let name = format!("{}.{}.secret.json", secret.namespace, secret.name);
    let path = public_path.with_file_name(name);
    if path.symlink_metadata().is_ok() {
        return Err(
            Failure::misuse(anyhow!("{} is left of an earlier rotation", path.display()))
                .hint("it has a private key: make its Secret with kubectl create -f, or remove it"),
        );
    }
    files::temporary(files::folder_of(&path), b"", Mode::Secret).map_err(|e| {
        Failure::of_writing(&e).context(format!(
            "the folder of {} takes no file, and a rotation may need one",
            path.display()
        ))
    })?;
    Ok(path)
}

fn taken(secret: &SecretRef) -> Failure {
    Failure::misuse(anyhow!("the Secret {secret} exists and is not overwritten"))
        .hint("choose another name, or replace its pair with --rotate, which keeps the public key")
}

fn not_made(error: Error, secret: &SecretRef) -> Failure {
    if error.is_conflict() {
        return taken(secret);
    }
    // What is not found when something is made is the namespace.
    if error.is_not_found() {
        return Failure::misuse(error).hint(format!(
            "make the namespace first: kubectl create namespace {}",
            secret.namespace
        ));
    }
    error.into()
}

fn in_secret_all_the_same(failure: Failure, secret: &SecretRef) -> Failure {
    failure.hint(format!(
        "the pair is in {secret} all the same; its public key is under cosign.pub there"
    ))
}

fn tell(what: &str, secret: &SecretRef, public_path: &Path, key: &PublicKey) {
    log::info(
        what,
        &[
            ("secret", secret),
            ("public", &public_path.display()),
            ("key", &key.fingerprint()),
        ],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(at: u8) -> (PublicKey, Vec<u8>) {
        let mut fill = |bytes: &mut [u8]| {
            bytes.fill(at);
            Ok(())
        };
        let signer = Signer::generate(&mut fill).expect("a key");
        let key = signer.public_key().clone();
        let pem = key.to_pem().into_bytes();
        (key, pem)
    }

    fn data(pairs: &[(&str, &[u8])]) -> Data {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), Zeroizing::new(value.to_vec())))
            .collect()
    }

    #[test]
    fn sixteen_public_keys_are_kept_newest_first_and_no_private_one() {
        let mut content = SecretData::opaque(data(&[
            ("cosign.key", b"private 0"),
            ("cosign.password", b"p"),
            ("cosign.pub", b"unused here"),
            ("other", b"stays"),
        ]));
        for at in 1..=20u8 {
            let (former, pem) = key(at);
            let next = data(&[
                ("cosign.key", format!("private {at}").as_bytes()),
                ("cosign.password", b"q"),
                ("cosign.pub", b"new"),
            ]);
            content = content.with(rotated(&content, &former, next));
            assert_eq!(content.get("cosign.pub.1"), Some(&pem[..]));
        }
        assert_eq!(content.former_public_keys().count(), 16);
        assert_eq!(content.get("cosign.pub.2"), Some(&key(19).1[..]));
        assert_eq!(content.get("cosign.pub.16"), Some(&key(5).1[..]));
        assert_eq!(content.get("cosign.pub.17"), None);
        assert_eq!(content.get("cosign.key"), Some(&b"private 20"[..]));
        assert_eq!(content.get("other"), Some(&b"stays"[..]));
    }

    #[test]
    fn a_copy_of_the_old_contents_in_an_annotation_does_not_stay() {
        let mut old = SecretData::opaque(Data::new());
        let applied = "kubectl.kubernetes.io/last-applied-configuration";
        old.annotations.insert(applied.to_owned(), "{}".to_owned());
        old.annotations.insert("a".to_owned(), "b".to_owned());
        let new = old.with(Data::new());
        assert_eq!(new.annotations.len(), 1);
        assert!(new.annotations.contains_key("a"));
    }
}
