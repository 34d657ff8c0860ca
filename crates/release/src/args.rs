//! The command line, and [`Plan`]: what is released where, after every check that needs no registry.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_core::{ImageRef, Repository};
use tekseal_steps::{Failure, files};

use crate::commit::{self, Commit, Tree};

/// Build, sign, attest, publish and verify all images, manifests and bundles of this commit.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where images and bundles go: host and path, to which their names are added
    #[arg(long, env = "TEKSEAL_RELEASE_REGISTRY", value_name = "HOST/PATH")]
    registry: String,
    /// Version, which is also their tag [default: that of Cargo.toml]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Private key to sign with: a file, env://NAME or k8s://NAMESPACE/SECRET; its password as tekseal-sign takes it
    #[arg(long, env = "TEKSEAL_KEY", value_name = "REF", hide_env_values = true)]
    key: String,
    /// Public key to verify with; without it the one beside the private key, in its Secret or in NAME.pub
    #[arg(long, env = "TEKSEAL_PUBLIC_KEY", value_name = "REF")]
    public_key: Option<String>,
    /// Image with buildah that the build Tasks use unless told otherwise, by digest
    #[arg(long, env = "BUILDER_IMAGE", value_name = "NAME@sha256:…")]
    builder_image: Option<String>,
    /// Image with git that the clone Task uses unless told otherwise, by digest
    #[arg(long, env = "GIT_IMAGE", value_name = "NAME@sha256:…")]
    git_image: Option<String>,
    /// Where the source is published [default: the https remote called origin]
    #[arg(long, env = "SOURCE_URL", value_name = "URL")]
    source_url: Option<String>,
    /// Folder for release.yaml, controller.yaml, images.txt and the SBOMs
    #[arg(long, value_name = "DIR", default_value = "out/release")]
    out: PathBuf,
    /// Folder with programs that ./build made of this commit before, others are refused; without it they are built now
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Folder with tasks/, pipelines/ and deploy/ to release in place of this source's own; it is of no commit, so --allow-dirty is needed too
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// Registry (host[:port]) to which plain http and unverified TLS are allowed; may be repeated
    #[arg(
        long = "insecure-registry",
        env = "TEKSEAL_INSECURE_REGISTRY",
        value_name = "HOST",
        value_delimiter = ','
    )]
    insecure: Vec<String>,
    /// Release what may be in no commit; the revision then ends with -dirty
    #[arg(long)]
    allow_dirty: bool,
}

/// What is released: checked, and complete.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `host/path`, without a slash at its end.
    pub(crate) registry: String,
    pub(crate) version: String,
    pub(crate) key: String,
    pub(crate) public_key: String,
    pub(crate) builder_image: String,
    pub(crate) git_image: Option<String>,
    pub(crate) commit: Commit,
    pub(crate) source_url: Option<String>,
    pub(crate) out: PathBuf,
    /// Where the programs are, or will be once they are built.
    pub(crate) bin: PathBuf,
    pub(crate) is_built: bool,
    /// Folder with `tasks`, `pipelines` and `deploy`.
    pub(crate) manifests: PathBuf,
    pub(crate) insecure: Vec<String>,
}

/// The folder of the source.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

impl Plan {
    /// Checks `args` and asks git for the commit.
    ///
    /// # Errors
    /// Exit 2, with what is wrong and what to do.
    pub(crate) fn new(args: &Args) -> Result<Self, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let builder_image = pinned("--builder-image", given(&args.builder_image))?.ok_or_else(|| {
            Failure::misuse(anyhow!("no builder image is given, and a release pins it by digest"))
                .hint("--builder-image NAME@sha256:… is the image with buildah in which users' builds run")
        })?;
        if let (Some(folder), false) = (&args.manifests, args.allow_dirty) {
            return Err(Failure::misuse(anyhow!(
                "what is in --manifests {} is of no commit, and a release names one",
                folder.display()
            ))
            .hint("--allow-dirty releases it all the same, for trying out: the revision then ends with -dirty"));
        }
        let tree = if args.allow_dirty {
            Tree::MayDiffer
        } else {
            Tree::MustBeCommitted
        };
        let (bin, is_built) = match &args.bin_dir {
            Some(folder) if folder.is_dir() => (folder.clone(), true),
            Some(folder) => {
                return Err(Failure::misuse(anyhow!(
                    "--bin-dir {} is not a folder",
                    folder.display()
                )));
            }
            None => (root().join("out/bin"), false),
        };
        let plan = Self {
            registry: registry(&args.registry)?,
            version: version(
                given(&args.version).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            )?,
            public_key: public_key(&args.key, given(&args.public_key))?,
            key: args.key.clone(),
            builder_image,
            git_image: pinned("--git-image", given(&args.git_image))?,
            commit: Commit::read(&root(), tree)?,
            source_url: given(&args.source_url)
                .map(Ok)
                .or_else(|| commit::origin(&root()).transpose())
                .transpose()?,
            out: args.out.clone(),
            bin,
            is_built,
            manifests: args.manifests.clone().unwrap_or_else(root),
            insecure: args
                .insecure
                .iter()
                .filter(|host| !host.is_empty())
                .cloned()
                .collect(),
        };
        files::make_folder(&plan.out)?;
        Ok(plan)
    }

    /// `host/path/name`.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.registry)
    }

    /// `host/path/name:version`.
    pub(crate) fn tagged(&self, name: &str) -> String {
        format!("{}:{}", self.repository(name), self.version)
    }

    /// What every image and bundle says of itself, by the names of the OCI image specification.
    pub(crate) fn marks(&self, title: &str) -> Vec<(&'static str, String)> {
        let mut marks = vec![
            (
                "org.opencontainers.image.licenses",
                env!("CARGO_PKG_LICENSE").to_owned(),
            ),
            (
                "org.opencontainers.image.revision",
                self.commit.revision.clone(),
            ),
            ("org.opencontainers.image.title", title.to_owned()),
            ("org.opencontainers.image.version", self.version.clone()),
        ];
        marks.extend(
            self.source_url
                .clone()
                .map(|url| ("org.opencontainers.image.source", url)),
        );
        marks
    }
}

/// A registry and a path, as names are added to it.
fn registry(text: &str) -> Result<String, Failure> {
    let prefix = text.trim().trim_end_matches('/');
    let host = prefix.split('/').next().unwrap_or_default();
    let refuse = |why: anyhow::Error| {
        Failure::misuse(why.context(format!("--registry {text:?}")))
            .hint("host and path without tag, such as registry.example.com/tekseal")
    };
    // `https:` would be a host to those who read references as cosign does.
    if prefix.contains("//") || (host != "localhost" && !host.contains(['.', ':'])) {
        return Err(refuse(anyhow!("it does not begin with a host name alone")));
    }
    Repository::parse(&format!("{prefix}/image")).map_err(|e| refuse(e.into()))?;
    Ok(prefix.to_owned())
}

/// A version that can be a tag, and part of an identifier of SPDX.
fn version(text: String) -> Result<String, Failure> {
    let is_good = (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_good {
        return Ok(text);
    }
    Err(
        Failure::misuse(anyhow!("--version {text:?} cannot be a tag")).hint(
            "at most 128 of A-Z a-z 0-9 . _ -, beginning with a letter or a digit, such as 0.2.0",
        ),
    )
}

/// An image that is named by digest, if one is named.
fn pinned(flag: &str, image: Option<String>) -> Result<Option<String>, Failure> {
    let Some(image) = image else { return Ok(None) };
    let refuse = |why: anyhow::Error| {
        Failure::misuse(why.context(format!("{flag} {image:?}")))
            .hint("name it by digest, NAME@sha256:…: a tag may be another image tomorrow")
    };
    let parsed = ImageRef::parse(&image).map_err(|e| refuse(e.into()))?;
    if parsed.digest.is_none() {
        return Err(refuse(anyhow!("it has no digest")));
    }
    Ok(Some(image))
}

/// The public key that was given, else the one that lies beside the private key.
fn public_key(key: &str, given: Option<String>) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    if key.starts_with("k8s://") {
        return Ok(key.to_owned());
    }
    let beside = Path::new(key).with_extension("pub");
    if !key.contains("://") && beside.is_file() {
        return Ok(beside.display().to_string());
    }
    Err(
        Failure::misuse(anyhow!("the public key of {key} is not known")).hint(
            "--public-key says which key the release is verified with: the one that is published",
        ),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    /// A plan that nobody carries out.
    pub(crate) fn plan() -> Plan {
        Plan {
            registry: "r.example/tekseal".to_owned(),
            version: "1.2.3".to_owned(),
            key: String::new(),
            public_key: String::new(),
            builder_image: format!("r.example/buildah@sha256:{}", "ab".repeat(32)),
            git_image: None,
            commit: Commit {
                revision: "01".repeat(20),
                time: jiff::Timestamp::UNIX_EPOCH,
            },
            source_url: None,
            out: PathBuf::new(),
            bin: PathBuf::new(),
            is_built: true,
            manifests: PathBuf::new(),
            insecure: Vec::new(),
        }
    }

    #[test]
    fn manifests_of_no_commit_are_refused_unless_that_is_allowed() {
        let builder = format!("r.example/buildah@sha256:{}", "ab".repeat(32));
        let words = [
            "release",
            "--registry=r.example/tekseal",
            "--key=k8s://a/b",
            "--builder-image",
            &builder,
            "--manifests=somewhere",
        ];
        let flags = <Args as clap::Args>::augment_args(clap::Command::new("release"));
        let args = Args::from_arg_matches(&flags.get_matches_from(words)).expect("good flags");
        let failure = Plan::new(&args).expect_err("nothing says that it may be dirty");
        assert_eq!(failure.code(), tekseal_steps::exit::MISUSE);
        assert!(
            failure.message().contains("--manifests somewhere"),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn an_image_without_digest_is_refused() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for bad in [
            "r.example/buildah",
            "r.example/buildah:v1",
            "r.example/buildah@sha256:ab",
            "r.example/Buildah@sha256:ab",
        ] {
            let failure = pinned("--builder-image", Some(bad.to_owned())).expect_err(bad);
            assert_eq!(failure.code(), tekseal_steps::exit::MISUSE, "{bad}");
            assert!(
                failure.message().contains("--builder-image"),
                "{}",
                failure.message()
            );
        }
        for good in [
            format!("r.example/buildah@{digest}"),
            format!("r.example/buildah:v1@{digest}"),
        ] {
            assert_eq!(
                pinned("--builder-image", Some(good.clone())).expect("pinned"),
                Some(good)
            );
        }
    }

    #[test]
    fn a_registry_has_a_host_and_no_tag() {
        for bad in [
            "",
            "tekseal",
            "tekseal/images",
            "r.example/a:1",
            "https://r.example/a",
            "r.example/A",
            "r.example/a@sha256:00",
        ] {
            assert!(registry(bad).is_err(), "{bad}");
        }
        for (text, prefix) in [
            ("r.example", "r.example"),
            ("127.0.0.1:5000/a/", "127.0.0.1:5000/a"),
            ("localhost/x", "localhost/x"),
        ] {
            assert_eq!(registry(text).expect(text), prefix);
        }
    }

    #[test]
    fn a_version_is_a_tag() {
        for bad in ["", "-1", "1+2", "a b", "é"] {
            assert!(version(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(
            version("0.2.0-rc.1".to_owned()).expect("a tag"),
            "0.2.0-rc.1"
        );
    }

    #[test]
    fn the_public_key_lies_beside_the_private_one_or_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("cosign.key").display().to_string();
        assert!(public_key(&key, None).is_err());
        std::fs::write(folder.path().join("cosign.pub"), "").expect("a file");
        assert_eq!(
            public_key(&key, None).expect("beside"),
            folder.path().join("cosign.pub").display().to_string()
        );
        assert_eq!(
            public_key("k8s://a/b", None).expect("in the Secret"),
            "k8s://a/b"
        );
        assert!(public_key("env://KEY", None).is_err());
        assert_eq!(
            public_key("env://KEY", Some("x.pub".to_owned())).expect("named"),
            "x.pub"
        );
    }
}
