//! Files written whole or not at all, and files read with a limit.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tempfile::{NamedTempFile, TempDir};

use crate::Failure;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 0644.
    Public,
    /// 0600.
    Secret,
}

/// A synced file in `folder` with this content, which goes away unless it is renamed.
pub fn temporary(folder: &Path, bytes: &[u8], mode: Mode) -> io::Result<NamedTempFile> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = tempfile::Builder::new()
        .prefix(".tekseal-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    let bits = if mode == Mode::Secret { 0o600 } else { 0o644 };
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(bits))?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A temporary folder, which goes away with the value.
///
/// # Errors
/// Exit 3 where there is no room for one.
pub fn scratch(prefix: &str) -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .map_err(|e| {
            Failure::outside(e)
                .context("making a temporary folder")
                .hint("set TMPDIR to a writable folder with some room")
        })
}

/// The folder that `path` lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Writes `bytes` to `path` by a temporary file in the same folder, sync and rename.
///
/// # Errors
/// The operating system's, with the old content of `path` untouched.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: Mode) -> io::Result<()> {
    let file = temporary(folder_of(path), bytes, mode)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Like [`write_atomically`], with the failure as a tool reports it.
pub fn write(path: &Path, bytes: &[u8], mode: Mode) -> Result<(), Failure> {
    write_atomically(path, bytes, mode).map_err(|e| {
        Failure::of_writing(&e)
            .context(format!("writing {}", path.display()))
            .hint("check that the folder exists, is writable and has room; nothing was left half-written")
    })
}

/// Reads a file, or stdin for `-`, of at most `limit` bytes. A missing or unreadable file is misuse.
pub fn read(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = if path == Path::new("-") {
        io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
    };
    result.map_err(|e| Failure::misuse(e).context(format!("reading {what} {}", path.display())))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::misuse(anyhow!(
            "{what} {} is larger than {} KiB",
            path.display(),
            limit / 1024
        ))
        .hint(format!(
            "no valid {what} is that large; check that the right file was given"
        )));
    }
    Ok(bytes)
}

/// Like [`read`], for a file that another step wrote: it must be a plain file, no link out of the folder and no pipe that never ends.
pub fn read_plain(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let is_plain = fs::symlink_metadata(path).map(|meta| meta.is_file());
    if matches!(is_plain, Ok(false)) {
        return Err(Failure::misuse(anyhow!(
            "{what} {} is not a plain file",
            path.display()
        )));
    }
    read(path, limit, what)
}

/// Opens a plain file in a folder that others write to. The kernel itself follows the path, so that nothing can be put in its place between
/// a look and the opening.
///
/// # Errors
/// Exit 2 if the path leads out of the folder, by `..` or by a link, and if there is no plain file.
pub fn open_beneath(folder: &Path, path: &Path, what: &str) -> Result<File, Failure> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
    let failed = |e: io::Error| {
        Failure::misuse(e).context(format!(
            "reading {what} {} in {}",
            path.display(),
            folder.display()
        ))
    };
    let directory = rustix::fs::openat(
        CWD,
        folder,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| failed(e.into()))?;
    // A pipe must not keep us waiting.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve);
    let file = match opened {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => {
            return Err(Failure::misuse(anyhow!(
                "{what} {} leads out of {}",
                path.display(),
                folder.display()
            ))
            .hint("it must lie in that folder, as a relative path and without links that lead elsewhere"));
        }
        Err(e) => return Err(failed(e.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Failure::misuse(anyhow!(
            "{what} {} in {} is not a plain file",
            path.display(),
            folder.display()
        )));
    }
    Ok(file)
}

/// Makes a folder (and those above it) if it is not there.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|e| {
        Failure::of_writing(&e).context(format!("making the folder {}", path.display()))
    })
}

/// Removes a file that may be absent; used to take back the index of an earlier run before new files are written.
pub fn remove_if_there(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Failure::outside(e).context(format!("removing {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Joins a file name from an index to its folder. A name that leads out of the folder is refused: indexes may come from another step.
pub fn inside(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if !plain {
        return Err(Failure::misuse(anyhow!(
            "file name {name:?} leads out of the folder {}",
            folder.display()
        )));
    }
    Ok(folder.join(name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_out_of_a_folder_is_not_opened() {
        let above = tempfile::tempdir().expect("a folder");
        let folder = above.path().join("source");
        fs::create_dir_all(folder.join("sub")).expect("a folder");
        fs::write(above.path().join("secret"), "secret").expect("a file");
        fs::write(folder.join("sub/file"), "good").expect("a file");
        symlink("../secret", folder.join("up")).expect("a link");
        symlink(above.path().join("secret"), folder.join("absolute")).expect("a link");
        symlink("sub", folder.join("around")).expect("a link");
        let open = |path: &str| open_beneath(&folder, Path::new(path), "predicate");
        for good in ["sub/file", "around/file", "sub/../around/file"] {
            let mut text = String::new();
            let mut file = open(good).expect(good);
            file.read_to_string(&mut text).expect("it is readable");
            assert_eq!(text, "good", "{good}");
        }
        let outside = above.path().join("secret");
        for bad in [
            "up",
            "absolute",
            "../secret",
            outside.to_str().expect("UTF-8"),
        ] {
            let said = open(bad).expect_err(bad).message();
            assert!(said.contains("leads out of"), "{bad}: {said}");
        }
        let said = open("sub").expect_err("a folder").message();
        assert!(said.contains("is not a plain file"), "{said}");
        assert!(open("absent").is_err());
    }
}
