//! The command line of `tekseal-git-clone`: a flag for each parameter and workspace of the catalog's Task `git-clone` (0.10 and 1.7), and
//! the environment variable by which that Task's step has it.
//!
//! | parameter of the catalog | here |
//! |---|---|
//! | `url` | the same, but: a password in it is refused, a user name is left out for http and https; `https`, `http`, `ssh`, `git` and `user@host:path` only |
//! | `revision`, `refspec`, `depth`, `submodules`, `submodulePaths`, `sparseCheckoutDirectories`, `verbose` | the same |
//! | `sslVerify` | the same; `false` is told in a warning, and nothing in a `.gitconfig` can turn it off |
//! | `crtFileName` | the same; a file that is not there is refused |
//! | `subdirectory` | the same, but it stays in the workspace |
//! | `deleteExisting` | the same; with `false` a folder that is not empty is refused |
//! | `httpProxy`, `httpsProxy`, `noProxy` | the same; without them the environment's |
//! | `userHome` | where the private home is made; it is gone when the program ends |
//! | `userFriendlyErrors` | refused: errors always come with a hint |
//! | `gitInitImage` | refused: the program runs in any image with git, which the Task names |
//! | workspaces `output`, `ssh-directory`, `basic-auth`, `ssl-ca-directory` | the same; ssh without `known_hosts` is refused, of a `.gitconfig` only some settings are taken |
//!
//! Tekton substitutes every parameter, also those that nobody gave, so an empty text means the same as an absent one.

use crate::install::InstallArgs;
use crate::results::ResultsArgs;

/// Fetch a revision of a git repository with git, and write the results that name it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Repository to fetch from: https://, http://, ssh://, git://, or user@host:path
    #[arg(
        long,
        env = "PARAM_URL",
        value_name = "URL",
        allow_hyphen_values = true,
        hide_env_values = true
    )]
    pub(super) url: Option<String>,
    /// Branch, tag, full commit hash or reference to check out; without it the default branch
    #[arg(
        long,
        env = "PARAM_REVISION",
        value_name = "REVISION",
        allow_hyphen_values = true
    )]
    pub(super) revision: Option<String>,
    /// References to fetch before the revision is looked up among them, with blanks between
    #[arg(
        long,
        env = "PARAM_REFSPEC",
        value_name = "REFSPEC",
        allow_hyphen_values = true
    )]
    pub(super) refspec: Option<String>,
    /// How many of the newest commits to fetch, 0 for all [default: 1]
    #[arg(
        long,
        env = "PARAM_DEPTH",
        value_name = "COUNT",
        allow_hyphen_values = true
    )]
    pub(super) depth: Option<String>,
    /// Fetch submodules, and theirs [default: true]
    #[arg(long, env = "PARAM_SUBMODULES", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) submodules: Option<String>,
    /// Fetch only the submodules at these paths, with commas between
    #[arg(
        long,
        env = "PARAM_SUBMODULE_PATHS",
        value_name = "PATHS",
        allow_hyphen_values = true
    )]
    pub(super) submodule_paths: Option<String>,
    /// Check out only what these patterns match, with commas between
    #[arg(
        long,
        env = "PARAM_SPARSE_CHECKOUT_DIRECTORIES",
        value_name = "PATTERNS",
        allow_hyphen_values = true
    )]
    pub(super) sparse_checkout_directories: Option<String>,

    /// Folder that the source goes into: the workspace output
    #[arg(long, env = "WORKSPACE_OUTPUT_PATH", value_name = "DIR")]
    pub(super) output: Option<String>,
    /// Folder inside of it instead
    #[arg(
        long,
        env = "PARAM_SUBDIRECTORY",
        value_name = "PATH",
        allow_hyphen_values = true
    )]
    pub(super) subdirectory: Option<String>,
    /// Empty the folder first; otherwise it must be empty [default: true]
    #[arg(long, env = "PARAM_DELETE_EXISTING", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) delete_existing: Option<String>,

    /// Folder with .git-credentials and .gitconfig, or with username and password: the workspace basic-auth
    #[arg(long, env = "WORKSPACE_BASIC_AUTH_DIRECTORY_PATH", value_name = "DIR")]
    pub(super) basic_auth: Option<String>,
    /// Folder with private key, known_hosts and config: the workspace ssh-directory
    #[arg(long, env = "WORKSPACE_SSH_DIRECTORY_PATH", value_name = "DIR")]
    pub(super) ssh_directory: Option<String>,
    /// Folder with credentials of the ServiceAccount, in place of both, as Tekton makes it [default: /tekton/creds if that exists]
    #[arg(long, env = "TEKSEAL_CREDENTIALS", value_name = "DIR")]
    pub(super) credentials: Option<String>,
    /// Folder with certificate authorities: the workspace ssl-ca-directory
    #[arg(long, env = "WORKSPACE_SSL_CA_DIRECTORY_PATH", value_name = "DIR")]
    pub(super) ssl_ca_directory: Option<String>,
    /// Name of the file in it [default: ca-bundle.crt]
    #[arg(long, env = "PARAM_CRT_FILENAME", value_name = "NAME")]
    pub(super) crt_file_name: Option<String>,
    /// Whether a server must show a valid certificate [default: true]
    #[arg(long, env = "PARAM_SSL_VERIFY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) ssl_verify: Option<String>,
    /// Accept the key of an ssh server that is not in known_hosts
    #[arg(long, env = "PARAM_INSECURE_ACCEPT_HOST_KEY", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) insecure_accept_host_key: Option<String>,
    /// Allow file:// for the repository and its submodules
    #[arg(long, env = "PARAM_INSECURE_FILE_PROTOCOL", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) insecure_file_protocol: Option<String>,

    /// Proxy for http
    #[arg(
        long,
        env = "PARAM_HTTP_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) http_proxy: Option<String>,
    /// Proxy for https
    #[arg(
        long,
        env = "PARAM_HTTPS_PROXY",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) https_proxy: Option<String>,
    /// Hosts that are reached without proxy, with commas between
    #[arg(long, env = "PARAM_NO_PROXY", value_name = "HOSTS")]
    pub(super) no_proxy: Option<String>,
    /// How often fetching is tried again when the network or the server fails [default: 3]
    #[arg(long, env = "PARAM_RETRIES", value_name = "COUNT")]
    pub(super) retries: Option<String>,
    /// Folder in which a private home for git is made, and removed at the end [default: that for temporary files]
    #[arg(long, env = "PARAM_USER_HOME", value_name = "DIR")]
    pub(super) user_home: Option<String>,
    /// Tell each command and what git says of its progress [default: true]
    #[arg(long, env = "PARAM_VERBOSE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) verbose: Option<String>,

    #[command(flatten)]
    pub(super) results: ResultsArgs,
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
    pub(in crate::git_clone) fn parse(words: &[&str]) -> Args {
        let command = Cli::command().mut_args(|arg| arg.env(None::<&str>));
        let words = std::iter::once("tekseal-git-clone").chain(words.iter().copied());
        let matches = command.try_get_matches_from(words).expect("known flags");
        Cli::from_arg_matches(&matches).expect("texts").args
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_parameter_of_the_catalog_but_two_is_a_flag_and_a_variable() {
        let command = Cli::command();
        for (parameter, variable) in [
            ("url", "PARAM_URL"),
            ("revision", "PARAM_REVISION"),
            ("refspec", "PARAM_REFSPEC"),
            ("submodules", "PARAM_SUBMODULES"),
            ("submodulePaths", "PARAM_SUBMODULE_PATHS"),
            ("depth", "PARAM_DEPTH"),
            ("sslVerify", "PARAM_SSL_VERIFY"),
            ("crtFileName", "PARAM_CRT_FILENAME"),
            ("subdirectory", "PARAM_SUBDIRECTORY"),
            (
                "sparseCheckoutDirectories",
                "PARAM_SPARSE_CHECKOUT_DIRECTORIES",
            ),
            ("deleteExisting", "PARAM_DELETE_EXISTING"),
            ("httpProxy", "PARAM_HTTP_PROXY"),
            ("httpsProxy", "PARAM_HTTPS_PROXY"),
            ("noProxy", "PARAM_NO_PROXY"),
            ("verbose", "PARAM_VERBOSE"),
            ("userHome", "PARAM_USER_HOME"),
            ("output", "WORKSPACE_OUTPUT_PATH"),
            ("sshDirectory", "WORKSPACE_SSH_DIRECTORY_PATH"),
            ("basicAuth", "WORKSPACE_BASIC_AUTH_DIRECTORY_PATH"),
            ("sslCaDirectory", "WORKSPACE_SSL_CA_DIRECTORY_PATH"),
        ] {
            let flag: String = parameter
                .chars()
                .flat_map(|c| {
                    let dash = c.is_ascii_uppercase().then_some('-');
                    dash.into_iter().chain([c.to_ascii_lowercase()])
                })
                .collect();
            let arg = command
                .get_arguments()
                .find(|arg| arg.get_long() == Some(flag.as_str()))
                .unwrap_or_else(|| panic!("no flag --{flag}"));
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable));
        }
    }
}
