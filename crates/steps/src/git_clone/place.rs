//! The folder that the source goes into: inside the workspace whatever `subdirectory` says, and empty when fetching begins.
//!
//! What is in a workspace may come from anybody who wrote there before, symbolic links included: they are removed and never followed.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::parameters::wrong;
use crate::{Failure, log};

/// A folder in the workspace, which may not be there yet.
#[derive(Debug)]
pub(super) struct Place {
    /// The workspace, without links in its path.
    output: PathBuf,
    /// Names of the folders below it.
    below: Vec<String>,
}

/// What becomes of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It is removed.
    Delete,
    /// Nothing is fetched.
    Refuse,
}

/// The system's own folder at the top of a volume, which may be nobody's to remove.
const LOST_AND_FOUND: &str = "lost+found";

impl Place {
    /// Looks at what is there; changes nothing.
    ///
    /// # Errors
    /// Exit 2 if the workspace is not there, and if `subdirectory` leads out of it, by its name or by a link.
    pub(super) fn find(output: &Path, subdirectory: Option<&str>) -> Result<Self, Failure> {
        let found = output
            .canonicalize()
            .and_then(|found| match found.is_dir() {
                true => Ok(found),
                false => Err(ErrorKind::NotADirectory.into()),
            });
        let output = found.map_err(|e| {
            Failure::misuse(e)
                .context(format!(
                    "looking for the folder output {}",
                    output.display()
                ))
                .hint("bind the workspace output, or give a folder that is there by --output")
        })?;
        if output == Path::new("/") {
            return Err(wrong("output", "/", "a folder for the source alone"));
        }
        let text = subdirectory.unwrap_or_default();
        let below: Vec<_> = text
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .map(str::to_owned)
            .collect();
        if text.starts_with('/')
            || text.chars().any(tekseal_core::is_invisible)
            || below.iter().any(|part| part == "..")
        {
            return Err(wrong(
                "subdirectory",
                text,
                "a path inside the workspace output, without ..",
            ));
        }
        let place = Self { output, below };
        place.each_folder(|path| match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => Err(Failure::misuse(anyhow!(
                "subdirectory {text} leads over {}, which is a link or a file",
                path.display()
            ))
            .hint("name another subdirectory, or have the task before leave a folder there")),
            // Whatever else is wrong with it is told when it is made.
            Err(_) => Ok(()),
        })?;
        Ok(place)
    }

    /// The folder.
    pub(super) fn path(&self) -> PathBuf {
        self.output.join(self.below.join("/"))
    }

    /// Makes the folder, and makes it empty.
    ///
    /// # Errors
    /// Exit 2 if it cannot be written to, if it is not empty and shall stay as it is, or if it holds the home of whoever runs this.
    pub(super) fn prepare(&self, existing: Existing) -> Result<(), Failure> {
        self.each_folder(|path| match fs::create_dir(path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(failed(&e, "making", path)),
            _ => Ok(()),
        })?;
        let path = self.path();
        // Somebody else may have been quicker.
        if path.canonicalize().ok().as_deref() != Some(&path) {
            return Err(Failure::misuse(anyhow!(
                "{} is not where it was: something changes the workspace meanwhile",
                path.display()
            )));
        }
        let count = entries(&path)?.len();
        if count > 0 && existing == Existing::Refuse {
            return Err(Failure::misuse(anyhow!(
                "the folder {} is not empty",
                path.display()
            ))
            .hint("deleteExisting=true (--delete-existing) empties it; subdirectory names another folder"));
        }
        if count > 0 {
            self.refuse_home(&path)?;
            self.empty()?;
            log::info(
                "emptied",
                &[("folder", &path.display()), ("entries", &count)],
            );
        }
        tempfile::tempfile_in(&path).map_err(|e| failed(&e, "writing to", &path))?;
        Ok(())
    }

    /// Removes all that is in it.
    ///
    /// # Errors
    /// Exit 2 for what is not this user's to remove, 3 if the system fails otherwise.
    pub(super) fn empty(&self) -> Result<(), Failure> {
        for entry in entries(&self.path())? {
            let path = entry.path();
            match remove(&entry) {
                Err(_) if entry.file_name() == LOST_AND_FOUND => {}
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    return Err(failed(&e, "removing", &path));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn each_folder(
        &self,
        mut each: impl FnMut(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut path = self.output.clone();
        for name in &self.below {
            path.push(name);
            each(&path)?;
        }
        Ok(())
    }

    /// A slip of the hand on a desk would be dear.
    fn refuse_home(&self, path: &Path) -> Result<(), Failure> {
        let home = std::env::var_os("HOME").and_then(|home| Path::new(&home).canonicalize().ok());
        match home {
            Some(home) if home.starts_with(path) && home != Path::new("/") => {
                Err(Failure::misuse(anyhow!(
                    "{} holds the home folder {}, it is not emptied",
                    path.display(),
                    home.display()
                ))
                .hint("give a folder for the source alone by --output or subdirectory"))
            }
            _ => Ok(()),
        }
    }
}

/// What is in the folder. A volume that is otherwise empty may have the system's own folder.
fn entries(path: &Path) -> Result<Vec<DirEntry>, Failure> {
    let all: io::Result<Vec<_>> = path.read_dir().and_then(Iterator::collect);
    let mut all = all.map_err(|e| failed(&e, "reading", path))?;
    if all.len() == 1 && all[0].file_name() == LOST_AND_FOUND {
        all.clear();
    }
    Ok(all)
}

/// Removes a file, a link, or a folder with all that is in it; a link's target stays.
fn remove(entry: &DirEntry) -> io::Result<()> {
    match entry.file_type()?.is_dir() {
        true => fs::remove_dir_all(entry.path()),
        false => fs::remove_file(entry.path()),
    }
}

fn failed(error: &io::Error, doing: &str, path: &Path) -> Failure {
    let context = format!("{doing} {}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Failure::misuse(io::Error::from(error.kind()))
                .context(context)
                .hint("the workspace output must be writable for the step's user: set podTemplate.securityContext.fsGroup to its group (65532), or runAsUser to the owner of what is there")
        }
        _ => Failure::of_writing(error)
            .context(context)
            .hint("give the workspace output more room, or look at its volume"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder with a workspace, and beside it a file that nobody may touch.
    struct Volume(tempfile::TempDir);

    impl Volume {
        fn new() -> Self {
            let volume = Self(tempfile::tempdir().expect("a folder"));
            fs::create_dir(volume.path("output")).expect("a folder");
            fs::create_dir(volume.path("outside")).expect("a folder");
            fs::write(volume.path("outside/file"), "precious").expect("a file");
            volume
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn find(&self, subdirectory: &str) -> Result<Place, Failure> {
            Place::find(&self.path("output"), Some(subdirectory))
        }

        fn is_untouched_outside(&self) -> bool {
            fs::read_to_string(self.path("outside/file")).is_ok_and(|text| text == "precious")
        }
    }

    #[test]
    fn everything_is_removed_and_no_link_is_followed() {
        let volume = Volume::new();
        for name in ["output/dir/deep", "output/.git/hooks", "output/..odd"] {
            fs::create_dir_all(volume.path(name)).expect("a folder");
        }
        fs::write(volume.path("output/dir/deep/file"), "").expect("a file");
        fs::write(volume.path("output/.hidden"), "").expect("a file");
        for name in ["output/link", "output/dir/link"] {
            symlink(volume.path("outside"), volume.path(name)).expect("a link");
        }
        let place = volume.find("").expect("inside");
        place.prepare(Existing::Delete).expect("ours");
        assert_eq!(volume.path("output").read_dir().expect("there").count(), 0);
        assert!(volume.is_untouched_outside());
        place.prepare(Existing::Refuse).expect("it is empty");
    }

    #[test]
    fn a_folder_that_is_not_empty_is_refused_where_nothing_may_be_deleted() {
        let volume = Volume::new();
        fs::create_dir(volume.path("output/lost+found")).expect("a folder");
        let place = volume.find("").expect("inside");
        place.prepare(Existing::Refuse).expect("as good as empty");
        fs::write(volume.path("output/file"), "").expect("a file");
        let failure = place.prepare(Existing::Refuse).expect_err("not empty");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(volume.path("output/file").exists());
    }

    #[test]
    fn a_subdirectory_stays_in_the_workspace() {
        let volume = Volume::new();
        symlink(volume.path("outside"), volume.path("output/link")).expect("a link");
        symlink(".", volume.path("output/here")).expect("a link");
        fs::write(volume.path("output/file"), "").expect("a file");
        for bad in [
            "..",
            "../outside",
            "a/../../outside",
            "a/..",
            "/etc",
            "link",
            "link/x",
            "here/x",
            "file",
            "file/x",
            "a\u{0}b",
            "a\nb",
        ] {
            let failure = volume.find(bad).expect_err(bad);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{bad}");
        }
        let place = volume.find("./a//b/").expect("inside");
        place.prepare(Existing::Delete).expect("made");
        assert!(volume.path("output/a/b").is_dir());
        assert!(volume.path("output/file").exists(), "only a/b is emptied");
        assert!(volume.is_untouched_outside());
    }

    #[test]
    fn a_link_that_comes_after_the_look_is_refused() {
        let volume = Volume::new();
        let place = volume.find("late").expect("nothing is there");
        symlink(volume.path("outside"), volume.path("output/late")).expect("a link");
        assert!(place.prepare(Existing::Delete).is_err());
        assert!(volume.is_untouched_outside());
    }

    #[test]
    fn a_workspace_that_is_absent_or_everything_is_refused() {
        for bad in ["/absent", "/", "/etc/.."] {
            let failure = Place::find(Path::new(bad), None).expect_err(bad);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{bad}");
        }
    }
}
