//! `--install` as a process: a folder in; a program that runs, one line, and nothing else out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tekseal_harness::Run;

/// Each program with the flag, and the name that it runs by.
const PROGRAMS: [(&str, &[&str], &str); 4] = [
    (
        env!("CARGO_BIN_EXE_tekseal-buildah-push"),
        &[],
        "tekseal-buildah-push",
    ),
    (
        env!("CARGO_BIN_EXE_tekseal-git-clone"),
        &[],
        "tekseal-git-clone",
    ),
    (env!("CARGO_BIN_EXE_tekseal"), &["buildah-push"], "tekseal"),
    (env!("CARGO_BIN_EXE_tekseal"), &["git-clone"], "tekseal"),
];

#[test]
fn the_copy_runs_whatever_the_environment_says() {
    for (program, words, name) in PROGRAMS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = Run::new(program)
            .args(words)
            .arg("--install")
            .arg(folder.path())
            // Each of these is refused where it matters.
            .env("TEKSEAL_RETRY_FOR", "soon")
            .env("BUILD_ARGS", "[not JSON")
            .env("IMAGE", "not:an:image")
            .env("PARAM_URL", "ext::sh")
            .env("PATH", "")
            .run()
            .ok();
        let lines: Vec<_> = output.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{output:?}");
        let copy = folder.path().join(name);
        assert_eq!(lines[1], format!("installed program={}", copy.display()));
        let mode = copy.metadata().expect("installed").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1);
        let said = Run::new(&copy).arg("--version").run().ok().stdout;
        assert!(said.starts_with(&format!("{name} ")), "{said}");
        // The copy can do what it was copied from does.
        let second = tempfile::tempdir().expect("a temporary folder");
        let again = Run::new(&copy).args(words).arg("--install");
        let _ = again.arg(second.path()).run().ok();
        assert!(
            fs::read(second.path().join(name)).expect("installed")
                == fs::read(program).expect("built"),
            "the copy of the copy differs"
        );
    }
}

#[test]
fn a_folder_that_is_absent_or_cannot_be_written_to_is_misuse() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (program, words, name) in PROGRAMS {
        for place in [
            folder.path().join("absent").display().to_string(),
            "/proc/self".to_owned(),
        ] {
            let run = Run::new(program).args(words).args(["--install", &place]);
            let output = run.run().fails_with(2);
            let line = format!("error: installing {place}/{name}: ");
            assert!(output.stderr.contains(&line), "{output:?}");
            let _ = output.says("hint: --install wants a folder");
        }
        let run = Run::new(program).args(words).arg("--install=");
        let _ = run.run().fails_with(2);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 0);
}

#[test]
fn without_room_nothing_is_left_and_the_outside_failed() {
    for (program, words, name) in PROGRAMS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(name), "an older one").expect("a file");
        // No file may become larger than a few KiB, and the program is told so instead of killed.
        let script = r#"trap "" XFSZ; ulimit -f 8; exec "$@""#;
        let output = Run::new("sh")
            .args(["-c", script, "sh", program])
            .args(words)
            .arg("--install")
            .arg(folder.path())
            .run()
            .fails_with(3);
        let _ = output.says("error: installing ");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("ours").collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(
            fs::read_to_string(folder.path().join(name)).expect("it is still there"),
            "an older one"
        );
    }
}

#[test]
fn the_flag_as_an_element_of_a_list_is_no_flag() {
    let (program, ..) = PROGRAMS[0];
    let run = Run::new(program).args(["--build-args", "--install", ";", "--image", "r/a b"]);
    let _ = run.run().fails_with(2).says("white space");
}
