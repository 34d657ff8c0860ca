//! Reads files below a folder that somebody else made: plain ones, behind no link, with a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tekseal_core::Digest;

use super::error::{Error, Fault};

/// The most blobs that are looked through; beyond, somebody means us to look for ever.
const MOST_BLOBS: usize = 10_000;
/// All documents together that are looked through.
const MOST_DOCUMENT_BYTES: u64 = 256 << 20;

const BLOBS: &str = "blobs/sha256";

/// A folder, opened once: its name may lead elsewhere later.
#[derive(Debug)]
pub(super) struct Files {
    name: String,
    folder: OwnedFd,
}

impl Files {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(folder) => Ok(Self { name, folder }),
            Err(e) => Err(Error {
                fault: Fault::Open("the folder".to_owned(), e.into()),
                layout: name,
            }),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn fault(&self, fault: Fault) -> Error {
        Error {
            layout: self.name.clone(),
            fault,
        }
    }

    /// The content of a file that must be there.
    pub(super) fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let (opened, size) = self
            .open_file(file)?
            .ok_or_else(|| self.fault(Fault::Open(file.to_owned(), absent())))?;
        self.content(opened, file, size, limit)
    }

    /// The blob with this digest, which it has; `None` if it is not there.
    pub(super) fn blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let file = format!("{BLOBS}/{}", digest.hex());
        let Some((opened, size)) = self.open_file(&file)? else {
            return Ok(None);
        };
        let bytes = self.content(opened, &file, size, limit)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            let wanted = digest.clone();
            return Err(self.fault(Fault::Digest { wanted, found }));
        }
        Ok(Some(bytes))
    }

    /// Gives each blob that looks like a JSON object of at most `limit` bytes to `look`, in the order of the digests that are their names. They are
    /// not checked against them.
    pub(super) fn each_document(
        &self,
        limit: u64,
        mut look: impl FnMut(Digest, &[u8]),
    ) -> Result<(), Error> {
        let mut left = MOST_DOCUMENT_BYTES;
        for digest in self.blobs()? {
            let file = format!("{BLOBS}/{}", digest.hex());
            let Some((mut opened, size)) = self.open_file(&file)? else {
                continue;
            };
            if size > limit {
                continue;
            }
            let mut beginning = [0; 64];
            let read = opened.read(&mut beginning);
            let read = read.map_err(|e| self.fault(Fault::Read(file.clone(), e)))?;
            if beginning[..read].trim_ascii_start().first() != Some(&b'{') {
                continue;
            }
            left = left
                .checked_sub(size)
                .ok_or_else(|| self.fault(Fault::Documents(MOST_DOCUMENT_BYTES)))?;
            let mut bytes = beginning[..read].to_vec();
            bytes.extend(self.content(opened, &file, size.saturating_sub(read as u64), limit)?);
            look(digest, &bytes);
        }
        Ok(())
    }

    /// The digests that are names of blobs, in their order.
    fn blobs(&self) -> Result<Vec<Digest>, Error> {
        let unread = |e: Errno| self.fault(Fault::Read(BLOBS.to_owned(), e.into()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match self.open_beneath(BLOBS, flags) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(Errno::LOOP | Errno::XDEV) => return Err(self.fault(Fault::Link(BLOBS.to_owned()))),
            Err(e) => return Err(unread(e)),
        };
        let mut digests: Vec<Digest> = Vec::new();
        for entry in Dir::read_from(&folder).map_err(unread)? {
            let entry = entry.map_err(unread)?;
            let name = entry.file_name().to_str().unwrap_or_default();
            // Others, such as unfinished downloads, are nobody's blob.
            let Ok(digest) = format!("sha256:{name}").parse() else {
                continue;
            };
            if digests.len() == MOST_BLOBS {
                return Err(self.fault(Fault::Blobs(MOST_BLOBS)));
            }
            digests.push(digest);
        }
        digests.sort();
        Ok(digests)
    }

    /// A plain file and its size; `None` if it is not there.
    fn open_file(&self, file: &str) -> Result<Option<(File, u64)>, Error> {
        // A pipe must not keep us waiting.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match self.open_beneath(file, flags) {
            Ok(opened) => File::from(opened),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::XDEV) => return Err(self.fault(Fault::Link(file.to_owned()))),
            Err(e) => return Err(self.fault(Fault::Open(file.to_owned(), e.into()))),
        };
        let about = opened
            .metadata()
            .map_err(|e| self.fault(Fault::Read(file.to_owned(), e)))?;
        if !about.is_file() {
            return Err(self.fault(Fault::NoFile(file.to_owned())));
        }
        Ok(Some((opened, about.len())))
    }

    fn open_beneath(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.folder, file, flags, Mode::empty(), resolve)
    }

    fn content(&self, opened: File, file: &str, size: u64, limit: u64) -> Result<Vec<u8>, Error> {
        let too_large = |size| {
            self.fault(Fault::TooLarge {
                file: file.to_owned(),
                size,
                limit,
            })
        };
        if size > limit {
            return Err(too_large(size));
        }
        let mut bytes = Vec::new();
        // It may grow meanwhile.
        let read = opened.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.fault(Fault::Read(file.to_owned(), e)))?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(too_large(size));
        }
        Ok(bytes)
    }
}
