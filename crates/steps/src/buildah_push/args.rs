//! The command line of `tekseal-buildah-push`: a flag and an environment variable for each parameter of the Task.
//!
//! Tekton substitutes every parameter, also those that nobody gave, so an empty text means the same as an absent one everywhere here.
//! How lists are given is said in [`crate::lists`].

use crate::install::InstallArgs;
pub(super) use crate::lists::list;
use crate::lists::{Items, ListArgs, ListParser};
use crate::registry_args::RegistryArgs;
use crate::results::ResultsArgs;

/// Build an image with buildah, push it, and write the results that name it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "Lists (--build-args, --labels, …) end with an element that is a single semicolon: --build-args A=1 B=2 ';'\n\
In the environment a list is a JSON array of strings, or one element a line."
)]
pub struct Args {
    #[command(flatten)]
    lists: ListArgs,
    /// Image to build and push: repository[:tag], without digest
    #[arg(long, env = "IMAGE", value_name = "IMAGE")]
    pub(super) image: Option<String>,
    /// Folder in which the source lies; DOCKERFILE and CONTEXT are looked up there [default: .]
    #[arg(long, env = "TEKSEAL_SOURCE", value_name = "DIR")]
    pub(super) source: Option<String>,
    /// Containerfile, relative to the source, else to the context; left at its default, Containerfile is tried too [default: ./Dockerfile]
    #[arg(long, env = "DOCKERFILE", value_name = "FILE")]
    pub(super) dockerfile: Option<String>,
    /// Build context, relative to the source [default: .]
    #[arg(long, env = "CONTEXT", value_name = "DIR")]
    pub(super) context: Option<String>,
    /// buildah's storage driver; overlay becomes vfs where it cannot be used [default: overlay]
    #[arg(long, env = "STORAGE_DRIVER", value_name = "NAME")]
    pub(super) storage_driver: Option<String>,
    /// How RUN instructions are isolated: chroot, oci or rootless [default: chroot]
    #[arg(long, env = "BUILDAH_ISOLATION", value_name = "NAME")]
    pub(super) isolation: Option<String>,
    /// Format of the manifest: oci or docker [default: oci]
    #[arg(long, env = "FORMAT", value_name = "NAME")]
    pub(super) format: Option<String>,
    /// Other name of --format, which it overrides
    #[arg(long, env = "BUILDAH_FORMAT", value_name = "NAME")]
    pub(super) buildah_format: Option<String>,
    /// Whether registries must show a valid certificate [default: true]
    #[arg(long, env = "TLSVERIFY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) tlsverify: Option<String>,
    /// Other name of --tlsverify, which it overrides
    #[arg(long, env = "TLS_VERIFY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) tls_verify: Option<String>,

    /// One build argument, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(super) build_arg: Vec<String>,
    /// Build arguments up to an element that is a semicolon
    #[arg(long, env = "BUILD_ARGS", value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) build_args: Vec<Items>,
    /// File with a build argument a line, relative to the source; --build-args go before it
    #[arg(long, env = "BUILD_ARGS_FILE", value_name = "FILE")]
    pub(super) build_args_file: Option<String>,
    /// Stage to build instead of the last one
    #[arg(long, env = "TARGET_STAGE", value_name = "NAME")]
    pub(super) target_stage: Option<String>,
    /// One environment variable of the image; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(super) env_var: Vec<String>,
    /// Environment variables of the image up to an element that is a semicolon
    #[arg(long, env = "ENV_VARS", value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) env_vars: Vec<Items>,
    /// One label; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(super) label: Vec<String>,
    /// Labels up to an element that is a semicolon; they go before the automatic ones
    #[arg(long, env = "LABELS", value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) labels: Vec<Items>,
    /// One annotation; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(super) annotation: Vec<String>,
    /// Annotations up to an element that is a semicolon; they go before the automatic ones
    #[arg(long, env = "ANNOTATIONS", value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) annotations: Vec<Items>,
    /// More options for `buildah build`, split as a shell would, without a shell
    #[arg(
        long,
        env = "BUILD_EXTRA_ARGS",
        value_name = "WORDS",
        allow_hyphen_values = true
    )]
    pub(super) build_extra_args: Option<String>,
    /// More options for `buildah push`, split as a shell would, without a shell
    #[arg(
        long,
        env = "PUSH_EXTRA_ARGS",
        value_name = "WORDS",
        allow_hyphen_values = true
    )]
    pub(super) push_extra_args: Option<String>,

    /// One more tag for the pushed image; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(super) additional_tag: Vec<String>,
    /// More tags for the pushed image, up to an element that is a semicolon
    #[arg(long, env = "ADDITIONAL_TAGS", value_name = "TAG", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) additional_tags: Vec<Items>,
    /// Build only; the results are written empty
    #[arg(long, env = "SKIP_PUSH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) skip_push: Option<String>,
    /// Squash the new layers into one
    #[arg(long, env = "SQUASH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) squash: Option<String>,
    /// Use no cached layers
    #[arg(long, env = "NO_CACHE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) no_cache: Option<String>,
    /// Pull base images first, then build without network
    #[arg(long, env = "HERMETIC", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) hermetic: Option<String>,
    /// Leave out stages that the target does not need [default: true]
    #[arg(long, env = "SKIP_UNUSED_STAGES", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) skip_unused_stages: Option<String>,
    /// Platform to build for, os/arch[/variant]; repeated, it makes an index of them
    #[arg(long, env = "PLATFORM", value_name = "PLATFORM", value_delimiter = ',')]
    pub(super) platform: Vec<String>,
    /// Platforms of an index, up to an element that is a semicolon
    #[arg(long, env = "PLATFORMS", value_name = "PLATFORM", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) platforms: Vec<Items>,
    /// URL of the source repository, for label, annotation and record
    #[arg(long, env = "SOURCE_URL", value_name = "URL")]
    pub(super) source_url: Option<String>,
    /// Commit that is built, for label, annotation and record
    #[arg(long, env = "COMMIT_SHA", value_name = "SHA")]
    pub(super) commit_sha: Option<String>,
    /// Time of the image in seconds since 1970, for builds that can be repeated
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
    pub(super) source_date_epoch: Option<String>,
    /// When quay may delete the image, for example 7d
    #[arg(long, env = "IMAGE_EXPIRES_AFTER", value_name = "TIME")]
    pub(super) image_expires_after: Option<String>,
    /// File, or folder of files, that RUN --mount=type=secret,id=<file name> may read
    #[arg(long, env = "ADDITIONAL_SECRET_PATH", value_name = "PATH")]
    pub(super) additional_secret: Option<String>,
    /// How often a failed push is tried again [default: 5]
    #[arg(long, env = "PUSH_RETRIES", value_name = "COUNT")]
    pub(super) push_retries: Option<String>,
    /// Let buildah tell more
    #[arg(long, env = "VERBOSE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) verbose: Option<String>,
    /// buildah's log level: trace, debug, info, warn, error, fatal or panic
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// Parameters of other buildah Tasks, up to an element that is a semicolon: one that asks for something is refused
    #[arg(long, value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true)]
    pub(super) refuse: Vec<String>,
    /// Write the object result IMAGE_ARTIFACT_OUTPUTS too
    #[arg(long, env = "ARTIFACT_OUTPUTS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) artifact_outputs: Option<String>,
    /// Program and arguments that make an SBOM of the image, split as a shell would, without a shell: {image} is a folder in OCI's layout, {output} the file to write
    #[arg(long, env = "SBOM_TOOL", value_name = "WORDS")]
    pub(super) sbom_tool: Option<String>,
    /// Where that file goes
    #[arg(long, env = "SBOM_OUTPUT", value_name = "FILE")]
    pub(super) sbom_output: Option<String>,
    /// Write what was done as a completed TaskRun document, for use outside a cluster
    #[arg(long, env = "TEKSEAL_RECORD", value_name = "FILE")]
    pub(super) record: Option<String>,
    #[command(flatten)]
    pub(super) results: ResultsArgs,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    #[command(flatten)]
    pub(super) install: InstallArgs,
}

#[cfg(test)]
pub(super) mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    /// The arguments as the tool would see them, without the environment of the test.
    pub(in crate::buildah_push) fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        let command = Cli::command().mut_args(|arg| arg.env(None::<&str>));
        let words = std::iter::once("tekseal-buildah-push").chain(words.iter().copied());
        Cli::from_arg_matches(&command.try_get_matches_from(words)?).map(|cli| cli.args)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_list_survives_words_that_look_like_flags() {
        let args = parse(&[
            "--build-args",
            "A=1",
            "--image",
            "",
            "-x",
            "C=a\n\"b\" 'c'",
            ";",
            "--image",
            "r/a",
        ])
        .expect("a list that ends");
        assert_eq!(
            list(&args.build_args, &args.build_arg),
            ["A=1", "--image", "-x", "C=a\n\"b\" 'c'"]
        );
        assert_eq!(args.image.as_deref(), Some("r/a"));
    }

    #[test]
    fn a_list_may_be_empty_and_single_values_are_added() {
        let args =
            parse(&["--labels", ";", "--label", "--odd=1", "--label", "b=2"]).expect("well formed");
        assert_eq!(list(&args.labels, &args.label), ["--odd=1", "b=2"]);
        let args = parse(&["--labels", "a=1", ";", "--label", "b=2"]).expect("well formed");
        assert_eq!(list(&args.labels, &args.label), ["a=1", "b=2"]);
    }

    #[test]
    fn switches_take_a_value_or_none() {
        let args = parse(&[
            "--squash",
            "--no-cache",
            "false",
            "--hermetic=true",
            "--verbose",
            "",
        ])
        .expect("well formed");
        assert_eq!(args.squash.as_deref(), Some("true"));
        assert_eq!(args.no_cache.as_deref(), Some("false"));
        assert_eq!(args.hermetic.as_deref(), Some("true"));
        assert_eq!(args.verbose.as_deref(), Some(""));
    }

    #[test]
    fn extra_arguments_may_begin_with_a_dash() {
        let args = parse(&[
            "--build-extra-args",
            "--jobs 2",
            "--push-extra-args=--quiet",
        ])
        .expect("well formed");
        assert_eq!(args.build_extra_args.as_deref(), Some("--jobs 2"));
        assert_eq!(args.push_extra_args.as_deref(), Some("--quiet"));
    }
}
