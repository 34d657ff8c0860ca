//! The commit that is released, as git tells it. Its time is the time of everything in the release.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_steps::{Failure, log};

/// The commit that is released.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The commit's hash, with `-dirty` behind it where nobody looked whether the work tree is what it says.
    pub(crate) revision: String,
    /// When it was committed, in whole seconds.
    pub(crate) time: Timestamp,
}

/// Whether the work tree must be what the commit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    MustBeCommitted,
    MayDiffer,
}

/// Behind a revision that does not say what was released, and behind the commit in programs of a changed tree.
const DIRTY: &str = "-dirty";
/// So many digits of the commit are in a program: see `./build`.
const DIGITS: usize = 12;
/// Where cargo, rustup, kubectl and this program find files without being told of each. A file there is part of a release also where git
/// was told to ignore it.
const MADE_OF: [&str; 7] = [
    ".cargo",
    "crates",
    "deploy",
    "images",
    "pipelines",
    "rust-toolchain",
    "tasks",
];

impl Commit {
    /// Asks git in `root`.
    ///
    /// # Errors
    /// Exit 2 if there is no commit, or if the tree must be committed and is not.
    pub(crate) fn read(root: &Path, tree: Tree) -> Result<Self, Failure> {
        let seconds = git(root, &["show", "--no-patch", "--format=%ct", "HEAD"])?;
        let time = seconds
            .parse()
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or_else(|| {
                Failure::misuse(anyhow!(
                    "git says the commit is of {seconds:?}, which is no time"
                ))
            })?;
        let mut revision = git(root, &["rev-parse", "HEAD"])?;
        match tree {
            Tree::MustBeCommitted => check_tree(root, &revision)?,
            Tree::MayDiffer => revision.push_str(DIRTY),
        }
        Ok(Self { revision, time })
    }

    /// Refuses a program that does not say that it was built of this commit. With a tree that may differ, any program will do.
    ///
    /// # Errors
    /// Exit 2.
    pub(crate) fn check_program(&self, name: &str, program: &[u8]) -> Result<(), Failure> {
        if self.revision.ends_with(DIRTY) || is_built_of(&self.revision, program) {
            return Ok(());
        }
        Err(Failure::misuse(anyhow!(
            "{name} does not say that it was built of commit {} with nothing changed",
            self.revision
        ))
        .hint("./build makes the programs of the commit; --allow-dirty releases these all the same, for trying out"))
    }

    /// RFC 3339 in UTC, to the second.
    pub(crate) fn rfc3339(&self) -> String {
        self.time.to_string()
    }
}

/// The https URL of the remote `origin`; another kind of remote, or one with a user in it, is not for publishing.
pub(crate) fn origin(root: &Path) -> Result<Option<String>, Failure> {
    let remotes = git(root, &["remote"])?;
    if !remotes.lines().any(|name| name == "origin") {
        return Ok(unknown_source("there is no remote called origin"));
    }
    let url = git(root, &["remote", "get-url", "origin"])?;
    if url.starts_with("https://") && !url.contains('@') {
        return Ok(Some(url));
    }
    Ok(unknown_source(
        "the remote called origin is no plain https URL",
    ))
}

fn unknown_source(reason: &str) -> Option<String> {
    log::warn(
        "images and provenance will not say where the source is; --source-url does",
        &[("reason", &reason)],
    );
    None
}

/// Whether the tree is what the commit says, whatever git was told to overlook.
fn check_tree(root: &Path, revision: &str) -> Result<(), Failure> {
    let differs = |what: String| {
        Failure::misuse(anyhow!(
            "the work tree is not what commit {revision} says: {what}"
        ))
        .hint("commit or remove it: provenance names the commit; --allow-dirty releases all the same, for trying out")
    };
    // The setting core.worktree would have git look at another folder.
    if git(root, &["rev-parse", "--is-inside-work-tree"])? != "true" {
        return Err(differs(format!(
            "git's work tree is elsewhere than {}",
            root.display()
        )));
    }
    // Neither status.showUntrackedFiles nor what a monitor of the file system reports is believed.
    let changes = git(
        root,
        &[
            "-c",
            "core.fsmonitor=false",
            "status",
            "--porcelain=v1",
            "--untracked-files=all",
        ],
    )?;
    if let Some(first) = changes.lines().next() {
        let count = changes.lines().count();
        return Err(differs(format!(
            "{count} change(s), the first is {first:?}"
        )));
    }
    let files = git(root, &["ls-files", "-v"])?;
    let is_overlooked =
        |line: &&str| line.starts_with(|tag: char| tag == 'S' || tag.is_ascii_lowercase());
    if let Some(file) = files.lines().find(is_overlooked) {
        return Err(differs(format!(
            "git does not look at {:?}, which is marked assume-unchanged or skip-worktree",
            file.get(2..).unwrap_or(file)
        )));
    }
    let others = git(
        root,
        &[&["ls-files", "--others", "--"][..], &MADE_OF].concat(),
    )?;
    others.lines().next().map_or(Ok(()), |first| {
        Err(differs(format!(
            "{first:?} is ignored by git, and what is released may depend on it"
        )))
    })
}

/// Whether a program has this commit in it, as `./build` puts it there, without a mark that the tree was changed.
fn is_built_of(revision: &str, program: &[u8]) -> bool {
    let commit = &revision.as_bytes()[..DIGITS.min(revision.len())];
    let mut places = program.windows(commit.len()).enumerate();
    places.any(|(at, window)| {
        window == commit && !program[at + commit.len()..].starts_with(DIRTY.as_bytes())
    })
}

fn git(root: &Path, args: &[&str]) -> Result<String, Failure> {
    let doing = || format!("git {}", args.join(" "));
    let output = command(root).args(args).output().map_err(|e| {
        Failure::misuse(e)
            .context(doing())
            .hint("a release is made of a git checkout: install git")
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::misuse(anyhow!("{}", said.trim()))
            .context(doing())
            .hint(
                "a release is made of a git checkout, because everything in it names its commit",
            ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// git in `root`, without the variables by which another repository, index or setting would speak for it.
fn command(root: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.args(["--no-optional-locks", "-C"]).arg(root);
    command
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    }

    fn ask(folder: &Path, args: &[&str]) {
        git(folder, args).unwrap_or_else(|failure| panic!("{}", failure.message()));
    }

    /// A source of which all is committed.
    fn checkout() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        ask(root, &["init", "--quiet"]);
        for (name, value) in [
            ("user.name", "somebody"),
            ("user.email", "somebody@example.com"),
            ("commit.gpgSign", "false"),
            ("core.hooksPath", "/dev/null"),
        ] {
            ask(root, &["config", name, value]);
        }
        write(root, "crates/one.rs", "// one\n");
        write(root, ".gitignore", "/out/\n");
        ask(root, &["add", "--all"]);
        ask(root, &["commit", "--quiet", "--message", "one"]);
        folder
    }

    fn refused(folder: &TempDir, why: &str) {
        let read = |tree| Commit::read(folder.path(), tree);
        let failure = read(Tree::MustBeCommitted).expect_err(why);
        assert_eq!(failure.code(), tekseal_steps::exit::MISUSE);
        assert!(failure.message().contains(why), "{}", failure.message());
        let revision = read(Tree::MayDiffer).expect("allowed").revision;
        assert!(revision.ends_with("-dirty"), "{revision}");
    }

    #[test]
    fn a_tree_that_is_committed_is_of_its_commit() {
        let folder = checkout();
        write(folder.path(), "out/tekseal", "");
        let commit = Commit::read(folder.path(), Tree::MustBeCommitted).expect("all is committed");
        assert_eq!(commit.revision.len(), 40, "{}", commit.revision);
        // Nobody looked whether it is.
        let unseen = Commit::read(folder.path(), Tree::MayDiffer).expect("there is a commit");
        assert_eq!(unseen.revision, commit.revision + "-dirty");
    }

    #[test]
    fn a_new_file_is_seen_though_a_setting_hides_new_files() {
        let folder = checkout();
        ask(
            folder.path(),
            &["config", "status.showUntrackedFiles", "no"],
        );
        write(folder.path(), "new/file", "");
        refused(&folder, "new/file");
    }

    #[test]
    fn a_change_is_seen_in_a_file_that_git_shall_not_look_at() {
        for mark in ["--assume-unchanged", "--skip-worktree"] {
            let folder = checkout();
            ask(folder.path(), &["update-index", mark, "crates/one.rs"]);
            write(folder.path(), "crates/one.rs", "// other\n");
            refused(&folder, "crates/one.rs");
        }
    }

    #[test]
    fn a_file_that_changes_what_is_built_is_seen_though_it_is_ignored() {
        for name in [".cargo/config.toml", "crates/build.rs", "rust-toolchain"] {
            let folder = checkout();
            write(folder.path(), ".git/info/exclude", &format!("/{name}\n"));
            write(folder.path(), name, "");
            refused(&folder, name);
        }
    }

    #[test]
    fn another_folder_does_not_speak_for_the_source() {
        let (folder, other) = (checkout(), checkout());
        let other = other.path().display().to_string();
        ask(folder.path(), &["config", "core.worktree", &other]);
        write(folder.path(), "crates/one.rs", "// other\n");
        refused(&folder, "work tree");
    }

    #[test]
    fn a_program_of_another_commit_or_of_a_changed_tree_is_refused() {
        let mut commit = Commit {
            revision: "0123456789abcdef".repeat(2) + "01234567",
            time: Timestamp::UNIX_EPOCH,
        };
        let good = b"..version=commit=0123456789ab..".as_slice();
        commit.check_program("tekseal-x", good).expect("of it");
        let others = [
            b"..0123456789aa..".as_slice(),
            b"..0123456789ab-dirty..",
            b"..unknown..",
            b"",
        ];
        for other in others {
            let failure = commit.check_program("tekseal-x", other).expect_err("other");
            assert_eq!(failure.code(), tekseal_steps::exit::MISUSE);
            assert!(
                failure.message().contains("tekseal-x"),
                "{}",
                failure.message()
            );
        }
        commit.revision.push_str(DIRTY);
        for other in others {
            commit.check_program("tekseal-x", other).expect("allowed");
        }
    }
}
