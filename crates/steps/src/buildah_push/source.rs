//! The folder with the source: what parameters name must lie in it, also behind symbolic links, which come with the source and may lead
//! anywhere in the container.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::Failure;

/// The folder, without links in its path.
#[derive(Clone, Debug)]
pub(super) struct Source(PathBuf);

impl Source {
    /// Looks for the folder.
    ///
    /// # Errors
    /// Exit 2 if it is not there or no folder.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let found = path.canonicalize().and_then(|found| {
            if found.is_dir() {
                Ok(found)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        });
        let failed = |e| {
            Failure::misuse(e)
                .context(format!("looking for the source {}", path.display()))
                .hint("give the folder with the fetched source by --source or TEKSEAL_SOURCE")
        };
        Ok(Self(found.map_err(failed)?))
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Where `path`, which is there, really lies.
    ///
    /// # Errors
    /// Exit 2 if that is outside of the source.
    pub(super) fn inside(&self, parameter: &str, path: &Path) -> Result<PathBuf, Failure> {
        let real = path.canonicalize().map_err(|e| {
            Failure::misuse(e).context(format!("looking for {parameter} {}", path.display()))
        })?;
        if real.starts_with(&self.0) {
            return Ok(real);
        }
        Err(Failure::misuse(anyhow!(
            "{parameter} {} leads to {}, outside of the source {}",
            path.display(),
            real.display(),
            self.0.display()
        ))
        .hint(format!(
            "{parameter} must lie in the source, also where it is a symbolic link; --source names another folder"
        )))
    }

    /// A path that [`Source::inside`] gave, as it is in the source.
    pub(super) fn relative(&self, real: &Path) -> String {
        let path = real.strip_prefix(&self.0).unwrap_or(real);
        path.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_may_lead_around_in_the_source_but_not_out_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        fs::create_dir_all(place("source/sub")).expect("a folder");
        fs::write(place("secret"), "x").expect("a file");
        fs::write(place("source/file"), "x").expect("a file");
        symlink("../file", place("source/sub/good")).expect("a link");
        symlink("../../secret", place("source/sub/evil")).expect("a link");
        let source = Source::open(&place("source")).expect("a folder");
        let good = source
            .inside("X", &place("source/sub/good"))
            .expect("inside");
        assert_eq!(source.relative(&good), "file");
        for name in ["source/sub/evil", "source/sub/../../secret", "secret"] {
            let failure = source.inside("X", &place(name)).expect_err(name);
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(failure.message().contains("/secret, outside"), "{name}");
        }
        assert!(Source::open(&place("secret")).is_err());
        assert!(Source::open(&place("absent")).is_err());
    }
}
