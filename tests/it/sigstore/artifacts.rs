//! Signatures and attestations by the real cosign: with a key or a certificate, in each layout, with and without a log and a timestamp.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tekseal_harness::{
    Cosign, Image, Issuer, Layout, Output, Registry, RekorV2, Run, Services, Sigstore,
    TimestampAuthority, cosign, fixtures,
};
use tempfile::TempDir;

use crate::workshop::PASSWORD;

/// Both versions of cosign.
pub(crate) const VERSIONS: [&str; 2] = ["2.6.5", "3.1.3"];
/// The ServiceAccount of [`Who::Builder`], as namespace and name.
pub(crate) const SERVICE_ACCOUNT: (&str, &str) = ("team", "builder");
/// How certificates name [`Who::Builder`].
pub(crate) const IDENTITY: &str = "https://kubernetes.io/namespaces/team/serviceaccounts/builder";
/// The type of the attestations.
pub(crate) const PREDICATE_TYPE: &str = "slsaprovenance1";

/// With what something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    Key,
    /// A key of the moment, with a certificate by Fulcio.
    Certificate(Who),
}

/// Whom a certificate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A ServiceAccount: [`IDENTITY`].
    Builder,
    /// Another ServiceAccount of the same cluster.
    Stranger,
    /// Somebody with an e-mail address, by the issuer for people.
    Person,
    /// A process of this machine, by a SPIRE.
    Workload,
}

impl Who {
    /// The name in the certificate.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Builder => IDENTITY,
            Self::Stranger => "https://kubernetes.io/namespaces/team/serviceaccounts/stranger",
            Self::Person => "builder@example.com",
            Self::Workload => "spiffe://tekseal.test/signer",
        }
    }

    /// Who vouches for the name.
    pub(crate) fn issuer(self, issuer: &Issuer) -> String {
        match self {
            Self::Builder | Self::Stranger => issuer.cluster(),
            Self::Person => issuer.people(),
            Self::Workload => issuer.workloads(),
        }
    }

    fn token(self, issuer: &Issuer) -> String {
        match self {
            Self::Builder => issuer.service_account_token(SERVICE_ACCOUNT.0, SERVICE_ACCOUNT.1),
            Self::Stranger => issuer.service_account_token("team", "stranger"),
            Self::Person => issuer.email_token(self.name()),
            Self::Workload => panic!("its agent alone gives a token"),
        }
    }
}

impl Signer {
    /// Whom the certificate names, where there is one.
    fn who(self) -> Option<Who> {
        match self {
            Self::Key => None,
            Self::Certificate(who) => Some(who),
        }
    }
}

/// Which log has an entry of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    None,
    RekorV1,
    RekorV2,
}

/// Who says when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timestamp {
    None,
    Authority,
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Artifact {
    Signature,
    Attestation,
}

/// How something is signed.
#[derive(Clone, Copy)]
pub(crate) struct Recipe {
    /// Of cosign.
    pub(crate) version: &'static str,
    pub(crate) signer: Signer,
    pub(crate) layout: Layout,
    pub(crate) log: Log,
    pub(crate) timestamp: Timestamp,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            signer,
            layout,
            log,
            timestamp,
        } = self;
        write!(
            f,
            "cosign {version}: {signer:?}, {layout:?}, log {log:?}, timestamp {timestamp:?}"
        )
    }
}

impl Recipe {
    /// All that a version of cosign can do in a layout, and verifies itself.
    pub(crate) fn all(version: &'static str, layout: Layout, artifact: Artifact) -> Vec<Self> {
        let mut all = Vec::new();
        for signer in [Signer::Key, Signer::Certificate(Who::Builder)] {
            for log in [Log::None, Log::RekorV1, Log::RekorV2] {
                for timestamp in [Timestamp::None, Timestamp::Authority] {
                    all.push(Self {
                        version,
                        signer,
                        layout,
                        log,
                        timestamp,
                    });
                }
            }
        }
        all.retain(|recipe| recipe.is_possible(artifact));
        all
    }

    /// Whether only a whole [`Sigstore`] can do it.
    pub(crate) fn needs_sigstore(&self) -> bool {
        self.signer != Signer::Key || self.log == Log::RekorV1
    }

    fn is_possible(&self, artifact: Artifact) -> bool {
        // Under tags stands the promise of a log to take the entry in, which the second version does not give; and cosign 2 sends it what it
        // takes no more, the whole envelope.
        let has_log = self.log != Log::RekorV2
            || (self.layout == Layout::Bundles && !self.version.starts_with('2'));
        // Certificates end after ten minutes. The second version of the log does not say when it took an entry in.
        let has_time = self.signer == Signer::Key
            || self.log == Log::RekorV1
            || self.timestamp == Timestamp::Authority;
        // Of an attestation under tags cosign 3 has the wrong bytes stamped, and then refuses the timestamp itself.
        let has_right_bytes = artifact == Artifact::Signature
            || self.layout == Layout::Bundles
            || self.timestamp == Timestamp::None
            || self.version.starts_with('2');
        has_log && has_time && has_right_bytes
    }
}

/// Running services, a key pair, and the files with which cosign signs and verifies.
pub(crate) struct Signery {
    folder: TempDir,
    rekor_v2: &'static RekorV2,
    timestamps: &'static TimestampAuthority,
    sigstore: Option<&'static Sigstore>,
    /// Encrypted with [`PASSWORD`].
    pub(crate) key: PathBuf,
    pub(crate) public: PathBuf,
}

impl Signery {
    /// With the services that start quickly; `None`, with the reason printed, where one of them, or cosign, is missing.
    pub(crate) fn basic() -> Option<Self> {
        let (rekor_v2, timestamps) = (RekorV2::shared()?, TimestampAuthority::shared()?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, public) = cosign(VERSIONS[1])?.generate_key_pair(folder.path(), PASSWORD);
        Some(Self {
            folder,
            rekor_v2,
            timestamps,
            sigstore: None,
            key,
            public,
        })
    }

    /// With all services; `None`, with the reason printed, where one of them, or cosign, is missing.
    pub(crate) fn full() -> Option<Self> {
        let sigstore = Some(Sigstore::shared()?);
        Some(Self {
            sigstore,
            ..Self::basic()?
        })
    }

    /// What needs a database.
    pub(crate) fn sigstore(&self) -> &'static Sigstore {
        self.sigstore.expect("only a full one can do this")
    }

    /// All services.
    pub(crate) fn services(&self) -> Services<'static> {
        let basic = Services::none()
            .with_rekor_v2(self.rekor_v2)
            .with_timestamps(self.timestamps);
        self.sigstore.map_or(basic, |sigstore| {
            basic
                .with_rekor_v1(&sigstore.rekor)
                .with_fulcio(&sigstore.fulcio)
        })
    }

    /// A trusted root with all services.
    pub(crate) fn trusted_root(&self) -> PathBuf {
        self.write("trusted_root.json", &self.services().trusted_root())
    }

    /// Signs an image, or attests SLSA provenance about it; `None`, with the reason printed, where that version of cosign is missing.
    #[track_caller]
    pub(crate) fn make(&self, artifact: Artifact, recipe: Recipe, image: &str) -> Option<()> {
        match artifact {
            Artifact::Signature => self.sign_with_cosign(recipe, image),
            Artifact::Attestation => self.attest_with_cosign(recipe, image),
        }
    }

    /// Signs an image; `None`, with the reason printed, where that version of cosign is missing.
    #[track_caller]
    pub(crate) fn sign_with_cosign(&self, recipe: Recipe, image: &str) -> Option<()> {
        let cosign = cosign(recipe.version)?;
        let run = self.writing(&cosign, "sign", recipe);
        let made = run.arg(image).run();
        assert_eq!(made.code(), Some(0), "{recipe}\n{made:?}");
        Some(())
    }

    /// Attests SLSA provenance about an image; `None`, with the reason printed, where that version of cosign is missing.
    #[track_caller]
    pub(crate) fn attest_with_cosign(&self, recipe: Recipe, image: &str) -> Option<()> {
        self.attest_type_with_cosign(recipe, PREDICATE_TYPE, "predicate-slsa1.json", image)
    }

    /// Attests a predicate of the samples about an image; `None`, with the reason printed, where that version of cosign is missing.
    #[track_caller]
    pub(crate) fn attest_type_with_cosign(
        &self,
        recipe: Recipe,
        predicate_type: &str,
        predicate: &str,
        image: &str,
    ) -> Option<()> {
        let cosign = cosign(recipe.version)?;
        let run = self.writing(&cosign, "attest", recipe);
        let inputs = fixtures().join("cosign-samples/inputs");
        let made = run
            .args(["--type", predicate_type, "--predicate"])
            .arg(inputs.join(predicate))
            .arg(image)
            .run();
        assert_eq!(made.code(), Some(0), "{recipe}\n{made:?}");
        Some(())
    }

    /// What cosign says of an image to which something was done after this recipe: it asks for the entry of the log and for the timestamp
    /// where the recipe has them, and believes all services.
    pub(crate) fn verify_with_cosign(
        &self,
        cosign: &Cosign,
        artifact: Artifact,
        recipe: Recipe,
        image: &str,
    ) -> Output {
        let mut run = self.reading(cosign, artifact, recipe);
        if cosign.major() > 2 || recipe.layout == Layout::Bundles {
            return run
                .arg("--trusted-root")
                .arg(self.trusted_root())
                .arg(image)
                .run();
        }
        // `verify-attestation` of cosign 2 takes a trusted root for bundles only.
        if recipe.timestamp == Timestamp::Authority {
            run = run
                .arg("--timestamp-certificate-chain")
                .arg(self.timestamps.chain());
        }
        self.with_trust(run).arg(image).run()
    }

    /// The command that verifies, without whom it believes and without the image.
    pub(crate) fn reading(&self, cosign: &Cosign, artifact: Artifact, recipe: Recipe) -> Run {
        let mut run = match artifact {
            Artifact::Signature => cosign.run("verify"),
            Artifact::Attestation => cosign
                .run("verify-attestation")
                .args(["--type", PREDICATE_TYPE]),
        };
        run = match recipe.signer {
            Signer::Key => run.arg("--key").arg(&self.public),
            Signer::Certificate(who) => run
                .args(["--certificate-identity", who.name()])
                .arg("--certificate-oidc-issuer")
                .arg(who.issuer(&self.sigstore().issuer)),
        };
        if recipe.log == Log::None {
            run = run.arg("--insecure-ignore-tlog=true");
        }
        if recipe.timestamp == Timestamp::Authority {
            run = run.arg("--use-signed-timestamps");
        }
        match (recipe.layout, cosign.major()) {
            // Nobody asks a log that is elsewhere.
            (Layout::Tags, _) => run.arg("--offline=true"),
            (Layout::Bundles, 2) => run.arg("--new-bundle-format"),
            (Layout::Bundles, _) => run,
        }
    }

    /// Writes a JSON file into the folder.
    pub(crate) fn write(&self, name: &str, json: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, json.to_string()).expect("the folder is ours");
        path
    }

    /// The command that signs, without what is signed.
    fn writing(&self, cosign: &Cosign, command: &str, recipe: Recipe) -> Run {
        let mut run = cosign
            .run(command)
            .arg("--yes")
            .env("COSIGN_PASSWORD", PASSWORD);
        run = match recipe.signer {
            Signer::Key => run.arg("--key").arg(&self.key),
            Signer::Certificate(who) => run
                .arg("--identity-token")
                .arg(who.token(&self.sigstore().issuer)),
        };
        if recipe.layout == Layout::Tags {
            return self.with_flags(run, cosign, recipe);
        }
        let mut used = Services::none();
        match recipe.log {
            Log::None => {}
            Log::RekorV1 => used = used.with_rekor_v1(&self.sigstore().rekor),
            Log::RekorV2 => used = used.with_rekor_v2(self.rekor_v2),
        }
        if recipe.timestamp == Timestamp::Authority {
            used = used.with_timestamps(self.timestamps);
        }
        if recipe.signer != Signer::Key {
            used = used.with_fulcio(&self.sigstore().fulcio);
        }
        run.arg("--new-bundle-format=true")
            .arg("--signing-config")
            .arg(self.write("signing_config.json", &used.signing_config()))
            .arg("--trusted-root")
            .arg(self.trusted_root())
    }

    /// As both want it where they write no bundle: each service by a flag.
    fn with_flags(&self, mut run: Run, cosign: &Cosign, recipe: Recipe) -> Run {
        run = match recipe.log {
            Log::None => run.arg("--tlog-upload=false"),
            Log::RekorV1 => run.arg("--rekor-url").arg(self.sigstore().rekor.url()),
            Log::RekorV2 => panic!("not possible: {recipe}"),
        };
        if recipe.timestamp == Timestamp::Authority {
            run = run.arg("--timestamp-server-url").arg(self.timestamps.url());
        }
        if recipe.signer != Signer::Key {
            run = run.arg("--fulcio-url").arg(self.sigstore().fulcio.url());
        }
        if cosign.major() > 2 {
            return run
                .args(["--use-signing-config=false", "--new-bundle-format=false"])
                .arg("--trusted-root")
                .arg(self.trusted_root());
        }
        self.with_trust(run)
    }

    /// As cosign 2 wants to be told whom it believes, where it reads no trusted root.
    fn with_trust(&self, run: Run) -> Run {
        let Some(Sigstore { rekor, fulcio, .. }) = self.sigstore else {
            return run;
        };
        run.env("SIGSTORE_REKOR_PUBLIC_KEY", rekor.public_key())
            .env("SIGSTORE_ROOT_FILE", fulcio.root())
            .env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", fulcio.log_public_key())
    }
}

impl Signery {
    /// Ours accepts it, requires what is there and tells it, and refuses it where more is required than there is.
    fn verified_by_ours(&self, artifact: Artifact, recipe: Recipe, image: &str) {
        let verify = || {
            let run = Run::tool("tekseal-verify");
            let run = match artifact {
                Artifact::Signature => run.args(["--only", "signature"]),
                Artifact::Attestation => {
                    run.args(["--only", "attestation", "--type", PREDICATE_TYPE])
                }
            };
            let run = match recipe.signer {
                Signer::Key => run.arg("--key").arg(&self.public),
                Signer::Certificate(who) => run
                    .args(["--certificate-identity", who.name()])
                    .arg("--certificate-oidc-issuer")
                    .arg(who.issuer(&self.sigstore().issuer)),
            };
            run.arg("--trusted-root")
                .arg(self.trusted_root())
                .args(["--output", "json"])
        };
        let ignore = |is_there: bool, run: Run| match is_there {
            true => run,
            false => run.arg("--insecure-ignore-tlog"),
        };
        let (is_logged, is_stamped) = (
            recipe.log != Log::None,
            recipe.timestamp == Timestamp::Authority,
        );
        let mut run = ignore(is_logged, verify());
        if is_stamped {
            run = run.arg("--use-signed-timestamps");
        }
        let said = run.arg(image).ok();
        let report = &said.json()[0];
        let found = match artifact {
            Artifact::Signature => &report["signatures"],
            Artifact::Attestation => &report["attestations"],
        };
        let count = |member: &str| found[0][member].as_array().map_or(0, Vec::len);
        assert_eq!(
            found.as_array().map(Vec::len),
            Some(1),
            "{recipe}\n{said:?}"
        );
        assert_eq!(
            (count("logEntries"), count("timestamps")),
            (usize::from(is_logged), usize::from(is_stamped)),
            "{recipe}\n{said:?}"
        );
        assert_eq!(
            found[0]["identity"].as_str(),
            recipe.signer.who().map(Who::name),
            "{recipe}"
        );
        let place = match recipe.layout {
            Layout::Tags => "tag",
            Layout::Bundles => "referrer",
        };
        assert!(found[0][place].is_string(), "{recipe}\n{said:?}");
        if !is_logged {
            let said = verify().arg(image).fails_with(1);
            said.says("signature not found in transparency log");
        }
        if !is_stamped {
            let run = ignore(is_logged, verify()).arg("--use-signed-timestamps");
            let said = run.arg(image).fails_with(1);
            said.says("no timestamp of a trusted authority");
        }
    }
}

/// Does the same after each of these recipes, to an image each, and has both versions of cosign and ours verify it.
pub(crate) fn made_and_verified(signery: &Signery, artifact: Artifact, recipes: &[Recipe]) {
    assert!(!recipes.is_empty());
    let registry = Registry::start();
    for (at, recipe) in recipes.iter().enumerate() {
        let image = registry.push_image("team/app", &at.to_string());
        if signery.make(artifact, *recipe, &image.reference).is_none() {
            return;
        }
        // A timestamp under a tag that is not there is no trouble for cosign.
        assert_eq!(
            evidence(&registry, &image, artifact, recipe.layout),
            [
                recipe.signer != Signer::Key,
                recipe.log != Log::None,
                recipe.timestamp == Timestamp::Authority
            ],
            "{recipe}: certificate, entry of a log, timestamp"
        );
        for reader in VERSIONS {
            let Some(reader) = cosign(reader) else { return };
            let said = signery.verify_with_cosign(&reader, artifact, *recipe, &image.reference);
            assert_eq!(said.code(), Some(0), "{recipe}\n{said:?}");
        }
        signery.verified_by_ours(artifact, *recipe, &image.reference);
    }
}

/// Whether a certificate, an entry of a log and a timestamp lie beside the one signature of an image.
fn evidence(registry: &Registry, image: &Image, artifact: Artifact, layout: Layout) -> [bool; 3] {
    let tag = image.digest.replace(':', "-");
    let read = |reference: &str| {
        let manifest = registry.manifest(&image.repository, reference);
        manifest
            .unwrap_or_else(|| panic!("there is no {reference}"))
            .json()
    };
    let is_there = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    match layout {
        Layout::Tags => {
            let suffix = match artifact {
                Artifact::Signature => "sig",
                Artifact::Attestation => "att",
            };
            let annotations = &read(&format!("{tag}.{suffix}"))["layers"][0]["annotations"];
            ["certificate", "bundle", "rfc3161timestamp"]
                .map(|name| is_there(&annotations[format!("dev.sigstore.cosign/{name}")]))
        }
        Layout::Bundles => {
            let text = |value: &Value| value.as_str().expect("a digest").to_owned();
            let referrer = read(&text(&read(&tag)["manifests"][0]["digest"]));
            let blob = registry.blob(&image.repository, &text(&referrer["layers"][0]["digest"]));
            let bundle: Value = serde_json::from_slice(&blob.expect("the registry has its layers"))
                .expect("a bundle is JSON");
            let material = &bundle["verificationMaterial"];
            let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
            [
                is_there(&material["certificate"]["rawBytes"]),
                is_there(&material["tlogEntries"][0]["canonicalizedBody"]),
                is_there(&stamps[0]["signedTimestamp"]),
            ]
        }
    }
}
