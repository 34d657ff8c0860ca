//! `BUILD_EXTRA_ARGS` and `PUSH_EXTRA_ARGS`: words as a shell would split them, without a shell, and without the options on which the
//! results of the tool rest.

use anyhow::anyhow;

use crate::Failure;

/// Whose options they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// `buildah build`
    Build {
        /// The network is ours to take away.
        hermetic: bool,
    },
    /// `buildah push` and `buildah manifest push`
    Push,
}

/// An option that is refused: its long name, its letter if it has one, what to use instead.
struct Refused(&'static str, Option<char>, &'static str);

const IN_BOTH: &[Refused] = &[
    Refused(
        "authfile",
        None,
        "use the workspace dockerconfig, --dockerconfig DIR or --auth-file FILE",
    ),
    Refused(
        "creds",
        None,
        "use the workspace dockerconfig, --dockerconfig DIR or --auth-file FILE; other processes can read arguments",
    ),
    Refused(
        "tls-verify",
        None,
        "use the parameter TLSVERIFY (--tlsverify)",
    ),
    Refused(
        "cert-dir",
        None,
        "use the workspace sslcertdir or --cert-dir DIR",
    ),
    Refused(
        "digestfile",
        None,
        "the digest in the results comes from there",
    ),
];
const IN_PUSH: &[Refused] = &[Refused("format", Some('f'), "use the parameter FORMAT")];
const IN_BUILD: &[Refused] = &[
    Refused("format", None, "use the parameter FORMAT"),
    Refused("iidfile", None, "what is pushed comes from there"),
    Refused(
        "tag",
        Some('t'),
        "use the parameters IMAGE and ADDITIONAL_TAGS",
    ),
    Refused("manifest", None, "use the parameter PLATFORMS"),
    Refused("platform", None, "use the parameter PLATFORM or PLATFORMS"),
    Refused("all-platforms", None, "use the parameter PLATFORMS"),
    Refused("file", Some('f'), "use the parameter DOCKERFILE"),
    Refused("output", Some('o'), "the image is the output"),
    Refused("logfile", None, "the log of the step is where people look"),
];
const IN_HERMETIC: &[Refused] = &[
    Refused("network", None, "HERMETIC means a build without network"),
    Refused("net", None, "HERMETIC means a build without network"),
    Refused(
        "pull",
        None,
        "HERMETIC pulls before the build and never during it",
    ),
    Refused(
        "pull-always",
        None,
        "HERMETIC pulls before the build and never during it",
    ),
    Refused(
        "pull-never",
        None,
        "HERMETIC pulls before the build and never during it",
    ),
    Refused(
        "isolation",
        None,
        "use --isolation, which HERMETIC builds on",
    ),
    Refused(
        "build-context",
        None,
        "HERMETIC builds from the source and its base images alone",
    ),
    Refused(
        "cache-from",
        None,
        "HERMETIC builds from the source and its base images alone",
    ),
    Refused(
        "cache-to",
        None,
        "HERMETIC builds without network, so nothing can be sent",
    ),
    Refused(
        "from",
        None,
        "HERMETIC pulls the base images that the Containerfile names",
    ),
];

impl Command {
    fn parameter(self) -> &'static str {
        match self {
            Self::Build { .. } => "BUILD_EXTRA_ARGS",
            Self::Push => "PUSH_EXTRA_ARGS",
        }
    }

    fn refused(self) -> impl Iterator<Item = &'static Refused> {
        let (own, hermetic) = match self {
            Self::Build { hermetic: true } => (IN_BUILD, IN_HERMETIC),
            Self::Build { hermetic: false } => (IN_BUILD, &[] as &[Refused]),
            Self::Push => (IN_PUSH, &[] as &[Refused]),
        };
        IN_BOTH.iter().chain(own).chain(hermetic)
    }
}

/// Whether some of these words may name images beside those that are read in the Containerfile, `--build-arg` by the value of an `ARG`.
pub(super) fn names_images(words: &[String]) -> bool {
    let options = [
        "--from",
        "--build-context",
        "--cache-from",
        "--cache-to",
        "--build-arg",
    ];
    words
        .iter()
        .any(|word| options.iter().any(|option| word.starts_with(option)))
}

/// Letters of options without a value, which may stand before another letter in one word.
const SWITCHES: &str = "Dqh";

/// Splits `text` into words.
///
/// # Errors
/// Exit 2 for a quote without its partner and for an option that the tool sets itself. A word that only looks like such an option, because
/// it is the value of the option before it, is refused as well: `--option=value` makes clear what is meant.
pub(super) fn split(command: Command, text: &str) -> Result<Vec<String>, Failure> {
    let parameter = command.parameter();
    let words = shlex::split(text).ok_or_else(|| {
        Failure::misuse(anyhow!("{parameter} has a quote or a backslash without its partner"))
            .hint("words are split as a shell does, but nothing is substituted; quote a word with blanks once")
    })?;
    for word in &words {
        if let Some(Refused(name, _, instead)) = command.refused().find(|refused| refused.is(word))
        {
            return Err(Failure::misuse(anyhow!(
                "{parameter} has {word:?}, but --{name} is set by this tool"
            ))
            .hint(*instead));
        }
        if word == "--" {
            return Err(Failure::misuse(anyhow!(
                "{parameter} has \"--\", after which no option is read"
            ))
            .hint("leave it out; the context is the parameter CONTEXT"));
        }
    }
    Ok(words)
}

impl Refused {
    fn is(&self, word: &str) -> bool {
        let Self(name, letter, _) = *self;
        if let Some(long) = word.strip_prefix("--") {
            return long.split('=').next() == Some(name);
        }
        let Some((letters, letter)) = word.strip_prefix('-').zip(letter) else {
            return false;
        };
        letters.chars().find(|c| !SWITCHES.contains(*c)) == Some(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: Command = Command::Build { hermetic: false };

    #[test]
    fn words_are_split_without_a_shell() {
        let words = split(
            BUILD,
            r#"--volume '/a b:/c' --label "x=$(id) `y`" --env=A\ B"#,
        )
        .expect("well formed");
        assert_eq!(
            words,
            ["--volume", "/a b:/c", "--label", "x=$(id) `y`", "--env=A B"]
        );
        assert!(split(BUILD, "").expect("nothing").is_empty());
    }

    #[test]
    fn an_unbalanced_quote_is_misuse() {
        let failure =
            split(Command::Push, "--compression-format 'gzip").expect_err("no second quote");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(
            failure.message().contains("PUSH_EXTRA_ARGS"),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn options_that_the_results_rest_on_are_refused() {
        for text in [
            "--digestfile=/x",
            "--authfile /x",
            "--iidfile /x",
            "--tag a",
            "-t a",
            "-ta",
            "-qt a",
            "--manifest m",
            "--format docker",
            "--tls-verify=false",
            "-f x",
            "--platform linux/arm64",
            "--jobs 2 --tag=a",
            "--creds u:p",
            "-- /other",
        ] {
            assert!(split(BUILD, text).is_err(), "{text}");
        }
        for text in [
            "--digestfile x",
            "--authfile=x",
            "-f v2s2",
            "--format oci",
            "--tls-verify",
            "--creds=a:b",
        ] {
            assert!(split(Command::Push, text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_options_pass() {
        for text in [
            "--jobs 2",
            "--network host",
            "--label a=-t",
            "--timestamp=1",
            "-v /tag:/t",
            "--pull=never",
            "-q",
        ] {
            assert!(split(BUILD, text).is_ok(), "{text}");
        }
        assert!(split(Command::Push, "--tag x --quiet --compression-level 9").is_ok());
    }

    #[test]
    fn options_that_bring_other_images_are_seen() {
        for (text, wanted) in [
            ("--from r.example/a", true),
            ("--build-context=a=docker://r.example/a", true),
            ("--jobs 2 --build-arg BASE=r.example/a", true),
            ("--jobs 2 --squash", false),
        ] {
            let words = split(BUILD, text).expect("well formed");
            assert_eq!(names_images(&words), wanted, "{text}");
        }
    }

    #[test]
    fn the_network_cannot_be_given_back_to_a_hermetic_build() {
        for text in [
            "--network host",
            "--network=host",
            "--pull",
            "--build-context a=docker://b",
            "--net host",
            "--net=host",
            "--cache-from r.example/a",
            "--cache-to=r.example/a",
            "--from r.example/a",
            "--from=r.example/a",
        ] {
            assert!(
                split(Command::Build { hermetic: true }, text).is_err(),
                "{text}"
            );
        }
    }
}
