//! The work itself: a new repository, the revision fetched into it and checked out, its submodules, and what it says of its commit.
//!
//! `git clone` is not used: it cannot fetch a commit or a reference such as `refs/pull/1/head`, and decides too much by itself.

use std::fs;
use std::io;

use anyhow::anyhow;

use super::complaint::{Cause, Complaint};
use super::git::{Git, Reach};
use super::place::Place;
use super::revision::{Commit, ObjectFormat, Revision};
use super::settings::{Settings, Submodules, Talk};
use crate::{Failure, log};

/// What was checked out.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) commit: Commit,
    /// Seconds since 1970.
    pub(super) committer_date: String,
}

/// Fetches into `place`, which is empty.
///
/// # Errors
/// Exit 1 if repository or revision do not exist, or the revision is not what was asked for; 2 for refused credentials and what a
/// parameter must say otherwise; 3 if the server or the disk fail.
pub(super) async fn fetch(
    git: &mut Git,
    settings: &Settings,
    place: &Place,
) -> Result<Fetched, Failure> {
    let format = settings.revision.object_format();
    make_repository(git, settings, place, format).await?;
    let mut outcome = get(git, settings).await?;
    let is_other = |complaint: &Complaint| complaint.cause == Cause::ObjectFormat;
    if format == ObjectFormat::Sha1 && outcome.as_ref().is_err_and(is_other) {
        // Nobody but the server knows which hashes its repository has.
        place.empty()?;
        make_repository(git, settings, place, ObjectFormat::Sha256).await?;
        outcome = get(git, settings).await?;
    }
    outcome.map_err(|complaint| not_fetched(complaint, settings))?;
    let commit = find(git, settings).await?;
    check_out(git, settings, &commit).await?;
    get_submodules(git, settings).await?;
    let date = ["log", "-1", "--format=%ct", commit.as_str(), "--"];
    let date = git.ask(&date, "asking for the commit's date").await?;
    let committer_date = date.trim().to_owned();
    if committer_date.is_empty() || !committer_date.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Failure::no(anyhow!(
            "commit {} has the date {committer_date:?}, which is no time since 1970",
            commit.as_str()
        )));
    }
    Ok(Fetched {
        commit,
        committer_date,
    })
}

async fn make_repository(
    git: &mut Git,
    settings: &Settings,
    place: &Place,
    format: ObjectFormat,
) -> Result<(), Failure> {
    let doing = "making the repository";
    let format = format!("--object-format={}", format.name());
    // Without templates there are no hooks, and nothing else that the image may have put there.
    let mut init = vec!["init", "--quiet", "--template="];
    if format.ends_with("sha256") {
        init.push(&format);
    }
    git.ask(&init, doing).await?;
    let mut configuration = vec![("remote.origin.url", settings.url.as_str())];
    if settings.depth.is_none() {
        // As after a clone; with only a few commits nobody is to fetch the rest by chance.
        configuration.push(("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"));
    }
    if !settings.sparse.is_empty() {
        configuration.push(("core.sparseCheckout", "true"));
        configuration.push(("core.sparseCheckoutCone", "false"));
        write_patterns(settings, place).map_err(|e| {
            Failure::of_writing(&e).context("writing the patterns of sparseCheckoutDirectories")
        })?;
    }
    for (name, value) in configuration {
        git.ask(&["config", name, value], doing).await?;
    }
    Ok(())
}

fn write_patterns(settings: &Settings, place: &Place) -> io::Result<()> {
    let folder = place.path().join(".git/info");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("sparse-checkout"),
        settings.sparse.join("\n") + "\n",
    )
}

/// Asks the server for what is wanted.
async fn get(git: &mut Git, settings: &Settings) -> Result<Result<(), Complaint>, Failure> {
    let depth = settings.depth.map(|count| format!("--depth={count}"));
    let mut args = vec!["fetch", "--force", "--update-head-ok"];
    args.extend(quiet(settings));
    args.extend(depth.as_deref());
    args.extend(["--", "origin"]);
    if settings.refspecs.is_empty() {
        args.push(settings.revision.as_str());
    } else {
        args.extend(settings.refspecs.iter().map(String::as_str));
    }
    git.insist(Reach::Repository, &args).await
}

fn not_fetched(complaint: Complaint, settings: &Settings) -> Failure {
    let what = match settings.refspecs.as_slice() {
        [] => settings.revision.as_str().to_owned(),
        refspecs => refspecs.join(" "),
    };
    let is_unknown = complaint.cause == Cause::Revision;
    let failure = complaint.failure(format!("fetching {what} from {}", settings.url.as_str()));
    if is_unknown && settings.revision.is_short_hash() {
        return failure
            .hint("servers find commits by their full hash only: git rev-parse prints it");
    }
    failure
}

/// The commit that the revision is, in what was fetched.
async fn find(git: &mut Git, settings: &Settings) -> Result<Commit, Failure> {
    // Without refspec the revision is the only thing that was fetched.
    let name = match (&settings.revision, settings.refspecs.is_empty()) {
        (Revision::Default, _) | (_, true) => "FETCH_HEAD",
        (Revision::Commit(_) | Revision::Name(_), false) => settings.revision.as_str(),
    };
    let asked = resolve(git, name).await?;
    let commit = asked.ok_or_else(|| {
        Failure::no(anyhow!(
            "{} is no commit among what was fetched from {}",
            settings.revision.as_str(),
            settings.url.as_str()
        ))
        .hint("with refspec the revision must be the destination of one, or a commit that depth reaches (--depth 0 fetches all)")
    })?;
    match &settings.revision {
        Revision::Commit(wanted) if *wanted != commit => Err(Failure::no(anyhow!(
            "revision {} is not a commit: it leads to {}",
            wanted.as_str(),
            commit.as_str()
        ))
        .hint("an annotated tag has a hash of its own; give the commit's")),
        _ => Ok(commit),
    }
}

async fn resolve(git: &mut Git, name: &str) -> Result<Option<Commit>, Failure> {
    let name = format!("{name}^{{commit}}");
    let args = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &name,
    ];
    let answer = git.ask_whether(&args).await?;
    Ok(answer.and_then(|answer| Commit::parse(answer.trim())))
}

/// Checks it out, and asks git whether that is what is there now.
async fn check_out(git: &mut Git, settings: &Settings, commit: &Commit) -> Result<(), Failure> {
    let mut args = vec!["checkout", "--force", "--detach"];
    args.extend(quiet(settings));
    args.extend([commit.as_str(), "--"]);
    let ended = git.act(Reach::Nobody, &args).await?;
    if !ended.is_success() {
        return Err(Complaint::of(&ended).failure(format!("checking out {}", commit.as_str())));
    }
    if let Revision::Name(name) = &settings.revision
        && !settings.refspecs.is_empty()
        && !name.contains(['~', '^'])
    {
        // Fetched as a branch, it is a branch here, as with the catalog's Task.
        let branch = format!("refs/heads/{name}");
        if resolve(git, &branch).await?.as_ref() == Some(commit) {
            let args = ["symbolic-ref", "HEAD", &branch];
            git.ask(&args, "going onto the branch").await?;
        }
    }
    let head = git
        .ask(&["rev-parse", "HEAD"], "asking what is checked out")
        .await?;
    let head = Commit::parse(head.trim());
    if head.as_ref() == Some(commit) {
        return Ok(());
    }
    Err(Failure::outside(anyhow!(
        "git checked out something else than {}",
        commit.as_str()
    )))
}

async fn get_submodules(git: &mut Git, settings: &Settings) -> Result<(), Failure> {
    let paths: &[String] = match &settings.submodules {
        Submodules::None => return Ok(()),
        Submodules::All => &[],
        Submodules::At(paths) => paths,
    };
    // Not the file: a sparse checkout may be without it.
    let list = ["cat-file", "-e", "HEAD:.gitmodules"];
    if git.ask_whether(&list).await?.is_none() {
        return Ok(());
    }
    let depth = settings.depth.map(|count| format!("--depth={count}"));
    let mut args = vec!["submodule"];
    args.extend(quiet(settings));
    args.extend(["update", "--init", "--recursive", "--force"]);
    args.extend(depth.as_deref());
    args.push("--");
    args.extend(paths.iter().map(String::as_str));
    let outcome = git.insist(Reach::Submodules, &args).await?;
    outcome.map_err(|complaint| {
        complaint.failure(format!("fetching submodules of {}", settings.url.as_str()))
    })?;
    log::info("fetched submodules", &[]);
    Ok(())
}

fn quiet(settings: &Settings) -> Option<&'static str> {
    match settings.talk {
        Talk::Verbose => None,
        Talk::Quiet => Some("--quiet"),
    }
}
