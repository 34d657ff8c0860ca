//! `--install DIR`: a program copies itself into a folder.
//!
//! A Task that needs a tool of another image (buildah, git) has two steps: the first runs our image, which has nothing but one static
//! program, and copies that into an emptyDir; the second runs the copy in the image with the tool. So neither image has to be built from
//! the other.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::ArgMatches;

use crate::exit::{MISUSE, OUTSIDE};
use crate::{Failure, log};

/// The executable of this process, also where its file has been replaced meanwhile.
const OURSELVES: &str = "/proc/self/exe";
/// The name of the flag's field, and so its id.
const ID: &str = "install";

/// The flag of the programs that are run in images of others.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct InstallArgs {
    /// Copy this program into that folder, and do nothing else
    #[arg(long, value_name = "DIR", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    install: Option<String>,
}

impl InstallArgs {
    /// The folder, if the flag was given.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.install.as_deref().map(Path::new)
    }
}

/// Whether the command line may have the flag: a cheap look before the command line is read.
pub(crate) fn may_be_asked(mut words: impl Iterator<Item = OsString>) -> bool {
    words.any(|word| word.as_encoded_bytes().starts_with(b"--install"))
}

/// Whether the flag was given, to the program or to its subcommand.
pub(crate) fn is_asked(matches: &ArgMatches) -> bool {
    matches.try_contains_id(ID).unwrap_or(false)
        || matches.subcommand().is_some_and(|(_, sub)| is_asked(sub))
}

/// Copies the running program into `folder`, under the name that it runs by: executable for all, whole or not at all.
///
/// # Errors
/// Exit 2 if the folder is not there or does not take files, 3 if it has no room.
pub(crate) fn install(folder: &Path) -> Result<(), Failure> {
    let failed = |e: io::Error, what: String| {
        let code = match e.kind() {
            ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem => MISUSE,
            _ => OUTSIDE,
        };
        // The kind alone: the rest may name a temporary file.
        Failure::with_code(code, io::Error::from(e.kind()))
            .context(what)
            .hint("--install wants a folder that is there, that this user may write to, and that has room: an emptyDir of the Task")
    };
    let name = name().map_err(|e| failed(e, "finding out this program's name".to_owned()))?;
    let target = folder.join(name);
    copy(Path::new(OURSELVES), &target)
        .map_err(|e| failed(e, format!("installing {}", target.display())))?;
    log::info("installed", &[("program", &target.display())]);
    Ok(())
}

fn name() -> io::Result<OsString> {
    let path = fs::read_link(OURSELVES)?;
    let name = path.file_name().unwrap_or_default().to_owned();
    // The system's word for a file that is not there any more.
    match name
        .to_str()
        .and_then(|name| name.strip_suffix(" (deleted)"))
    {
        Some(name) => Ok(name.into()),
        None => Ok(name),
    }
}

fn copy(from: &Path, target: &Path) -> io::Result<()> {
    let mut program = File::open(from)?;
    let mut file = tempfile::Builder::new()
        .prefix(".tekseal-")
        .tempfile_in(crate::files::folder_of(target))?;
    io::copy(&mut program, file.as_file_mut())?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_the_same_bytes_may_be_run_by_all_and_replaces_an_older_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join(name().expect("a test has a name"));
        fs::write(&target, "an older one").expect("a file");
        install(folder.path()).expect("room for it");
        assert!(
            fs::read(&target).expect("installed") == fs::read(OURSELVES).expect("running"),
            "the copy differs"
        );
        let mode = target.metadata().expect("installed").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_or_in_which_something_is_in_the_way_is_misuse() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        for path in [folder.path().join("absent"), file] {
            let failure = install(&path).expect_err("no such folder");
            assert_eq!(failure.code(), MISUSE, "{}", failure.message());
            assert!(failure.message().starts_with("installing "));
        }
        let blocked = folder.path().join(name().expect("a test has a name"));
        fs::create_dir(&blocked).expect("a folder");
        let failure = install(folder.path()).expect_err("a folder is in the way");
        assert_eq!(failure.code(), MISUSE);
        assert!(
            !failure.message().contains(".tekseal-"),
            "{}",
            failure.message()
        );
        assert_eq!(fs::read_dir(folder.path()).expect("ours").count(), 2);
    }
}
