//! The private home: a folder for this run alone, with all that git and ssh are to know. They see no other configuration, neither the
//! image's nor that of the step's user, and it is gone when the program ends.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Failure;

/// The folder, readable for this user alone.
#[derive(Debug)]
pub(super) struct Home(TempDir);

/// The largest file that is taken from a Secret: Kubernetes keeps no more.
const MAX_FILE: u64 = 1024 * 1024;

impl Home {
    /// Makes it in `parent`, or where temporary files are.
    ///
    /// # Errors
    /// Exit 2 if its path has characters that configurations of git and ssh would read as something else; 3 if it cannot be made.
    pub(super) fn make(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = match parent {
            Some(parent) => parent.to_owned(),
            None => std::env::temp_dir(),
        };
        let hint = "userHome (--user-home) or TMPDIR must name a folder that may be written to and has some room: an emptyDir, where the image is read-only";
        let failed = |e: io::Error| {
            Failure::outside(io::Error::from(e.kind()))
                .context(format!("making a private home in {}", parent.display()))
                .hint(hint)
        };
        fs::create_dir_all(&parent).map_err(failed)?;
        let real = parent.canonicalize().map_err(failed)?;
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._+-".contains(b);
        if !real.as_os_str().as_encoded_bytes().iter().all(is_plain) {
            return Err(Failure::misuse(anyhow!(
                "the private home cannot be in {}: ssh reads other characters than letters, digits and ._+- in its own way",
                real.display()
            ))
            .hint(hint));
        }
        let folder = tempfile::Builder::new()
            .prefix("tekseal-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(real)
            .map_err(failed)?;
        Ok(Self(folder))
    }

    /// Its path: letters, digits, `/`, `.`, `_`, `+` and `-`.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Path of a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Makes a folder in it.
    pub(super) fn make_folder(&self, name: &str) -> Result<(), Failure> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(self.file(name))
            .map_err(|e| self.failed(&e))
    }

    /// Writes a new file, 0600 from its first moment on.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.file(name))
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::outside(io::Error::from(error.kind()))
            .context(format!("writing to {}", self.path().display()))
    }
}

/// A file of a mounted Secret; `None` if it is not there. Such files are links, so links are followed; what is no file is none.
///
/// # Errors
/// Exit 2 if it cannot be read, or is larger than a Secret can be.
pub(super) fn read_secret(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    if !path.is_file() {
        return Ok(None);
    }
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| {
            Failure::misuse(e)
                .context(format!("reading {}", path.display()))
                .hint("the step's user must be able to read the workspace: fsGroup or defaultMode of the Secret")
        })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::misuse(anyhow!(
            "{} is larger than 1 MiB, more than a Secret can hold",
            path.display()
        )));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_goes_away() {
        let parent = tempfile::tempdir().expect("a folder");
        let home = Home::make(Some(&parent.path().join("new/home"))).expect("room");
        home.make_folder(".ssh").expect("room");
        home.write(".ssh/id", b"key").expect("room");
        let mode = |path: &Path| {
            let meta = path.metadata().expect("it is there");
            meta.permissions().mode() & 0o7777
        };
        assert_eq!(mode(home.path()), 0o700);
        assert_eq!(mode(&home.file(".ssh")), 0o700);
        assert_eq!(mode(&home.file(".ssh/id")), 0o600);
        let path = home.path().to_owned();
        drop(home);
        assert!(!path.exists());
    }

    #[test]
    fn a_path_that_ssh_would_read_otherwise_is_refused() {
        let parent = tempfile::tempdir().expect("a folder");
        for name in ["a b", "a%d", "a\"b", "a'b"] {
            let failure = Home::make(Some(&parent.path().join(name))).expect_err(name);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{name}");
        }
        let failure = Home::make(Some(Path::new("/proc/self/x"))).expect_err("not writable");
        assert_eq!(failure.code(), crate::exit::OUTSIDE);
    }

    #[test]
    fn a_secret_is_a_file_of_some_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        assert!(read_secret(&file).expect("absent").is_none());
        assert!(read_secret(folder.path()).expect("a folder").is_none());
        fs::write(&file, "x").expect("a file");
        let read = read_secret(&file).expect("small").expect("there");
        assert_eq!(read.as_slice(), b"x");
        fs::write(&file, vec![0; 1024 * 1024 + 1]).expect("a file");
        assert!(read_secret(&file).is_err());
    }
}
