//! `./build`, with a cargo that makes nothing: what it is told, and what becomes of what it says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tekseal_harness::Run;
use tempfile::TempDir;

use super::root;

/// Says where it was called with what, and that it made one program of each kind; another one lies beside them, of an earlier commit.
const CARGO: &str = r#"#!/bin/sh
here=$(dirname "$0")
name=tekseal-sign
case "$*" in *"--package tekseal-pkcs11"*) name=sigstore-kms-pkcs11 ;; esac
env > "$here/variables-$name"
echo '{"reason":"compiler-artifact","target":{"name":"serde"},"filenames":["/libserde.rlib"],"executable":null,"fresh":true}'
[ -z "$FAILS" ] || exit 101
echo '{"reason":"compiler-artifact","target":{"name":"'$name'"},"executable":"'"$here/made/$name"'","fresh":true}'
echo '{"reason":"build-finished","success":true}'
"#;
const RUSTC: &str = "#!/bin/sh\necho 'host: x86_64-unknown-linux-gnu'\n";

/// A committed source with nothing but `build`, and programs that stand for cargo and rustc.
struct Yard {
    folder: TempDir,
}

impl Yard {
    fn new() -> Self {
        let yard = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        yard.executable("tools/cargo", CARGO);
        yard.executable("tools/rustc", RUSTC);
        yard.executable("tools/made/tekseal-sign", "of now");
        yard.executable("tools/made/sigstore-kms-pkcs11", "of now");
        yard.executable("tools/made/tekseal-old", "of then");
        yard.executable("source/out/bin/tekseal-old", "of then");
        let script = fs::read_to_string(root().join("build")).expect("it is there");
        yard.executable("source/build", &script);
        fs::write(yard.path("source/.gitignore"), "/out/\n").expect("the folder is ours");
        yard.git(&["init", "--quiet"]);
        yard.git(&["add", "--all"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        yard.git(&[&author[..], &["commit", "--quiet", "--message=one"]].concat());
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn executable(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is ours");
        fs::write(&path, text).expect("the folder is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }

    fn git(&self, args: &[&str]) -> String {
        let source = self.path("source");
        Run::new("git").folder(source).args(args).ok().stdout
    }

    fn build(&self) -> Run {
        let path = std::env::var("PATH").expect("there is a PATH");
        let tools = self.path("tools");
        Run::new(self.path("source/build")).env("PATH", format!("{}:{path}", tools.display()))
    }

    /// The environment of cargo when it made static programs.
    fn variables(&self) -> BTreeMap<String, String> {
        self.variables_of("tekseal-sign")
    }

    /// The environment of cargo when it made this program.
    fn variables_of(&self, program: &str) -> BTreeMap<String, String> {
        let file = self.path(&format!("tools/variables-{program}"));
        let text = fs::read_to_string(file).expect("cargo was called");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a file").file_name().display().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn only_what_cargo_made_is_in_the_folder_of_programs() {
    let yard = Yard::new();
    let bin = yard.path("source/out/bin");
    yard.build().env("FAILS", "1").fails_with(101);
    assert_eq!(names(&bin), ["tekseal-old"]);
    yard.build().ok();
    assert_eq!(names(&bin), ["sigstore-kms-pkcs11", "tekseal-sign"]);
    let program = fs::read_to_string(bin.join("tekseal-sign")).expect("it was made");
    assert_eq!(program, "of now");
}

#[test]
fn no_variable_of_the_caller_changes_what_is_built() {
    let yard = Yard::new();
    let taken_away = [
        "RUSTFLAGS",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_BOOTSTRAP",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_PROFILE_RELEASE_OPT_LEVEL",
        "GIT_DIR",
        "GIT_INDEX_FILE",
    ];
    let left = [
        "CARGO_BUILD_JOBS",
        "CARGO_HOME",
        "CARGO_NET_OFFLINE",
        "CARGO_TARGET_DIR",
    ];
    let build = taken_away.iter().chain(&left);
    build
        .fold(yard.build(), |build, name| build.env(name, "nonsense"))
        .ok();
    let variables = yard.variables();
    for name in taken_away {
        assert_eq!(variables.get(name), None, "{name}");
    }
    for name in left {
        assert_eq!(variables[name], "nonsense", "{name}");
    }
    let flags = "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS";
    assert!(variables[flags].contains("+crt-static"), "{variables:?}");
    // This one loads a library.
    let plugin = yard.variables_of("sigstore-kms-pkcs11");
    assert_eq!(plugin[flags], "-C target-feature=-crt-static");
}

#[test]
fn programs_tell_the_commit_and_whether_the_tree_was_changed() {
    let yard = Yard::new();
    let commit = yard.git(&["rev-parse", "HEAD"])[..12].to_owned();
    yard.build().ok();
    assert_eq!(yard.variables()["TEKSEAL_COMMIT"], commit);
    fs::write(yard.path("source/new"), "").expect("the folder is ours");
    yard.build().ok();
    assert_eq!(
        yard.variables()["TEKSEAL_COMMIT"],
        format!("{commit}-dirty")
    );
}
