//! A TUF repository in the place of keys and certificates in the policy: for the one peer that reads them there and nowhere else.

use anyhow::anyhow;

use super::Kind;
use super::policy::{Mirror, visible};
use crate::registry_args::given;
use crate::{Failure, tuf};

/// The repository. Whoever enforces reads it, and here nobody.
#[derive(Debug, clap::Args)]
pub(super) struct MirrorArgs {
    /// TUF repository from which kyverno-image-validating gets keys of logs and certificates of authorities, in the place of --trusted-root; an entry of its log is then demanded
    #[arg(long, env = "TEKSEAL_TUF_MIRROR", value_name = "URL")]
    tuf_mirror: Option<String>,
    /// Root of that repository (root.json) that is trusted; later ones are followed
    #[arg(long, env = "TEKSEAL_TUF_ROOT", value_name = "FILE")]
    tuf_root: Option<String>,
}

impl MirrorArgs {
    /// Whether there is one.
    pub(super) fn is_given(&self) -> bool {
        given(&self.tuf_mirror).next().is_some()
    }

    /// The flags and their values, as the command of the policy has them.
    pub(super) fn files(&self) -> [(&'static str, &Option<String>); 2] {
        [
            ("--tuf-mirror", &self.tuf_mirror),
            ("--tuf-root", &self.tuf_root),
        ]
    }

    /// Refuses what would do nothing, or is only half of one. `names_log` says whether a log is named otherwise.
    ///
    /// # Errors
    /// Exit 2.
    pub(super) fn check_meaning(&self, kind: Kind, names_log: bool) -> Result<(), Failure> {
        let has_root = given(&self.tuf_root).next().is_some();
        let missing = match (self.is_given(), has_root) {
            (false, false) => return Ok(()),
            (true, false) => Some(("--tuf-mirror", "--tuf-root")),
            (false, true) => Some(("--tuf-root", "--tuf-mirror")),
            (true, true) => None,
        };
        if let Some((flag, other)) = missing {
            return Err(Failure::misuse(anyhow!("{flag} needs {other}"))
                .hint("a mirror is believed because of the root.json that was got elsewhere"));
        }
        if kind != Kind::KyvernoImageValidating {
            let kind = kind.name();
            return Err(
                Failure::misuse(anyhow!("--tuf-mirror means nothing for {kind}"))
                    .hint("give --trusted-root: what is in it then stands in the policy"),
            );
        }
        if names_log {
            return Err(Failure::misuse(anyhow!(
                "--tuf-mirror is given with --trusted-root, --rekor-key or --rekor-url"
            ))
            .hint("the trusted root of the mirror names the logs: leave out the others"));
        }
        Ok(())
    }

    /// The repository, if there is one.
    ///
    /// # Errors
    /// Exit 2 for what is no address, and for a root that is none.
    pub(super) fn mirror(&self) -> Result<Option<Mirror>, Failure> {
        let (Some(url), Some(path)) =
            (given(&self.tuf_mirror).next(), given(&self.tuf_root).next())
        else {
            return Ok(None);
        };
        visible("--tuf-mirror", url).map_err(Failure::misuse)?;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Failure::misuse(anyhow!(
                "--tuf-mirror {url:?} is no https address"
            )));
        }
        let (root, _) = tuf::first_root(path)?;
        let url = url.to_owned();
        Ok(Some(Mirror { url, root }))
    }
}
