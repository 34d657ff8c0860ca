//! What buildah builds from: the programs, the certificate authorities and the users, with the modes that they have in the image.
//!
//! Modes are set here, whatever umask and checkout made of them; times are set by buildah. So the same files give the same layer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_steps::{Failure, files};

use crate::args::root;
use crate::commit::Commit;
use crate::elf::{self, Linkage};

/// The one Containerfile, relative to the source and to the context.
const CONTAINERFILE: &str = "Containerfile";
const PROGRAM_PREFIX: &str = "tekseal-";

/// Every container that holds the Kubernetes client asks for this variable: the client's own name for it is in the program.
const CLIENT: &[u8] = b"KUBERNETES_SERVICE_HOST";
/// The most bytes that an image may unpack to.
const MOST: u64 = 4_500_000;
const MOST_WITH_CLIENT: u64 = 8_000_000;

/// A folder that holds all that images are made of.
#[derive(Debug)]
pub(crate) struct Context {
    folder: PathBuf,
    images: Vec<Image>,
}

/// One image to build.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its stage, and the last part of its name.
    pub(crate) name: String,
    /// Bytes of all its files.
    pub(crate) unpacked: u64,
}

impl Image {
    /// The program in it.
    pub(crate) fn program(&self) -> String {
        program(&self.name)
    }
}

fn program(image: &str) -> String {
    format!("{PROGRAM_PREFIX}{image}")
}

impl Context {
    /// Lays out `folder`, which is not there yet, with the programs of `bin`.
    ///
    /// # Errors
    /// Exit 1 if an image would be too large, 2 if a program is missing, not static or not of this commit, 3 if the disk is full.
    pub(crate) fn lay_out(bin: &Path, commit: &Commit, folder: &Path) -> Result<Self, Failure> {
        let source = source();
        let containerfile = read(&source.join(CONTAINERFILE))?;
        let stages = stages(&String::from_utf8_lossy(&containerfile));
        let etc = [
            ("etc/group", read(&source.join("etc/group"))?),
            ("etc/passwd", read(&source.join("etc/passwd"))?),
            (
                "etc/ssl/certs/ca-certificates.crt",
                authorities().into_bytes(),
            ),
        ];
        let common: u64 = etc.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut images = Vec::new();
        let mut programs = Vec::new();
        for name in stages {
            let program = program(&name);
            let bytes = read(&bin.join(&program))?;
            check_linkage(&program, &bytes)?;
            commit.check_program(&program, &bytes)?;
            let unpacked = common + bytes.len() as u64;
            check_size(&program, unpacked, has_client(&bytes))?;
            programs.push((format!("bin/{program}"), bytes));
            images.push(Image { name, unpacked });
        }
        for below in ["", "bin", "etc", "etc/ssl", "etc/ssl/certs"] {
            let below = folder.join(below);
            files::make_folder(&below)?;
            set_mode(&below, 0o755)?;
        }
        write(&folder.join(CONTAINERFILE), &containerfile, 0o644)?;
        for (name, bytes) in &etc {
            write(&folder.join(name), bytes, 0o644)?;
        }
        for (name, bytes) in &programs {
            write(&folder.join(name), bytes, 0o755)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            images,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn images(&self) -> &[Image] {
        &self.images
    }

    /// The bytes of the program of an image.
    pub(crate) fn program(&self, image: &str) -> Result<Vec<u8>, Failure> {
        read(&self.folder.join("bin").join(program(image)))
    }
}

/// The names of all images.
pub(crate) fn names() -> Result<Vec<String>, Failure> {
    let containerfile = read(&source().join(CONTAINERFILE))?;
    Ok(stages(&String::from_utf8_lossy(&containerfile)))
}

fn source() -> PathBuf {
    root().join("images")
}

/// The stages of the Containerfile: one for each image.
fn stages(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("FROM scratch AS "))
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Mozilla's authorities for TLS servers, as a file of PEM that every TLS library reads.
fn authorities() -> String {
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate.as_ref());
        for line in encoded.as_bytes().chunks(64) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

fn has_client(program: &[u8]) -> bool {
    program.windows(CLIENT.len()).any(|window| window == CLIENT)
}

/// There is nothing in an image that could load the rest of a program.
fn check_linkage(program: &str, bytes: &[u8]) -> Result<(), Failure> {
    let error = match elf::linkage(bytes) {
        Some(Linkage::Static) => return Ok(()),
        Some(Linkage::LoadedBy(interpreter)) => anyhow!(
            "{program} is not linked statically: it needs {interpreter}, which is in no image"
        ),
        None => anyhow!("{program} is no ELF program"),
    };
    Err(Failure::misuse(error)
        .hint("./build makes static programs; without --bin-dir the release begins with it"))
}

fn check_size(program: &str, size: u64, has_client: bool) -> Result<(), Failure> {
    let (most, with) = if has_client {
        (MOST_WITH_CLIENT, "with")
    } else {
        (MOST, "without")
    };
    if size <= most {
        return Ok(());
    }
    Err(Failure::no(anyhow!(
        "the image of {program} would have {size} bytes, and one {with} the Kubernetes client may have {most}"
    ))
    .hint("programs of ./build are small; look for what a new dependency brought"))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|e| {
        Failure::misuse(e)
            .context(format!("reading {}", path.display()))
            .hint(
                "images/Containerfile has a stage for each program, and ./build makes the programs",
            )
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    fs::write(path, bytes)
        .map_err(|e| Failure::of_writing(&e).context(format!("writing {}", path.display())))?;
    set_mode(path, mode)
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| {
        Failure::of_writing(&e).context(format!("setting the mode of {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_authority_is_a_certificate_in_pem() {
        let text = authorities();
        let count = text.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert!(count > 100, "{count}");
        assert_eq!(count, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(text.lines().all(|line| line.len() <= 64), "lines of PEM");
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        check_size("tekseal-tree", MOST, false).expect("just right");
        check_size("tekseal-wait", MOST + 1, true).expect("the client may be in it");
        for (size, has_client) in [(MOST + 1, false), (MOST_WITH_CLIENT + 1, true)] {
            let failure = check_size("tekseal-x", size, has_client).expect_err("too large");
            assert_eq!(failure.code(), tekseal_steps::exit::NO);
        }
        assert!(has_client(b"..KUBERNETES_SERVICE_HOST.."));
        assert!(!has_client(b"KUBERNETES_SERVICE_HOS"));
    }

    #[test]
    fn stages_are_those_that_begin_from_nothing() {
        assert_eq!(
            stages(
                "# FROM scratch AS no\nFROM scratch AS sign\nUSER 1\n\nFROM scratch AS verify\n"
            ),
            ["sign", "verify"]
        );
    }
}
