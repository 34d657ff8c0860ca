//! The command line of `tekseal-image-index`: a flag and an environment variable for each parameter of the Task.

use crate::lists::{Items, ListArgs, ListParser};
use crate::registry_args::RegistryArgs;
use crate::results::ResultsArgs;

/// Compose an index of images, one for each platform, and write the results that name it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "Lists (--images, --annotations, …) end with an element that is a single semicolon: --images R@sha256:… R@sha256:… ';'\n\
In the environment a list is a JSON array of strings, or one element a line."
)]
pub struct Args {
    #[command(flatten)]
    lists: ListArgs,
    /// Where the index goes: repository[:tag], without digest
    #[arg(long, env = "IMAGE", value_name = "IMAGE")]
    pub(super) image: Option<String>,
    /// Images of the index, up to an element that is a semicolon: repository[:tag]@sha256:…, several in one element with commas or newlines between them
    #[arg(long, env = "IMAGES", value_name = "IMAGE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) images: Vec<Items>,
    /// Format of the index, which must be that of the images: oci or docker [default: oci]
    #[arg(long, env = "FORMAT", value_name = "NAME")]
    pub(super) format: Option<String>,
    /// Other name of --format, which it overrides
    #[arg(long, env = "BUILDAH_FORMAT", value_name = "NAME")]
    pub(super) buildah_format: Option<String>,
    /// Whether a single image gets an index too; if not, the results name that image [default: true]
    #[arg(long, env = "ALWAYS_BUILD_INDEX", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) always_build_index: Option<String>,
    /// One annotation of the index; may be repeated
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    pub(super) annotation: Vec<String>,
    /// Annotations of the index, up to an element that is a semicolon
    #[arg(long, env = "ANNOTATIONS", value_name = "NAME=VALUE", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) annotations: Vec<Items>,
    /// One more tag for the index; may be repeated
    #[arg(long, value_name = "TAG")]
    pub(super) additional_tag: Vec<String>,
    /// More tags for the index, up to an element that is a semicolon
    #[arg(long, env = "ADDITIONAL_TAGS", value_name = "TAG", num_args = 0.., value_terminator = ";", allow_hyphen_values = true, value_parser = ListParser)]
    pub(super) additional_tags: Vec<Items>,
    /// Whether the registries of the index and its images must show a valid certificate [default: true]
    #[arg(long, env = "TLSVERIFY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) tlsverify: Option<String>,
    /// Other name of --tlsverify, which it overrides
    #[arg(long, env = "TLS_VERIFY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) tls_verify: Option<String>,
    #[command(flatten)]
    pub(super) results: ResultsArgs,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
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
    pub(in crate::image_index) fn parse(words: &[&str]) -> Args {
        let command = Cli::command().mut_args(|arg| arg.env(None::<&str>));
        let words = std::iter::once("tekseal-image-index").chain(words.iter().copied());
        let matches = command.try_get_matches_from(words).expect("known flags");
        Cli::from_arg_matches(&matches).expect("known flags").args
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
