//! The command that renders a policy: the first line of the policy, so that it can be made anew. What was taken from an image stands there as flags.

use tekseal_core::policy::{Quantifier, Rules};

use super::Kind;
use super::policy::{Action, Layout, Name, Policy, SignedIdentity, Signer};

/// The command line, quoted for a shell.
pub(super) fn line(kind: Kind, policy: &Policy) -> String {
    let mut words = Words(format!("tekseal-policy render {}", kind.name()));
    for pattern in &policy.images {
        words.flag("--images", &pattern.to_string());
    }
    for (flag, value) in &policy.files {
        words.flag(flag, value);
    }
    if let Some(Signer::Identity { name, issuer }) = &policy.signer {
        for (exact, pattern, name) in [
            (
                "--certificate-identity",
                "--certificate-identity-regexp",
                name,
            ),
            (
                "--certificate-oidc-issuer",
                "--certificate-oidc-issuer-regexp",
                issuer,
            ),
        ] {
            match name {
                Name::Exact(value) => words.flag(exact, value),
                Name::Pattern(value) => words.flag(pattern, value),
            }
        }
    }
    if kind.has_rules() {
        match &policy.rules {
            Some(rules) => words.rules(rules),
            None => words.flag("--provenance", "none"),
        }
    }
    if policy.layout != Layout::default() {
        words.flag("--layout", policy.layout.name());
    }
    if policy.action == Action::Audit {
        words.flag("--action", "audit");
    }
    if policy.signed_identity == SignedIdentity::Default {
        words.flag("--signed-identity", "default");
    }
    if kind.has_name() && policy.name != super::args::NAME {
        words.flag("--name", &policy.name);
    }
    words.0
}

struct Words(String);

impl Words {
    fn flag(&mut self, flag: &str, value: &str) {
        self.0.push(' ');
        self.0.push_str(flag);
        self.0.push(' ');
        // No value has a NUL, which alone cannot be quoted.
        self.0
            .push_str(&shlex::try_quote(value).unwrap_or_default());
    }

    fn rules(&mut self, rules: &Rules) {
        if let Some(version) = rules.provenance {
            self.flag("--provenance", version.name());
        }
        for id in &rules.builder_ids {
            self.flag("--builder-id", id);
        }
        for build_type in &rules.build_types {
            self.flag("--build-type", build_type);
        }
        if let Some(repository) = &rules.source_repository {
            self.flag("--source-repository", repository);
        }
        if let Some(reference) = &rules.source_ref {
            self.flag("--source-ref", reference);
        }
        for name in &rules.predicate_types {
            self.flag("--type", name);
        }
        if rules.require_success {
            self.0.push_str(" --succeeded");
        }
        if let Some(age) = rules.max_age {
            self.flag("--max-age", &format!("{}s", age.as_secs()));
        }
        if rules.quantifier == Quantifier::Any {
            self.flag("--match", "any");
        }
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::provenance::Version;

    use super::super::samples::{self, any, rules};
    use super::*;

    #[test]
    fn the_command_has_what_was_given_and_no_more() {
        let policy = samples::policy(Some(rules(Version::V1, any)));
        assert_eq!(
            line(Kind::PolicyController, &policy),
            "tekseal-policy render policy-controller --images 'registry.example/team/*' --key cosign.pub --provenance v1 \
             --builder-id https://tekton.dev/chains/v2 --build-type https://tekton.dev/chains/v2/slsa --source-repository https://git.example/team/app --match any"
        );
        assert_eq!(
            line(Kind::Openshift, &samples::policy(None)),
            "tekseal-policy render openshift --images 'registry.example/team/*' --key cosign.pub --provenance none"
        );
        let mut policy = samples::policy(None);
        policy.files = Vec::new();
        assert_eq!(
            line(Kind::ContainersRegistries, &policy),
            "tekseal-policy render containers-registries --images 'registry.example/team/*'"
        );
    }

    #[test]
    fn a_hostile_value_stays_a_word_of_the_first_line() {
        for hostile in samples::HOSTILE {
            let policy = samples::policy(Some(rules(Version::V1, |draft| {
                draft.builder_ids = vec![(*hostile).to_owned()];
            })));
            let line = line(Kind::RegoOpa, &policy);
            assert!(!line.contains('\n'));
            let words = shlex::split(&line).expect("it is quoted");
            assert_eq!(words.last().map(String::as_str), Some(*hostile));
        }
    }
}
