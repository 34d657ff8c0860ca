//! Who must have signed, where that is not a key, and what is trusted to say so.

use std::sync::Arc;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_signing::{IdentityRule, Matcher, Needs, Trust, key_ref};

use crate::registry_args::{RegistryArgs, given};
use crate::trusted_root::{parse_trusted_root, read_trusted_root};
use crate::tuf::{Reach, TufArgs};
use crate::{Failure, key_args};

/// Who must have signed, where that is not a key.
#[derive(Debug, clap::Args)]
pub struct IdentityArgs {
    /// Who must have signed, as the certificate has it: an e-mail address, or a URI such as https://kubernetes.io/namespaces/NS/serviceaccounts/NAME
    #[arg(long, env = "TEKSEAL_CERTIFICATE_IDENTITY", value_name = "NAME")]
    pub(crate) certificate_identity: Option<String>,
    /// The same as a regular expression, which matches anywhere unless it has ^ and $
    #[arg(
        long,
        env = "TEKSEAL_CERTIFICATE_IDENTITY_REGEXP",
        value_name = "PATTERN"
    )]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// Who must have vouched for that name, as the certificate has it: the URL of an OIDC issuer
    #[arg(long, env = "TEKSEAL_CERTIFICATE_OIDC_ISSUER", value_name = "URL")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// The same as a regular expression
    #[arg(
        long,
        env = "TEKSEAL_CERTIFICATE_OIDC_ISSUER_REGEXP",
        value_name = "PATTERN"
    )]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
}

/// Who must have signed, and what is trusted.
#[derive(Debug, clap::Args)]
pub struct TrustArgs {
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    /// File with the keys of logs and the certificates of authorities that are trusted, Sigstore's trusted_root.json, or public-good, which is that of its public instance when this program was made; an entry of one of its transparency logs is then required
    #[arg(long, env = "TEKSEAL_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<String>,
    #[command(flatten)]
    tuf: TufArgs,
    /// Connect to nothing but the registries of the images: of a TUF mirror only the cache is read
    #[arg(long, env = "TEKSEAL_OFFLINE", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    offline: bool,
    /// Require a time that an authority of the trusted root has signed
    #[arg(long, env = "TEKSEAL_USE_SIGNED_TIMESTAMPS", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    use_signed_timestamps: bool,
    /// Accept certificates that no trusted log of certificates has promised to show (SCT)
    #[arg(long, env = "TEKSEAL_INSECURE_IGNORE_SCT", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    insecure_ignore_sct: bool,
}

/// What is trusted, and what must come with a signature.
pub(super) struct Trusted {
    pub(super) trust: Arc<Trust>,
    pub(super) needs: Needs,
}

impl IdentityArgs {
    /// Who must have signed; nothing where that is a key.
    pub(crate) fn rule(&self) -> Result<Option<IdentityRule>, Failure> {
        let matcher =
            |exact, pattern, flag: &str| match (given(exact).next(), given(pattern).next()) {
                (Some(_), Some(_)) => Err(Failure::misuse(anyhow!(
                    "{flag} and {flag}-regexp are both given"
                ))),
                (Some(exact), None) => Ok(Some(Matcher::exact(exact.to_owned()))),
                (None, Some(pattern)) => Matcher::pattern(pattern)
                    .map(Some)
                    .map_err(|e| Failure::misuse(e).context(format!("{flag}-regexp"))),
                (None, None) => Ok(None),
            };
        let identity = matcher(
            &self.certificate_identity,
            &self.certificate_identity_regexp,
            "--certificate-identity",
        )?;
        let issuer = matcher(
            &self.certificate_oidc_issuer,
            &self.certificate_oidc_issuer_regexp,
            "--certificate-oidc-issuer",
        )?;
        match (identity, issuer) {
            (None, None) => Ok(None),
            (identity @ Some(_), issuer @ Some(_)) => IdentityRule::new(identity, issuer)
                .map(Some)
                .map_err(Failure::misuse),
            (Some(_), None) => Err(Failure::misuse(anyhow!(
                "--certificate-identity is given without --certificate-oidc-issuer"
            ))
            .hint("a name says who signed only together with who vouched for it: give the issuer too, exactly or as a pattern")),
            (None, Some(_)) => Err(Failure::misuse(anyhow!(
                "--certificate-oidc-issuer is given without --certificate-identity"
            ))
            .hint("an issuer vouches for many: say whose signature it must be")),
        }
    }
}

impl TrustArgs {
    /// Who must have signed; nothing where that is a key.
    pub(crate) fn identity(&self) -> Result<Option<IdentityRule>, Failure> {
        self.identity.rule()
    }

    /// Whether something is said to be trusted.
    pub(crate) fn has_root(&self) -> bool {
        given(&self.trusted_root).next().is_some() || self.tuf.mirror().is_some()
    }

    /// Whether nothing but registries may be connected to.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    /// Refuses a key that is elsewhere where nothing may be connected to.
    pub(super) fn may_be_asked_for(&self, reference: &str) -> Result<(), Failure> {
        if self.offline && key_args::is_elsewhere(reference) {
            let shown = key_ref::shown(reference);
            return Err(Failure::misuse(anyhow!(
                "--offline is given, and {shown} is not on this machine"
            ))
            .hint("give it as a file"));
        }
        Ok(())
    }

    /// What is trusted; nothing where no trusted root is given. A mirror is reached as `network` says.
    pub(super) fn trusted(
        &self,
        ignores_log: bool,
        network: &RegistryArgs,
    ) -> Result<Option<Trusted>, Failure> {
        let Some(trust) = self.root(network)? else {
            if self.use_signed_timestamps {
                return Err(Failure::misuse(anyhow!(
                    "--use-signed-timestamps needs --trusted-root"
                ))
                .hint("the trusted root says whose times count"));
            }
            return Ok(None);
        };
        Ok(Some(Trusted {
            trust: Arc::new(trust),
            needs: Needs {
                log: !ignores_log,
                timestamp: self.use_signed_timestamps,
                certificate_log: !self.insecure_ignore_sct,
                now: Timestamp::now().as_second(),
            },
        }))
    }
}

impl TrustArgs {
    /// The trusted root: of a file, of this program, or of a mirror.
    fn root(&self, network: &RegistryArgs) -> Result<Option<Trust>, Failure> {
        let path = given(&self.trusted_root).next();
        if path.is_some() && self.tuf.mirror().is_some() {
            return Err(
                Failure::misuse(anyhow!("--trusted-root and --tuf-mirror are both given"))
                    .hint("the mirror says what is trusted: leave out --trusted-root"),
            );
        }
        if let Some(path) = path {
            return read_trusted_root(path).map(Some);
        }
        let reach = match self.offline {
            true => Reach::CacheOnly,
            false => Reach::Mirror,
        };
        let found = self.tuf.trusted_root(reach, network)?;
        let trust = found.map(|bytes| parse_trusted_root(&bytes, "of the mirror"));
        trust.transpose()
    }
}
