//! Parameters of other buildah Tasks that this one does not have.
//!
//! Tekton passes over a parameter that a Task does not declare, so a pipeline that asked for prefetched sources or for an SBOM would end well
//! without them. Therefore the Task declares these parameters and hands them over, and a value that asks for something is refused.

use anyhow::anyhow;

use crate::Failure;

/// A parameter, the values by which it asks for nothing, and what to do in its place.
struct Parameter(&'static str, &'static [&'static str], &'static str);

const NO_SBOM: &str = "no SBOM is made here; make one with a tool of your choice in a Task after the build, and attest it";
const NO_SUBSCRIPTION: &str = "subscriptions of the host are not used; use a builder image that has what is needed, or ADDITIONAL_SECRET with RUN --mount=type=secret";
const NO_PROXY: &str = "set the variable HTTPS_PROXY or NO_PROXY in podTemplate.env of the run, and authorities by CA_TRUST_CONFIG_MAP_NAME";
const NO_REPOSITORIES: &str =
    "files of the source are not mounted into the build; COPY them in the Containerfile";
const NO_RIGHTS: &str = "the step has the capability SETFCAP and no more; another right is a change of the Task that somebody should review";

const PARAMETERS: &[Parameter] = &[
    Parameter(
        "PREFETCH_INPUT",
        &[],
        "nothing is prefetched here; vendor dependencies into the source, or fetch them in a Task before, and keep HERMETIC, which takes the network away",
    ),
    Parameter("ADD_CAPABILITIES", &[], NO_RIGHTS),
    Parameter("PRIVILEGED_NESTED", &["false"], NO_RIGHTS),
    Parameter(
        "ALLOW_CROSS_PLATFORM_IMAGES",
        &["true"],
        "platforms of base images are not compared; name them by digest",
    ),
    Parameter("ENTITLEMENT_SECRET", &[], NO_SUBSCRIPTION),
    Parameter("ACTIVATION_KEY", &[], NO_SUBSCRIPTION),
    Parameter("RHSM_MOUNT_CA_CERTS", &["never"], NO_SUBSCRIPTION),
    Parameter("YUM_REPOS_D_SRC", &[], NO_REPOSITORIES),
    Parameter("YUM_REPOS_D_FETCHED", &[], NO_REPOSITORIES),
    Parameter("YUM_REPOS_D_TARGET", &[], NO_REPOSITORIES),
    Parameter("WORKINGDIR_MOUNT", &[], NO_REPOSITORIES),
    Parameter(
        "ICM_KEEP_COMPAT_LOCATION",
        &["false"],
        "nothing is injected into the image",
    ),
    Parameter(
        "SKIP_INJECTIONS",
        &["true"],
        "nothing is injected into the image",
    ),
    Parameter("HTTP_PROXY", &[], NO_PROXY),
    Parameter("NO_PROXY", &[], NO_PROXY),
    Parameter("PROXY_CA_TRUST_CONFIG_MAP_NAME", &[], NO_PROXY),
    Parameter("PROXY_CA_TRUST_CONFIG_MAP_KEY", &[], NO_PROXY),
    Parameter(
        "ANNOTATIONS_FILE",
        &[],
        "give them in ANNOTATIONS, which is a list",
    ),
    Parameter("BUILD_TIMESTAMP", &[], "use SOURCE_DATE_EPOCH"),
    Parameter(
        "REWRITE_TIMESTAMP",
        &["false"],
        "put --rewrite-timestamp into BUILD_EXTRA_ARGS, where buildah has it",
    ),
    Parameter(
        "OMIT_HISTORY",
        &["false"],
        "put --omit-history into BUILD_EXTRA_ARGS, where buildah has it",
    ),
    Parameter(
        "INHERIT_BASE_IMAGE_LABELS",
        &["true"],
        "put --inherit-labels=false into BUILD_EXTRA_ARGS, where buildah has it",
    ),
    Parameter("SKIP_SBOM_GENERATION", &["true"], NO_SBOM),
    Parameter("SBOM_TYPE", &[], NO_SBOM),
    Parameter("SBOM_SYFT_SELECT_CATALOGERS", &[], NO_SBOM),
    Parameter("SBOM_SOURCE_SCAN_ENABLED", &["false"], NO_SBOM),
    Parameter("SBOM_SKIP_VALIDATION", &["true"], NO_SBOM),
    Parameter("CONTEXTUALIZE_SBOM", &["false"], NO_SBOM),
    Parameter("ADDITIONAL_BASE_IMAGES", &[], NO_SBOM),
];

/// Checks parameters of the form `NAME=VALUE`.
///
/// # Errors
/// Exit 2 for the first one that asks for something, or that is not known.
pub(super) fn check(given: &[String]) -> Result<(), Failure> {
    given.iter().try_for_each(|pair| check_one(pair))
}

fn check_one(pair: &str) -> Result<(), Failure> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = value.trim();
    let known = PARAMETERS.iter().find(|parameter| parameter.0 == name);
    let Some(Parameter(_, harmless, instead)) = known else {
        return Err(
            Failure::misuse(anyhow!("--refuse {name:?} is no parameter that is known")).hint(
                "--refuse is for parameters of other buildah Tasks; tasks/README.md lists them",
            ),
        );
    };
    if value.is_empty() || harmless.contains(&value) {
        return Ok(());
    }
    Err(Failure::misuse(anyhow!(
        "parameter {name} is not supported, and {value:?} asks for something"
    ))
    .hint((*instead).to_owned())
    .hint(format!("leave {name} out")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(pair: &str) -> Option<String> {
        check(&[pair.to_owned()])
            .err()
            .map(|failure| failure.message())
    }

    #[test]
    fn what_asks_for_nothing_passes_and_everything_else_is_refused() {
        for parameter in PARAMETERS {
            let name = parameter.0;
            for value in std::iter::once(&"").chain(parameter.1) {
                assert_eq!(refuses(&format!("{name}= {value}\n")), None, "{name}");
            }
            let message = refuses(&format!("{name}=x")).expect(name);
            assert!(message.contains(name), "{message}");
        }
        assert!(refuses("PRIVILEGED_NESTED=true").is_some());
        assert!(refuses("INHERIT_BASE_IMAGE_LABELS=false").is_some());
    }

    #[test]
    fn a_value_may_hold_anything() {
        let json = r#"PREFETCH_INPUT={"type": "pip", "path": "a=b"}"#;
        assert!(refuses(json).is_some());
    }

    #[test]
    fn a_name_that_is_not_known_is_told_also_without_value() {
        let message = refuses("PREFETCH_INPUTS=").expect("misspelt");
        assert!(message.contains("PREFETCH_INPUTS"), "{message}");
    }
}
