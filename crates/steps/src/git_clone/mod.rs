//! `tekseal-git-clone`: fetches a revision of a repository with git, and writes the results that name it.
//!
//! ```text
//! Args ─ Settings::from_args ─▶ Settings ─ Git::prepare ─▶ Git ─ fetch ─▶ Fetched ─▶ results, last of all
//!   flags, environment           checked     private home:     │  init, fetch, checkout, submodules
//!                                            credentials, ssh   └ Place: the folder, made empty first
//! ```
//!
//! Everything in a repository, and most of what names one, is somebody else's: no parameter can become an option of git, no configuration
//! but ours and a few settings of the user's is read, no hook is run, no protocol is spoken but those of the table in `args`, and no
//! password is in an argument, in the log or in the results. The commit in the results is the one that git says is checked out.
//!
//! A submodule's URL is the repository's word: which hosts a step may reach is for a network policy to say.

mod args;
mod complaint;
mod credentials;
mod fetch;
mod git;
mod gitconfig;
mod home;
mod place;
mod revision;
mod secrets;
mod settings;
mod ssh;
mod url;

use tekseal_core::hints::{GIT_COMMIT, GIT_URL};

use crate::results::Results;
use crate::{Failure, install, log};

use fetch::Fetched;
use git::Git;
use place::Place;
use settings::Settings;

pub use args::Args;

/// Fetches and writes the results; or, with `--install`, only copies this program.
///
/// # Errors
/// Exit 1 if repository or revision do not exist; 2 for bad parameters and refused credentials; 3 if the server, the network or the disk
/// fails, after the tries that are allowed; 143 and 130 after SIGTERM and SIGINT. Then no result is written, and what was fetched is
/// removed again.
pub async fn run(args: &Args) -> Result<(), Failure> {
    if let Some(folder) = args.install.folder() {
        return install::install(folder);
    }
    let settings = Settings::from_args(args)?;
    let results = args.results.open()?;
    let place = Place::find(&settings.output, settings.subdirectory.as_deref())?;
    let mut git = Git::prepare(&settings, &place.path()).await?;
    place.prepare(settings.existing)?;
    let done = fetch_and_tell(&mut git, &settings, &place, results).await;
    if done.is_err()
        && let Err(e) = place.empty()
    {
        log::warn("a part of the source is left", &[("reason", &e.message())]);
    }
    done
}

async fn fetch_and_tell(
    git: &mut Git,
    settings: &Settings,
    place: &Place,
    mut results: Results,
) -> Result<(), Failure> {
    let fetched = fetch::fetch(git, settings, place).await?;
    log::info(
        "fetched",
        &[
            ("url", &settings.url.as_str()),
            ("revision", &settings.revision.as_str()),
            ("commit", &fetched.commit.as_str()),
            ("folder", &place.path().display()),
        ],
    );
    fill(&mut results, settings.url.as_str(), &fetched);
    Ok(results.commit()?)
}

fn fill(results: &mut Results, url: &str, fetched: &Fetched) {
    results.set("url", url);
    results.set("commit", fetched.commit.as_str());
    results.set("committer-date", &fetched.committer_date);
    results.set(GIT_URL, url);
    results.set(GIT_COMMIT, fetched.commit.as_str());
}

#[cfg(test)]
mod tests {
    use super::revision::Commit;
    use super::*;

    #[test]
    fn the_longest_url_fits_into_the_results() {
        let mut results = Results::open(None).expect("no folder");
        let fetched = Fetched {
            commit: Commit::parse(&"0a".repeat(32)).expect("a hash"),
            committer_date: "1700000000".to_owned(),
        };
        fill(&mut results, &"x".repeat(1000), &fetched);
        results.check_size().expect("it fits");
        let names: Vec<_> = results
            .values()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "url",
                "commit",
                "committer-date",
                "CHAINS-GIT_URL",
                "CHAINS-GIT_COMMIT"
            ]
        );
    }
}
