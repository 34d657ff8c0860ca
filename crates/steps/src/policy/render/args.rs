//! The command line of `tekseal-policy render`, and the policy that it describes.

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_core::is_invisible;
use tekseal_core::policy::{Draft, Rules};

use super::Kind;
use super::from_image::{self, Good, Shown, Wanted};
use super::material;
use super::mirror::MirrorArgs;
use super::pattern::Pattern;
use super::policy::{Action, Layout, Log, Name, Policy, Root, SignedIdentity, Signer};
use super::policy::{is_object_name, visible};
use crate::Failure;
use crate::cluster_args::ClusterArgs;
use crate::key_args;
use crate::policy::rule_args::{RuleArgs, Version, rules_of};
use crate::registry_args::{RegistryArgs, given};
use crate::verify::IdentityArgs;

/// The most patterns of images.
const MOST_PATTERNS: usize = 64;
/// The name of an object, unless one is given.
pub(super) const NAME: &str = "tekseal";

/// Render a policy for an admission controller.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who enforces the policy
    #[arg(value_enum, value_name = "KIND")]
    pub(super) kind: Kind,
    /// Images that the policy applies to, may be repeated: HOST/PATH for a repository, HOST/PATH/* for all below, HOST/PATH* for all that begin so, HOST/* for a registry
    #[arg(
        long = "images",
        env = "TEKSEAL_POLICY_IMAGE_PATTERNS",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    images: Vec<String>,
    /// Public key: a file or any other reference of a key, such as k8s://NAMESPACE/SECRET, https://… or hashivault://…; else --certificate-identity says who must have signed
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "REF",
        hide_env_values = true
    )]
    key: Option<String>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    rules: RuleArgs,
    /// Name of the policy in the cluster [default: tekseal]
    #[arg(long, env = "TEKSEAL_POLICY_NAME", value_name = "NAME")]
    name: Option<String>,
    /// What becomes of an image that is not good
    #[arg(
        long,
        env = "TEKSEAL_POLICY_ACTION",
        value_enum,
        default_value = "enforce",
        value_name = "ACTION"
    )]
    action: Action,
    /// Where signatures and attestations are looked for: tags (cosign's .sig and .att) or bundle (Sigstore bundles that refer to the image) [default: tags]
    #[arg(
        long,
        env = "TEKSEAL_POLICY_LAYOUT",
        value_enum,
        value_name = "LAYOUT",
        hide_possible_values = true
    )]
    layout: Option<Layout>,
    /// How a signature must name the image, for openshift and containers-policy: by its repository as cosign and Tekton Chains sign, or as those demand by default, with its tag
    #[arg(
        long,
        env = "TEKSEAL_POLICY_SIGNED_IDENTITY",
        value_enum,
        default_value = "match-repository",
        value_name = "HOW"
    )]
    signed_identity: SignedIdentity,
    /// Address of the transparency log whose entry is demanded; with --trusted-root it names one of several
    #[arg(long, env = "TEKSEAL_POLICY_REKOR_URL", value_name = "URL")]
    rekor_url: Option<String>,
    /// File with the key of that log, PEM
    #[arg(long, env = "TEKSEAL_POLICY_REKOR_KEY", value_name = "FILE")]
    rekor_key: Option<String>,
    /// File with the keys of logs and the certificates of authorities, Sigstore's trusted_root.json, or public-good for its public instance; an entry of its log is then demanded
    #[arg(long, env = "TEKSEAL_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<String>,
    #[command(flatten)]
    mirror: MirrorArgs,
    /// A good image: it is verified with the key, and what is not given is taken from it
    #[arg(long, env = "TEKSEAL_POLICY_FROM", value_name = "IMAGE")]
    from: Option<String>,
    /// File to write, in the place of stdout
    #[arg(long, env = "TEKSEAL_POLICY_OUT", value_name = "FILE")]
    out: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Args {
    /// The file to write.
    pub(super) fn out(&self) -> &Option<String> {
        &self.out
    }

    /// The policy that the flags describe, with what is taken from an image.
    ///
    /// # Errors
    /// Exit 2 for flags that contradict each other, are empty or have no meaning where they are given; exit 1 where the image is not good.
    pub(super) fn policy(&self) -> Result<Policy, Failure> {
        self.check_meaning()?;
        let images = self.patterns()?;
        let name = self.name()?;
        let signer = self.signer()?;
        let (root, log) = self.log()?;
        let rules = self.draft()?;
        let mut policy = Policy {
            name,
            images,
            signer,
            log,
            root,
            mirror: self.mirror.mirror()?,
            layout: self.layout.unwrap_or_default(),
            action: self.action,
            signed_identity: self.signed_identity,
            files: self.files()?,
            rules: None,
        };
        let (draft, good) = match self.shown(&policy, rules.as_ref())? {
            Some((shown, good)) => (self.fill(&mut policy, rules, shown)?, Some(good)),
            None => (rules, None),
        };
        let rules = draft.map(rules_of).transpose()?;
        if rules.as_ref().is_some_and(Rules::is_empty) {
            return Err(Failure::misuse(anyhow!("nothing is demanded of attestations"))
                .hint("give --provenance v0.2 or v1, with --builder-id and --source-repository; --provenance none demands the signature alone"));
        }
        if let Some(good) = good {
            let now = Timestamp::now().as_second();
            good.warn_of_contradictions(rules.as_ref(), &policy.images, now);
        }
        policy.rules = rules;
        if policy.images.is_empty() && self.kind.names_images() {
            return Err(Failure::misuse(anyhow!("--images is not given"))
                .hint("say to which images the policy applies: HOST/PATH/*"));
        }
        if policy.signer.is_none() && self.kind.names_signer() && self.kind != Kind::RegoOpa {
            return Err(super::refusal::no_signer(self.kind).into());
        }
        Ok(self.without_signer(policy))
    }

    /// The same without a signer where it is only who the image was verified with.
    fn without_signer(&self, mut policy: Policy) -> Policy {
        if !self.kind.names_signer() {
            policy.signer = None;
            policy.files.retain(|(flag, _)| *flag != "--key");
        }
        policy
    }

    /// Refuses flags that would do nothing, or that contradict each other.
    fn check_meaning(&self) -> Result<(), Failure> {
        let kind = self.kind.name();
        let is_given = |value: &Option<String>| given(value).next().is_some();
        let has_key = is_given(&self.key);
        let has_identity = self.identity.rule()?.is_some();
        if has_key && has_identity {
            return Err(Failure::misuse(anyhow!(
                "--key and --certificate-identity are both given"
            ))
            .hint("a signature is either of a key or of a certificate: render two policies"));
        }
        let has_from = is_given(&self.from);
        if has_from && !has_key {
            return Err(Failure::misuse(anyhow!("--from is given without --key"))
                .hint("an image shows nothing before it is verified, and it is with a key"));
        }
        let means_nothing = |flag: &str, why: &str| {
            Err(Failure::misuse(anyhow!("{flag} means nothing for {kind}")).hint(why.to_owned()))
        };
        if given(&self.images).next().is_some() && !self.kind.names_images() {
            let why = match self.kind.has_rules() {
                true => "it judges whatever it is given",
                false => "the policy that refers to it names the images",
            };
            return means_nothing("--images", why);
        }
        if !self.kind.names_signer() && (has_identity || has_key && !has_from) {
            return means_nothing(
                "who must have signed",
                match self.kind.has_rules() {
                    true => "it says nothing of that; --key with --from verifies the image there",
                    false => "leave it out: the policy that goes with it says that",
                },
            );
        }
        if is_given(&self.name) && !self.kind.has_name() {
            return means_nothing("--name", "it is no object of a cluster");
        }
        let is_of_nodes = matches!(self.kind, Kind::Openshift | Kind::ContainersPolicy);
        if self.signed_identity != SignedIdentity::default() && !is_of_nodes {
            return means_nothing(
                "--signed-identity",
                "it accepts signatures that name the repository",
            );
        }
        if !self.kind.has_rules() && self.rules_are_given()? {
            return means_nothing(
                "a rule on attestations",
                "render the policy that goes with it, which has the rules",
            );
        }
        if !self.kind.has_rules() && has_from {
            let why = "leave out --from and --key: nothing of it could be taken from an image";
            return means_nothing("--from", why);
        }
        if !self.kind.has_rules() && self.layout.is_some() {
            let why = "leave it out: the policy that goes with it says that";
            return means_nothing("--layout", why);
        }
        let is_rego = matches!(self.kind, Kind::RegoCosign | Kind::RegoOpa);
        if self.action != Action::default() && is_rego {
            return means_nothing(
                "--action",
                "it says yes or no, and whoever asks decides what follows",
            );
        }
        if self.layout.is_some() && is_rego {
            return means_nothing(
                "--layout",
                "whoever asks has found the attestations already",
            );
        }
        let has_root = is_given(&self.trusted_root);
        let has_log_key = is_given(&self.rekor_key);
        if has_root && has_log_key {
            return Err(
                Failure::misuse(anyhow!("--trusted-root and --rekor-key are both given"))
                    .hint("the trusted root has the keys of logs: leave out --rekor-key"),
            );
        }
        if is_given(&self.rekor_url) && !has_root && !has_log_key {
            return Err(Failure::misuse(anyhow!(
                "--rekor-url is given without --rekor-key or --trusted-root"
            ))
            .hint("an entry proves nothing without the key of its log"));
        }
        let names_log = has_root || has_log_key || is_given(&self.rekor_url);
        self.mirror.check_meaning(self.kind, names_log)?;
        let has_root = has_root || self.mirror.is_given();
        if has_identity && !has_root && self.kind != Kind::RegoOpa {
            return Err(Failure::misuse(anyhow!(
                "--certificate-identity needs --trusted-root"
            ))
            .hint("it says which authorities may name who signed; public-good stands for Sigstore's"));
        }
        let asks_for_log = has_root || has_log_key;
        let reads_log = !matches!(self.kind, Kind::RegoCosign | Kind::ContainersRegistries);
        if asks_for_log && !reads_log {
            return means_nothing("a log", "it looks at none");
        }
        Ok(())
    }

    fn rules_are_given(&self) -> Result<bool, Failure> {
        let is_none = self.rules.provenance == Some(Version::None);
        Ok(is_none || self.rules.draft()? != Draft::default())
    }

    /// The flags that name files, as the command of the policy has them.
    fn files(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut files = Vec::new();
        let of_mirror = self.mirror.files();
        for (flag, value) in [
            ("--key", &self.key),
            ("--trusted-root", &self.trusted_root),
            ("--rekor-url", &self.rekor_url),
            ("--rekor-key", &self.rekor_key),
            of_mirror[0],
            of_mirror[1],
        ] {
            let Some(value) = given(value).next() else {
                continue;
            };
            if value.chars().any(is_invisible) {
                return Err(Failure::misuse(anyhow!(
                    "{flag} {value:?} has a character that is not seen"
                ))
                .hint("it stands in the first line of the policy"));
            }
            files.push((flag, value.to_owned()));
        }
        Ok(files)
    }

    fn patterns(&self) -> Result<Vec<Pattern>, Failure> {
        let patterns = given(&self.images).map(|text| {
            Pattern::parse(text).map_err(|e| {
                Failure::misuse(e)
                    .context("--images")
                    .hint("write HOST/PATH, HOST/PATH/*, HOST/PATH*, HOST/* or, for openshift and containers, *.DOMAIN")
            })
        });
        let mut patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        if patterns.len() > MOST_PATTERNS {
            let count = patterns.len();
            return Err(Failure::misuse(anyhow!(
                "--images has {count} patterns, the most are {MOST_PATTERNS}"
            )));
        }
        patterns.sort_by_key(ToString::to_string);
        patterns.dedup();
        Ok(patterns)
    }

    fn name(&self) -> Result<String, Failure> {
        let name = given(&self.name).next().unwrap_or(NAME);
        if !is_object_name(name) {
            return Err(
                Failure::misuse(anyhow!("--name {name:?} is no name of an object"))
                    .hint("lower-case letters, digits and - between them, at most 63"),
            );
        }
        Ok(name.to_owned())
    }

    fn signer(&self) -> Result<Option<Signer>, Failure> {
        if let Some(reference) = given(&self.key).next() {
            return key_args::public_key(reference, &self.cluster, &self.registry.ca())
                .map(Signer::Key)
                .map(Some);
        }
        if self.identity.rule()?.is_none() {
            return Ok(None);
        }
        let name = |flag, exact, pattern| match (given(exact).next(), given(pattern).next()) {
            (Some(value), _) => visible(flag, value).map(|value| Name::Exact(value.to_owned())),
            (None, value) => visible(flag, value.unwrap_or_default())
                .map(|value| Name::Pattern(value.to_owned())),
        };
        let identity = &self.identity;
        let signer = Signer::Identity {
            name: name(
                "--certificate-identity",
                &identity.certificate_identity,
                &identity.certificate_identity_regexp,
            )
            .map_err(Failure::misuse)?,
            issuer: name(
                "--certificate-oidc-issuer",
                &identity.certificate_oidc_issuer,
                &identity.certificate_oidc_issuer_regexp,
            )
            .map_err(Failure::misuse)?,
        };
        Ok(Some(signer))
    }

    fn log(&self) -> Result<(Option<Root>, Option<Log>), Failure> {
        let url = given(&self.rekor_url).next();
        if let Some(url) = url {
            visible("--rekor-url", url).map_err(Failure::misuse)?;
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(Failure::misuse(anyhow!(
                    "--rekor-url {url:?} is no https address"
                )));
            }
        }
        if let Some(path) = given(&self.rekor_key).next() {
            let log = Log {
                url: url.map(str::to_owned),
                key: material::log_key(path)?,
            };
            return Ok((None, Some(log)));
        }
        let Some(path) = given(&self.trusted_root).next() else {
            return Ok((None, None));
        };
        let now = Timestamp::now().as_second();
        let (root, log) = material::trusted_root(path, url, now)?;
        let needs_log = matches!(
            self.kind,
            Kind::Kyverno | Kind::PolicyController | Kind::Openshift | Kind::ContainersPolicy
        );
        let is_public_kyverno =
            self.kind == Kind::Kyverno && root.is_public && given(&self.key).next().is_none();
        if log.is_none() && needs_log && !is_public_kyverno {
            return Err(super::refusal::no_log(self.kind, Some(&root)).into());
        }
        Ok((Some(root), log))
    }

    /// The rules as they are given; nothing where the signature alone counts.
    fn draft(&self) -> Result<Option<Draft>, Failure> {
        if !self.kind.has_rules() {
            return Ok(None);
        }
        if self.rules.provenance != Some(Version::None) {
            return self.rules.draft().map(Some);
        }
        let others = RuleArgs {
            provenance: None,
            ..self.rules.clone()
        };
        if others.draft()? != Draft::default() {
            return Err(Failure::misuse(anyhow!(
                "--provenance none demands the signature alone, and there are rules on attestations"
            ))
            .hint("leave out --provenance none, or the rules"));
        }
        Ok(None)
    }

    /// What the image of --from shows.
    fn shown(
        &self,
        policy: &Policy,
        rules: Option<&Draft>,
    ) -> Result<Option<(Shown, Good)>, Failure> {
        let Some(image) = given(&self.from).next() else {
            return Ok(None);
        };
        let Some(Signer::Key(key)) = &policy.signer else {
            return Err(Failure::misuse(anyhow!("--from is given without --key")));
        };
        let wanted = Wanted {
            layout: self.layout,
            prefers_bundles: self.kind == Kind::KyvernoImageValidating && rules.is_some(),
        };
        from_image::look(image, key, rules, wanted, &self.registry).map(Some)
    }

    /// Fills what is not given, and says what that was.
    fn fill(
        &self,
        policy: &mut Policy,
        draft: Option<Draft>,
        shown: Shown,
    ) -> Result<Option<Draft>, Failure> {
        if policy.images.is_empty() && self.kind.names_images() {
            let pattern = Pattern::parse(&shown.repository).map_err(Failure::misuse)?;
            crate::log::info("taken from the image", &[("images", &pattern)]);
            policy.images.push(pattern);
        }
        if self.layout.is_none() && !matches!(self.kind, Kind::RegoCosign | Kind::RegoOpa) {
            policy.layout = shown.layout;
            let name = shown.layout.name();
            crate::log::info("taken from the image", &[("layout", &name)]);
        }
        Ok(draft.map(|draft| shown.fill(draft)))
    }
}
