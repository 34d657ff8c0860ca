//! `tekseal-git-clone` as a process, with the real git, a real sshd and git's own server for http: parameters in; exit code, stderr, results
//! and a work tree out.

mod forge;
mod hostile;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tekseal_harness::{Output, Run};
use tempfile::TempDir;

use forge::Forge;

/// A workspace, a results folder, and a folder for temporary files.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        for name in ["output", "results", "tmp", "home"] {
            fs::create_dir(shop.path(name)).expect("a folder");
        }
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of a Secret, or of anything else.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    fn tool(&self, url: &str) -> Run {
        Run::tool("tekseal-git-clone")
            .env("PARAM_URL", url)
            .env("WORKSPACE_OUTPUT_PATH", self.path("output"))
            .env("TEKSEAL_RESULTS", self.path("results"))
            .env("TEKSEAL_CREDENTIALS", "")
            .env("TMPDIR", self.path("tmp"))
            .env("HOME", self.path("home"))
    }

    fn results(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(self.path("results")).expect("the results folder is there");
        entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(entry.path()).expect("text"))
            })
            .collect()
    }

    /// A file of the work tree.
    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("output").join(name)).ok()
    }

    fn git(&self, args: &[&str]) -> String {
        let run = Run::new("git").folder(self.path("output")).args(args);
        run.ok().stdout.trim().to_owned()
    }

    fn is_without_temporary_files(&self) -> bool {
        let mut left = fs::read_dir(self.path("tmp")).expect("the folder is there");
        left.next().is_none()
    }

    /// Nothing but what was there: no results, no source, no private home.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.results(), BTreeMap::new());
        let left: Vec<_> = fs::read_dir(self.path("output"))
            .expect("the folder is there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(self.is_without_temporary_files());
    }
}

/// The error line has all of these, and there is a hint with the last.
#[track_caller]
fn explains(output: &Output, wanted: &[&str], hint: &str) {
    let line = |kind: &str| {
        let lines = output.stderr.lines();
        let found: Vec<_> = lines.filter(|line| line.starts_with(kind)).collect();
        found.join("\n")
    };
    let error = line("tekseal-git-clone: error: ");
    for text in wanted {
        assert!(
            error.contains(text),
            "expected {text:?} in the error\n{output:?}"
        );
    }
    let hints = line("tekseal-git-clone: hint: ");
    assert!(
        !hints.is_empty() && hints.contains(hint),
        "expected a hint with {hint:?}\n{output:?}"
    );
}

#[test]
fn the_default_branch_is_checked_out_and_named_by_the_results() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let url = format!("http://{}/app.git", server.address);
    let output = shop.tool(&format!(" {url}\n")).run().ok();
    assert_eq!(output.stdout, "");
    assert_eq!(shop.text("page.html").as_deref(), Some("three\n"));
    let commit = forge.commit("main");
    let wanted = [
        ("CHAINS-GIT_COMMIT", commit.as_str()),
        ("CHAINS-GIT_URL", &url),
        ("commit", &commit),
        ("committer-date", "1700000000"),
        ("url", &url),
    ];
    let results = shop.results();
    let found: Vec<_> = results
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(shop.git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(shop.git(&["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(shop.git(&["config", "remote.origin.url"]), url);
    assert_eq!(shop.git(&["status", "--porcelain"]), "");
    assert!(!shop.path("output/.git/hooks").exists());
    assert!(shop.is_without_temporary_files());
    let last = output.stderr.lines().last().expect("lines");
    assert!(last.starts_with("wrote results "), "{last}");
    let _ = output.says("whoever is between can change it");
}

#[test]
fn every_kind_of_revision_leads_to_its_commit() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let url = format!("http://{}/app.git", server.address);
    let (v1, two) = (forge.commit("v1"), forge.commit("main~1"));
    for (revision, refspec, commit, page) in [
        ("main", "", forge.commit("main").as_str(), "three\n"),
        ("side", "", &forge.commit("side"), "side\n"),
        ("refs/heads/side", "", &forge.commit("side"), "side\n"),
        ("v1", "", &v1, "one\n"),
        ("refs/tags/v1", "", &v1, "one\n"),
        (&two, "", &two, "two\n"),
        (&two.to_uppercase(), "", &two, "two\n"),
        (
            "refs/pull/7/head",
            "",
            &forge.commit("refs/pull/7/head"),
            "pull\n",
        ),
        (
            "pull",
            "refs/pull/7/head:refs/heads/pull",
            &forge.commit("refs/pull/7/head"),
            "pull\n",
        ),
        ("", "side", &forge.commit("side"), "side\n"),
        (
            "main~1",
            "+refs/heads/main:refs/heads/main v1:refs/tags/v1",
            &two,
            "two\n",
        ),
        (&v1, "refs/heads/main", &v1, "one\n"),
    ] {
        let shop = Shop::new();
        let mut run = shop
            .tool(&url)
            .env("PARAM_REVISION", revision)
            .env("PARAM_REFSPEC", refspec);
        if !refspec.is_empty() {
            run = run.env("PARAM_DEPTH", "0");
        }
        let _ = run.run().ok();
        assert_eq!(shop.results()["commit"], *commit, "{revision} {refspec}");
        assert_eq!(shop.git(&["rev-parse", "HEAD"]), *commit);
        assert_eq!(shop.text("page.html").as_deref(), Some(page), "{revision}");
        if revision == "pull" {
            assert_eq!(shop.git(&["symbolic-ref", "HEAD"]), "refs/heads/pull");
        }
    }
}

#[test]
fn depth_says_how_much_history_there_is() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let url = format!("http://{}/app.git", server.address);
    for (depth, count) in [("0", "3"), ("2", "2"), ("", "1")] {
        let shop = Shop::new();
        let _ = shop.tool(&url).env("PARAM_DEPTH", depth).run().ok();
        assert_eq!(shop.git(&["rev-list", "--count", "HEAD"]), count, "{depth}");
    }
}

#[test]
fn only_what_the_patterns_match_is_checked_out() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let shop = Shop::new();
    let url = format!("http://{}/app.git", server.address);
    let _ = shop
        .tool(&url)
        .env("PARAM_SPARSE_CHECKOUT_DIRECTORIES", "docs/, /src/deep")
        .run()
        .ok();
    assert_eq!(shop.text("docs/guide.md").as_deref(), Some("guide\n"));
    assert_eq!(shop.text("src/deep/code.c").as_deref(), Some("int x;\n"));
    assert_eq!(shop.text("page.html"), None);
}

#[test]
fn submodules_come_with_theirs_or_by_name_or_not_at_all() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let at = |name: &str| format!("http://{}/{name}.git", server.address);
    let inner = forge.work("inner");
    inner.file("inner.txt", "inner\n").commit("inner");
    inner.publish();
    let middle = forge.work("middle");
    middle.file("middle.txt", "middle\n").commit("middle");
    // Relative to the URL of the repository itself.
    middle.submodule("sub/inner", "../inner.git", &inner.commit_of("main"));
    middle.publish();
    let outer = forge.work("outer");
    outer.submodule("vendor/middle", &at("middle"), &middle.commit_of("main"));
    outer.submodule("inner", &at("inner"), &inner.commit_of("main"));
    outer.publish();

    let deep = "vendor/middle/sub/inner/inner.txt";
    let found = |variable: &str, value: &str| {
        let shop = Shop::new();
        let run = shop.tool(&at("outer")).env(variable, value);
        let _ = run.run().ok();
        assert_eq!(shop.results()["commit"], outer.commit_of("main"));
        [deep, "inner/inner.txt"].map(|name| shop.text(name).is_some())
    };
    assert_eq!(found("PARAM_SUBMODULES", "true"), [true, true]);
    assert_eq!(found("PARAM_SUBMODULES", "false"), [false, false]);
    assert_eq!(found("PARAM_SUBMODULE_PATHS", "inner"), [false, true]);
    assert_eq!(
        found("PARAM_SUBMODULE_PATHS", "vendor/middle, inner"),
        [true, true]
    );
    // Without .gitmodules in the work tree there are submodules all the same.
    assert_eq!(
        found("PARAM_SPARSE_CHECKOUT_DIRECTORIES", "inner, vendor"),
        [true, true]
    );

    let shop = Shop::new();
    let run = shop.tool(&at("outer")).env("PARAM_SUBMODULE_PATHS", "no");
    let refused = run.run().fails_with(2);
    explains(&refused, &["fetching submodules"], "submodulePaths");
    shop.is_clean();
}

#[test]
fn a_repository_with_sha256_is_found_out() {
    let forge = Forge::new();
    let work = forge.work_with("new", &["--object-format=sha256"]);
    work.file("file", "x").commit("one");
    work.publish();
    let server = forge.serve(None);
    let commit = work.commit_of("main");
    assert_eq!(commit.len(), 64);
    for revision in ["", "main", &commit] {
        let shop = Shop::new();
        let url = format!("http://{}/new.git", server.address);
        let _ = shop.tool(&url).env("PARAM_REVISION", revision).run().ok();
        assert_eq!(shop.results()["commit"], commit, "{revision}");
    }
}

#[test]
fn what_is_there_is_removed_or_refused_and_nothing_beside_it_is_touched() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let url = format!("http://{}/app.git", server.address);
    let shop = Shop::new();
    shop.file("outside/file", "precious");
    shop.file("output/beside/file", "stays");
    shop.file(
        "output/sub/.git/config",
        "[core]\n\tfsmonitor = touch evil\n",
    );
    std::os::unix::fs::symlink(shop.path("outside"), shop.path("output/sub/link")).expect("a link");
    let refused = shop
        .tool(&url)
        .args(["--subdirectory", "sub", "--delete-existing", "false"])
        .run()
        .fails_with(2);
    explains(&refused, &["is not empty"], "deleteExisting");
    assert!(shop.path("output/sub/.git/config").exists());

    let _ = shop.tool(&url).args(["--subdirectory", "sub"]).run().ok();
    assert_eq!(shop.text("sub/page.html").as_deref(), Some("three\n"));
    assert_eq!(shop.text("beside/file").as_deref(), Some("stays"));
    assert!(!shop.path("output/sub/link").exists());
    let outside = fs::read_to_string(shop.path("outside/file")).expect("there");
    assert_eq!(outside, "precious");

    let run = shop.tool(&url).args(["--subdirectory", "new/deep"]);
    let _ = run.args(["--delete-existing", "false"]).run().ok();
    assert_eq!(shop.text("new/deep/page.html").as_deref(), Some("three\n"));
}

#[test]
fn what_does_not_exist_is_an_answer_and_nothing_is_left() {
    let forge = Forge::new();
    let server = forge.serve(None);
    forge.work("empty").publish();
    for (name, variables, wanted, hint) in [
        (
            "absent",
            &[] as &[(&str, &str)],
            &["/absent.git", "not found"] as &[&str],
            "typing error",
        ),
        (
            "app",
            &[("PARAM_REVISION", "no-such-branch")],
            &["fetching no-such-branch", "couldn't find remote ref"],
            "check revision",
        ),
        (
            "app",
            &[("PARAM_REVISION", &forge.commit("main")[..10])],
            &["couldn't find remote ref"],
            "full hash",
        ),
        (
            "app",
            &[("PARAM_REVISION", &"0a".repeat(20))],
            &["not our ref"],
            "no branch has any more",
        ),
        (
            "app",
            &[
                ("PARAM_REVISION", "side"),
                ("PARAM_REFSPEC", "refs/heads/main"),
            ],
            &["side is no commit among what was fetched"],
            "refspec",
        ),
        (
            "app",
            &[("PARAM_REVISION", &forge.tag_object())],
            &["is not a commit"],
            "annotated tag",
        ),
        ("empty", &[], &["couldn't find remote ref HEAD"], "revision"),
    ] {
        let shop = Shop::new();
        let mut run = shop.tool(&format!("http://{}/{name}.git", server.address));
        for (name, value) in variables {
            run = run.env(name, value);
        }
        explains(&run.run().fails_with(1), wanted, hint);
        shop.is_clean();
    }
}

#[test]
fn quiet_means_that_nothing_is_told_but_what_was_done() {
    let forge = Forge::new();
    let server = forge.serve(None);
    let url = format!("http://{}/app.git", server.address);
    let shop = Shop::new();
    let loud = shop.tool(&url).run().ok();
    let _ = loud.says("running command=").says("git: From http");
    let quiet = shop.tool(&url).env("PARAM_VERBOSE", "false").run().ok();
    let lines: Vec<_> = quiet.stderr.lines().collect();
    assert!(
        !lines.iter().any(|line| line.starts_with("git: ")),
        "{quiet:?}"
    );
    assert!(!quiet.stderr.contains("running"), "{quiet:?}");
}
