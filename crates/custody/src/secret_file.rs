//! Files that hold a token or a credential: read as they are now, bounded, and wiped.
//!
//! Others may have put them there. What is no plain file is not waited for: the kernel itself says what was opened, so that nothing can be put in its
//! place between a look and the reading. Links are followed, for Kubernetes changes what it projects by a link.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// What the file has: of a larger one than `most` one byte more than that, which tells it.
///
/// # Errors
/// The operating system's, and one for what is no plain file.
pub(crate) fn read(path: &Path, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    // To open a pipe that nobody writes to would take for ever.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file"));
    }
    // As large as it may become, so that nothing is left behind where it grew.
    let limit = most.saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_read_behind_links_and_one_byte_of_what_is_too_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "12345").expect("the folder is ours");
        symlink("file", folder.path().join("link")).expect("the folder is ours");
        for (most, wanted) in [(5, "12345"), (4, "12345"), (3, "1234")] {
            let bytes = read(&folder.path().join("link"), most).expect("a file");
            assert_eq!(bytes.as_slice(), wanted.as_bytes());
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("it is everywhere").success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = read(path, 10).expect_err("no file");
            assert_eq!(error.to_string(), "it is no file");
        }
    }
}
