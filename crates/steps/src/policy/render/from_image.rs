//! What a good image shows of how it was built: read only after it was verified with the key, and only where all its statements agree.

use std::collections::BTreeSet;

use anyhow::anyhow;
use tekseal_core::policy::{Check, Draft, Judged, Rules, repository_of};
use tekseal_core::provenance::Version;
use tekseal_core::{Provenance, Statement};
use tekseal_signing::PublicKey;

use super::pattern::Pattern;
use super::policy::Layout;
use crate::Failure;
use crate::log;
use crate::registry_args::{Access, RegistryArgs};
use crate::verify::{self, AttestationReport, DemandArgs, Only, Report, VerifyingKeys, within};

/// How long an image may take, in seconds.
const MOST_SECONDS: u64 = 300;

/// The most sources that an error names.
const MOST_SOURCES: usize = 5;

/// A good image.
#[derive(Debug)]
pub(super) struct Good {
    /// Registry and path.
    repository: String,
    /// All that is attested of it by the key.
    statements: Vec<Statement>,
}

impl Good {
    /// Warns of what the image itself does not satisfy: `rules` at `now`, seconds since 1970, and patterns that do not name it.
    pub(super) fn warn_of_contradictions(
        &self,
        rules: Option<&Rules>,
        images: &[Pattern],
        now: i64,
    ) {
        for check in self.contradictions(rules, now) {
            log::warn(
                "the image itself does not satisfy the policy",
                &[
                    ("rule", &check.name),
                    ("found", &check.found),
                    ("wanted", &check.wanted),
                ],
            );
        }
        if !images.is_empty()
            && !images
                .iter()
                .any(|pattern| pattern.covers(&self.repository))
        {
            log::warn(
                "the policy does not apply to the image itself: --images names others",
                &[("image", &self.repository)],
            );
        }
    }

    fn contradictions(&self, rules: Option<&Rules>, now: i64) -> Vec<Check> {
        let Some(rules) = rules else {
            return Vec::new();
        };
        let statements = self.statements.iter();
        let judged: Vec<Judged> = statements
            .map(|statement| rules.judge(statement, now))
            .collect();
        let mut checks = rules.conclude(&judged);
        checks.retain(|check| !check.passed);
        checks
    }
}

/// What an image shows.
#[derive(Debug)]
pub(super) struct Shown {
    /// Registry and path.
    pub(super) repository: String,
    /// Where its signatures are, and its attestations where they count.
    pub(super) layout: Layout,
    version: Option<Version>,
    builder_ids: BTreeSet<String>,
    build_types: BTreeSet<String>,
    source_repository: Option<String>,
}

/// Where things are looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Where they must be, if that was said.
    pub(super) layout: Option<Layout>,
    /// Bundles are better where there are both.
    pub(super) prefers_bundles: bool,
}

/// Verifies the image as `tekseal-verify` does, and reads what it shows. Without rules its signature alone is verified.
///
/// # Errors
/// Exit 1 for an image that is not good, or whose statements disagree on what was to be taken from them.
pub(super) fn look(
    image: &str,
    key: &PublicKey,
    draft: Option<&Draft>,
    wanted: Wanted,
    registry: &RegistryArgs,
) -> Result<(Shown, Good), Failure> {
    let image = verify::parse_image(image)?;
    let only = draft.is_none().then_some(Only::Signature);
    let demands = DemandArgs::usual(only).of_keys(VerifyingKeys::One(key.clone()))?;
    let registry = registry.open(Access::Pull)?;
    let (image, report) = crate::block_on(within(MOST_SECONDS, async {
        let image = verify::resolve(&registry, image).await?;
        let report = demands.check(&registry, &image).await;
        let report = report.map_err(|f| f.hinting(reworded).context(format!("image {image}")))?;
        Ok((image, report))
    }))?;
    let read = || {
        let attested = attested(&report)?;
        let read = match draft {
            Some(draft) => provenance(&attested, draft)?,
            None => Vec::new(),
        };
        let layout = layout(&report, &read, wanted)?;
        let statements = read.into_iter().map(|(_, provenance)| provenance);
        let repository = image.repository.to_string();
        let shown = Shown::of(repository.clone(), layout, statements, draft)?;
        let statements = attested.into_iter().map(|(_, statement)| statement);
        let good = Good {
            repository,
            statements: statements.collect(),
        };
        Ok((shown, good))
    };
    read().map_err(|failure: Failure| failure.context(format!("image {image}")))
}

/// What `tekseal-verify` would say, with the flags that there are here.
fn reworded(hint: String) -> String {
    if hint.contains("--only attestation") {
        return "there are attestations, and every policy demands a signature of the image too: that of a TaskRun has one by tekseal-attest, any by cosign sign".to_owned();
    }
    match hint.contains("--only signature") {
        true => "--provenance none demands the signature alone".to_owned(),
        false => hint,
    }
}

/// The Statements that are verified.
fn attested(report: &Report) -> Result<Vec<(&AttestationReport, Statement)>, Failure> {
    let attestations = report.attestations().iter();
    let statements = attestations.filter_map(|one| Some((one, one.statement()?)));
    statements
        .map(|(one, text)| {
            let statement = Statement::parse(text.get().as_bytes()).map_err(Failure::no)?;
            Ok((one, statement))
        })
        .collect()
}

/// The provenance that is verified, of the version that was asked for, or of the only one there is.
fn provenance<'a>(
    attested: &[(&'a AttestationReport, Statement)],
    draft: &Draft,
) -> Result<Vec<(&'a AttestationReport, Provenance)>, Failure> {
    let mut all = Vec::new();
    for (attestation, statement) in attested {
        if let Some(provenance) = Provenance::of(statement).map_err(Failure::no)? {
            all.push((*attestation, provenance));
        }
    }
    if let Some(version) = draft.provenance {
        all.retain(|(_, provenance)| provenance.version == version);
    }
    let Some((_, first)) = all.first() else {
        return Err(Failure::no(anyhow!("it has no such provenance by this key"))
            .hint("tekseal-tree shows what hangs on it; --provenance none demands the signature alone"));
    };
    let version = first.version;
    if all.iter().any(|(_, other)| other.version != version) {
        return Err(Failure::no(anyhow!("it has provenance v0.2 and v1"))
            .hint("say which counts: --provenance v0.2 or --provenance v1"));
    }
    Ok(all)
}

/// The layout in which a signature is, and all provenance that was read.
fn layout(
    report: &Report,
    read: &[(&AttestationReport, Provenance)],
    wanted: Wanted,
) -> Result<Layout, Failure> {
    let is_there = |layout| {
        let is_signed = report
            .signatures()
            .iter()
            .any(|signature| layout_of(signature.found()) == layout);
        let is_attested = read
            .iter()
            .any(|(attestation, _)| layout_of(attestation.found()) == layout);
        is_signed && (read.is_empty() || is_attested)
    };
    let order = match (wanted.layout, wanted.prefers_bundles) {
        (Some(layout), _) => vec![layout],
        (None, true) => vec![Layout::Bundle, Layout::Tags],
        (None, false) => vec![Layout::Tags, Layout::Bundle],
    };
    let found = order.iter().copied().find(|layout| is_there(*layout));
    found.ok_or_else(|| {
        let names: Vec<_> = order.iter().map(|layout| layout.name()).collect();
        Failure::no(anyhow!(
            "a signature and provenance by this key are not both there as {}",
            names.join(" or ")
        ))
    })
}

fn layout_of(found: &verify::Found) -> Layout {
    match found.is_under_tag() {
        true => Layout::Tags,
        false => Layout::Bundle,
    }
}

impl Shown {
    fn of(
        repository: String,
        layout: Layout,
        statements: impl Iterator<Item = Provenance>,
        draft: Option<&Draft>,
    ) -> Result<Self, Failure> {
        let mut shown = Self {
            repository,
            layout,
            version: None,
            builder_ids: BTreeSet::new(),
            build_types: BTreeSet::new(),
            source_repository: None,
        };
        let asks = |is_given: fn(&Draft) -> bool| draft.is_some_and(|draft| !is_given(draft));
        let asks_source = asks(|draft| draft.source_repository.is_some());
        let mut sources = BTreeSet::new();
        for provenance in statements {
            shown.version = Some(provenance.version);
            shown
                .builder_ids
                .insert(named(provenance.builder_id.as_deref()));
            shown
                .build_types
                .insert(named(provenance.build_type.as_deref()));
            // Who said which counts has chosen among them.
            if asks_source {
                sources.insert(source(&provenance)?);
            }
        }
        let has_nobody = shown.builder_ids.contains("");
        if asks(|draft| !draft.builder_ids.is_empty())
            && (shown.builder_ids.len() > 1 || has_nobody)
        {
            let why = match has_nobody {
                true => "it has provenance that names no builder",
                false => "its statements name different builders",
            };
            return Err(Failure::no(anyhow!(why)).hint("say who counts: --builder-id"));
        }
        if asks(|draft| !draft.build_types.is_empty()) && shown.build_types.contains("") {
            return Err(Failure::no(anyhow!(
                "it has provenance without a build type"
            )));
        }
        if sources.len() > 1 {
            let named = among(sources.iter().map(Option::as_deref));
            return Err(
                Failure::no(anyhow!("its statements name different sources: {named}"))
                    .hint(WHICH_SOURCE),
            );
        }
        shown.source_repository = sources.into_iter().next().flatten();
        Ok(shown)
    }

    /// The draft with what it lacks, which is told.
    pub(super) fn fill(self, mut draft: Draft) -> Draft {
        let tell = |what: &str, value: &str| log::info("taken from the image", &[(what, &value)]);
        if draft.provenance.is_none() {
            draft.provenance = self.version;
            tell("provenance", self.version.map_or("none", Version::name));
        }
        for (what, given, found) in [
            ("builder-id", &mut draft.builder_ids, self.builder_ids),
            ("build-type", &mut draft.build_types, self.build_types),
        ] {
            if given.is_empty() {
                found.iter().for_each(|value| tell(what, value));
                given.extend(found);
            }
        }
        if draft.source_repository.is_none() {
            match self.source_repository {
                Some(source) => {
                    tell("source-repository", &source);
                    draft.source_repository = Some(source);
                }
                None => log::warn(
                    "the image names no source repository, so the policy demands none",
                    &[],
                ),
            }
        }
        draft
    }
}

/// What to do where there are several sources.
const WHICH_SOURCE: &str = "say which counts: --source-repository";

/// The first of several sources, and how many more there are.
fn among<'a>(sources: impl ExactSizeIterator<Item = Option<&'a str>>) -> String {
    let count = sources.len();
    let quoted = |source: Option<&str>| source.map_or("none at all".to_owned(), log::quoted);
    let told: Vec<_> = sources.take(MOST_SOURCES).map(quoted).collect();
    let more = match count - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    told.join(", ") + &more
}

fn named(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// The one git repository among the dependencies, without `git+`, `.git` and a ref; nothing where there is none.
fn source(provenance: &Provenance) -> Result<Option<String>, Failure> {
    let mut found = BTreeSet::new();
    for dependency in &provenance.dependencies {
        let Some(uri) = dependency.uri.strip_prefix("git+") else {
            continue;
        };
        if let Some(what) = secret_in(uri) {
            // Whoever reads the policy would read it too.
            return Err(
                Failure::no(anyhow!("the address of a source has {what} in it"))
                    .hint("give --source-repository"),
            );
        }
        found.insert(repository_of(&dependency.uri).to_owned());
    }
    if found.len() > 1 {
        let named = among(found.iter().map(|one| Some(one.as_str())));
        return Err(
            Failure::no(anyhow!("a statement names several sources: {named}")).hint(WHICH_SOURCE),
        );
    }
    Ok(found.into_iter().next())
}

/// What in an address is a secret, or may be one: of a user for HTTP nobody can say whether it is a name or a token.
fn secret_in(uri: &str) -> Option<&'static str> {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let is_account = scheme.is_empty() || scheme.eq_ignore_ascii_case("ssh");
    match user {
        Some(user) if user.contains(':') => Some("a password"),
        Some(_) if !is_account => Some("a user, which may be a token,"),
        _ if uri.contains(['?', '#']) => Some("a query or a fragment, which may hold a token,"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(builder: &str, build_type: &str, uris: &[&str]) -> Provenance {
        let materials: Vec<_> = uris
            .iter()
            .map(|uri| serde_json::json!({"uri": uri, "digest": {"sha1": "c"}}))
            .collect();
        let text = serde_json::json!({
            "_type": "t", "predicateType": "https://slsa.dev/provenance/v0.2",
            "predicate": {"builder": {"id": builder}, "buildType": build_type, "materials": materials},
        });
        let statement =
            Statement::parse(text.to_string().as_bytes()).expect("the test's statement");
        Provenance::of(&statement)
            .expect("well formed")
            .expect("provenance")
    }

    fn shown(statements: Vec<Provenance>, draft: &Draft) -> Result<Shown, Failure> {
        let repository = "registry.example/team/app".to_owned();
        Shown::of(
            repository,
            Layout::Tags,
            statements.into_iter(),
            Some(draft),
        )
    }

    #[test]
    fn what_is_not_given_is_filled_and_what_is_given_stays() {
        let statements = || {
            vec![
                statement(
                    "urn:b",
                    "tekton.dev/v1/TaskRun",
                    &["git+https://a/b.git", "oci://x"],
                ),
                statement(
                    "urn:b",
                    "tekton.dev/v1/PipelineRun",
                    &["git+https://a/b@refs/heads/main"],
                ),
            ]
        };
        let filled = shown(statements(), &Draft::default())
            .expect("they agree")
            .fill(Draft::default());
        assert_eq!(filled.provenance, Some(Version::V02));
        assert_eq!(filled.builder_ids, ["urn:b"]);
        assert_eq!(
            filled.build_types,
            ["tekton.dev/v1/PipelineRun", "tekton.dev/v1/TaskRun"]
        );
        assert_eq!(filled.source_repository.as_deref(), Some("https://a/b"));
        let given = Draft {
            builder_ids: vec!["urn:other".to_owned()],
            source_repository: Some("https://c/d".to_owned()),
            ..Draft::default()
        };
        let filled = shown(statements(), &given).expect("they agree").fill(given);
        assert_eq!(filled.builder_ids, ["urn:other"]);
        assert_eq!(filled.source_repository.as_deref(), Some("https://c/d"));
    }

    #[test]
    fn among_several_sources_the_one_that_is_given_counts() {
        let uris = ["git+https://a/pipeline.git", "git+https://a/b.git"];
        let given = || Draft {
            source_repository: Some("https://a/b".to_owned()),
            ..Draft::default()
        };
        let statements = || {
            vec![
                statement("urn:b", "t", &uris),
                statement("urn:b", "t", &uris[1..]),
            ]
        };
        let filled = shown(statements(), &given()).expect("it is said which counts");
        let filled = filled.fill(given());
        assert_eq!(filled.source_repository.as_deref(), Some("https://a/b"));
        assert!(shown(statements(), &Draft::default()).is_err());
    }

    #[test]
    fn statements_that_disagree_or_say_nothing_are_refused() {
        let source = &["git+https://a/b.git"][..];
        let refused = |statements| {
            let failure = shown(statements, &Draft::default()).expect_err("they do not agree");
            assert_eq!(failure.code(), crate::exit::NO);
            failure.message()
        };
        let good = || statement("urn:b", "t", source);
        let found = refused(vec![good(), statement("urn:evil", "t", source)]);
        assert_eq!(found, "its statements name different builders");
        let found = refused(vec![statement("", "t", source)]);
        assert_eq!(found, "it has provenance that names no builder");
        let found = refused(vec![good(), statement("urn:b", "t", &[])]);
        assert_eq!(
            found,
            "its statements name different sources: none at all, https://a/b"
        );
        let found = refused(vec![statement(
            "urn:b",
            "t",
            &["git+https://a/b", "git+https://c/d"],
        )]);
        assert_eq!(
            found,
            "a statement names several sources: https://a/b, https://c/d"
        );
        let many: Vec<_> = (0..7).map(|at| format!("git+https://a/{at}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let found = refused(vec![statement("urn:b", "t", &many)]);
        assert!(found.ends_with(", https://a/4 and 2 more"), "{found}");
        let found = refused(vec![statement("urn:b", "", source)]);
        assert_eq!(found, "it has provenance without a build type");
        let found = refused(vec![statement("urn:b", "t", &["git+https://u:geheim@a/b"])]);
        assert!(
            found.contains("password") && !found.contains("geheim"),
            "{found}"
        );
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_refused_and_a_ref_is_one_or_belongs_to_the_repository()
    {
        for uri in [
            "git+https://u:geheim@a/b",
            "git+https://geheim@a/b.git",
            "git+HTTP://geheim@a/b.git",
            "git+https://a/b?private_token=geheim",
            "git+https://a/b#geheim",
            "git+https://a@refs/geheim:x@evil.example/b",
            "git+ssh://git:geheim@a/b",
        ] {
            let statement = statement("urn:b", "t", &[uri]);
            let failure = source(&statement).expect_err(uri);
            assert_eq!(failure.code(), crate::exit::NO);
            let said = format!("{failure:?}");
            assert!(!said.contains("geheim"), "{said}");
        }
        for (uri, repository) in [
            ("git+https://a/b@refs/heads/main", "https://a/b"),
            ("git+ssh://git@a/b.git", "ssh://git@a/b"),
            ("git+git@a:b.git", "git@a:b"),
            ("git+https://a@refs/x/b.git", ""),
            (
                "git+https://a/b@refs/../../evil/x.git",
                "https://a/b@refs/../../evil/x",
            ),
        ] {
            let found = source(&statement("urn:b", "t", &[uri]));
            match repository.is_empty() {
                true => assert!(found.is_err(), "{uri}: {found:?}"),
                false => assert_eq!(found.ok().flatten().as_deref(), Some(repository)),
            }
        }
    }
}
