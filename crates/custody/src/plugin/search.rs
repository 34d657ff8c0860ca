//! Where the program of a plugin is: in a folder of `PATH`, and never in one that depends on where somebody stands.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The file that is started. `Err` says why there is none, for people: it follows the name.
pub(super) fn program(name: &str, path: Option<&OsStr>) -> Result<PathBuf, String> {
    let Some(path) = path.filter(|path| !path.is_empty()) else {
        return Err("cannot be looked for: the variable PATH is not set".to_owned());
    };
    let mut folders = 0;
    let mut unusable = None;
    for folder in std::env::split_paths(path) {
        folders += 1;
        let file = folder.join(name);
        if !file.is_file() {
            continue;
        }
        // Whoever may write to the working folder, such as a checked-out repository, would be asked to sign.
        if !folder.is_absolute() {
            return Err(format!(
                "is not started from {:?}, a relative folder in PATH",
                folder.display().to_string()
            ));
        }
        match is_executable(&file) {
            true => return Ok(file),
            false => unusable = Some(file),
        }
    }
    Err(match unusable {
        Some(file) => format!("cannot be started: {} is not executable", file.display()),
        None => format!("is in none of the {folders} folders of PATH"),
    })
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_looked_for_in_absolute_folders_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        for (place, mode) in [(&good, 0o755), (&bad, 0o644)] {
            fs::create_dir(place).expect("the folder is ours");
            let file = place.join("sigstore-kms-a");
            fs::write(&file, "").expect("the folder is ours");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        let search = |folders: &[&Path]| {
            let path = std::env::join_paths(folders).expect("no colons");
            program("sigstore-kms-a", Some(&path))
        };
        let found = search(&[folder.path(), &bad, &good]).expect("it is there");
        assert_eq!(found, good.join("sigstore-kms-a"));
        for (folders, why) in [
            (
                &[folder.path(), Path::new("/")][..],
                "none of the 2 folders",
            ),
            (&[&bad], "is not executable"),
        ] {
            let error = search(folders).expect_err("it is not there");
            assert!(error.contains(why), "{error}");
        }
        for path in [None, Some(OsStr::new(""))] {
            let error = program("sigstore-kms-a", path).expect_err("there is no path");
            assert!(error.contains("PATH is not set"), "{error}");
        }
        // The tests run in the folder of the crate.
        let error = program("Cargo.toml", Some(OsStr::new("."))).expect_err("it is relative");
        assert!(error.contains("relative folder"), "{error}");
        let error =
            program("Cargo.toml", Some(OsStr::new("/nowhere:"))).expect_err("it is relative");
        assert!(error.contains("relative folder"), "{error}");
    }
}
