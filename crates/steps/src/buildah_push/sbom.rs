//! A bill of materials (SBOM) of what was built, made by a tool that the user names. Nothing is known here of its format, and nothing is
//! attached: the file is for `tekseal-attest --predicate`.
//!
//! ```text
//! buildah's storage ─ push ─▶ OCI layout, a folder ─ the user's tool ─▶ file ─▶ --sbom-output
//! ```
//!
//! It is made before anything is pushed, so that no image is there whose bill could not be written. Links come with the source, so none is
//! followed on the way to where it is written: the source would choose which file of the container is replaced.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::build::What;
use super::complaint::{Cause, Doing};
use super::source::Source;
use super::tool::{Network, Tool, words};
use crate::child::{Program, Stdout};
use crate::files::folder_of;
use crate::{Failure, log};

/// The tool, and where its file goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sbom {
    /// The program first; [`IMAGE`] and [`OUTPUT`] are somewhere among the others.
    words: Vec<String>,
    output: Output,
}

/// Where the file goes.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    path: PathBuf,
    /// The source and the path in it, where it lies there by its name.
    in_source: Option<(PathBuf, PathBuf)>,
    name: OsString,
}

/// The open folder of an output: what is written goes there, whatever its path leads to by then.
struct Place<'o> {
    folder: OwnedFd,
    output: &'o Output,
}

/// Stands for the folder with the image.
const IMAGE: &str = "{image}";
/// Stands for the file to write.
const OUTPUT: &str = "{output}";
const HINT: &str =
    "for example --sbom-tool 'syft oci-dir:{image} -o spdx-json={output}' --sbom-output sbom.json";

impl Sbom {
    /// Reads both parameters; `None` where both are absent.
    ///
    /// # Errors
    /// Exit 2 if one is missing, if the words do not say where image and output go, or if the output's folder is not there or behind a link.
    pub(super) fn parse(
        tool: Option<&str>,
        output: Option<&str>,
        source: &Source,
    ) -> Result<Option<Self>, Failure> {
        let refused = |reason: &str| Failure::misuse(anyhow!("SBOM_TOOL {reason}")).hint(HINT);
        let (tool, output) = match (tool, output) {
            (None, None) => return Ok(None),
            (Some(tool), Some(output)) => (tool, PathBuf::from(output)),
            (Some(_), None) => return Err(refused("is given, and no --sbom-output (SBOM_OUTPUT)")),
            (None, Some(_)) => {
                return Err(refused(
                    "is missing, and --sbom-output (SBOM_OUTPUT) is given",
                ));
            }
        };
        let words = shlex::split(tool)
            .ok_or_else(|| refused("has a quote or a backslash without its partner"))?;
        let Some((program, rest)) = words.split_first() else {
            return Err(refused("names no program"));
        };
        if program.is_empty() || program.contains(['{', '}']) {
            return Err(refused("begins with no name of a program"));
        }
        for part in [IMAGE, OUTPUT] {
            if !rest.iter().any(|word| word.contains(part)) {
                return Err(refused(&format!("does not say where {part} goes")));
            }
        }
        let output = Output::of(output, source)?;
        output.open()?;
        Ok(Some(Self { words, output }))
    }

    fn arguments(&self, image: &Path, output: &Path) -> Vec<OsString> {
        let fill = |word: &String| {
            word.replace(IMAGE, &image.to_string_lossy())
                .replace(OUTPUT, &output.to_string_lossy())
                .into()
        };
        self.words[1..].iter().map(fill).collect()
    }
}

impl Output {
    fn of(path: PathBuf, source: &Source) -> Result<Self, Failure> {
        let no_file = || {
            Failure::misuse(anyhow!(
                "--sbom-output {} is no file in a folder that is there",
                path.display()
            ))
            .hint(HINT)
        };
        let name = path.file_name().ok_or_else(no_file)?.to_owned();
        if path.is_dir() || !folder_of(&path).is_dir() {
            return Err(no_file());
        }
        let from = env::current_dir()
            .map_err(|e| Failure::outside(e).context("asking for the working folder"))?;
        let whole = from.join(&path);
        let inner = whole.strip_prefix(source.path()).ok();
        let in_source = inner.map(|inner| (source.path().to_owned(), inner.to_owned()));
        Ok(Self {
            path,
            in_source,
            name,
        })
    }

    /// Opens its folder. In the source no part of the way may be a link; elsewhere the folder may be none.
    ///
    /// # Errors
    /// Exit 2 if it is.
    fn open(&self) -> Result<Place<'_>, Failure> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = match &self.in_source {
            Some((source, inner)) => rustix::fs::openat(CWD, source, flags, Mode::empty())
                .and_then(|source| {
                    let folder = folder_of(inner);
                    let resolve = ResolveFlags::NO_SYMLINKS;
                    rustix::fs::openat2(source, folder, flags, Mode::empty(), resolve)
                }),
            None => {
                let folder = folder_of(&self.path);
                rustix::fs::openat(CWD, folder, flags | OFlags::NOFOLLOW, Mode::empty())
            }
        };
        match opened {
            Ok(folder) => Ok(Place {
                folder,
                output: self,
            }),
            // A link is no folder to the kernel where it follows none.
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Failure::misuse(anyhow!(
                "the folder of --sbom-output {} is, or lies behind, a symbolic link",
                self.path.display()
            ))
            .hint("links come with the source and may lead anywhere: name the folder itself by SBOM_OUTPUT (--sbom-output)")),
            Err(e) => Err(Failure::misuse(io::Error::from(e)).context(format!(
                "opening the folder of --sbom-output {}",
                self.path.display()
            ))),
        }
    }
}

impl Place<'_> {
    /// Takes away what is there under its name: a file, or a link and not what it leads to.
    fn clear(&self) -> Result<(), Failure> {
        match rustix::fs::unlinkat(&self.folder, &self.output.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Failure::outside(io::Error::from(e))
                .context(format!("removing {}", self.output.path.display()))),
        }
    }

    /// Writes the content of a file, whole or not at all.
    fn fill(&self, from: &Path) -> io::Result<()> {
        // Nobody else's: this step writes one such file, and what is left of one that was killed may go.
        let temporary = format!(".tekseal-{}", std::process::id());
        let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let opened = rustix::fs::openat(&self.folder, &temporary, flags | OFlags::CLOEXEC, mode)?;
        let written = write(from, File::from(opened)).and_then(|()| {
            let (folder, name) = (&self.folder, &self.output.name);
            Ok(rustix::fs::renameat(folder, &temporary, folder, name)?)
        });
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&self.folder, &temporary, AtFlags::empty());
        }
        written
    }
}

fn write(from: &Path, mut file: File) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}

/// Makes the file.
///
/// # Errors
/// Exit 1 if the tool fails or writes nothing; 2 if it is not there; 3 if the disk fails. Then nothing is at the output.
pub(super) async fn make(tool: &mut Tool, sbom: &Sbom, what: &What) -> Result<(), Failure> {
    let image = tool.scratch.path().join("sbom-image");
    let output = tool.scratch.path().join("sbom-output");
    let place = sbom.output.open()?;
    // An older one would pass for that of this image.
    place.clear()?;
    save(tool, what, &image).await?;
    let program = Program {
        name: &sbom.words[0],
        label: "sbom",
        hint: "SBOM_TOOL (--sbom-tool) names a program in the builder image, by path or by name",
    };
    let ended = tool
        .start(&program, &sbom.arguments(&image, &output), Stdout::Log)
        .await?;
    let doing = format!("making an SBOM with {}", sbom.words[0]);
    if !ended.is_success() {
        let last = ended.tail.last().map_or("it said nothing", String::as_str);
        return Err(
            Failure::no(anyhow!("it ended with {}: {last}", ended.status()))
                .context(doing)
                .hint("the lines marked sbom: above are the tool's own"),
        );
    }
    // A link could lead to any file in this container, from where it would be published.
    let size = fs::symlink_metadata(&output).map_or(0, |meta| match meta.is_file() {
        true => meta.len(),
        false => 0,
    });
    if size == 0 {
        return Err(
            Failure::no(anyhow!("it ended well and wrote nothing to {OUTPUT}"))
                .context(doing)
                .hint(HINT),
        );
    }
    let target = sbom.output.path.display();
    place
        .fill(&output)
        .map_err(|e| Failure::of_writing(&e).context(format!("writing the SBOM {target}")))?;
    log::info("wrote the SBOM", &[("file", &target), ("bytes", &size)]);
    // Layers take room that the push may need.
    let _ = fs::remove_dir_all(&image);
    Ok(())
}

/// Writes the image, or the index with all its images, into a folder in OCI's layout.
async fn save(tool: &mut Tool, what: &What, folder: &Path) -> Result<(), Failure> {
    let mut target = OsString::from("oci:");
    target.push(folder);
    target.push(":latest");
    let mut args = match what {
        What::Image(image) => words(&["push", "--quiet", "--format", "oci", image]),
        What::Index(list) => words(&[
            "manifest", "push", "--all", "--quiet", "--format", "oci", list,
        ]),
    };
    args.push(target);
    let ended = tool.call(Network::Shared, args, Stdout::Log).await?;
    match ended.is_success() {
        true => Ok(()),
        false => Err(Cause::of(&ended)
            .failure(Doing::Asking, &ended, "writing the image for the SBOM")
            .hint("TMPDIR needs room for the whole image")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn source(folder: &Path) -> Source {
        Source::open(folder).expect("it is there")
    }

    #[test]
    fn words_are_split_without_a_shell_and_filled_in() {
        let sbom = Sbom::parse(
            Some("syft 'oci-dir:{image}' -o \"spdx-json={output}\" '$(id) {x}'"),
            Some("sbom.json"),
            &source(Path::new(".")),
        )
        .expect("good")
        .expect("both are given");
        assert_eq!(sbom.words[0], "syft");
        assert_eq!(
            sbom.arguments(Path::new("/a b"), Path::new("/o")),
            ["oci-dir:/a b", "-o", "spdx-json=/o", "$(id) {x}"]
        );
        let neither = Sbom::parse(None, None, &source(Path::new(".")));
        assert_eq!(neither.expect("good"), None);
    }

    #[test]
    fn what_cannot_work_is_refused_before_the_build() {
        let file = Some("sbom.json");
        for (tool, output) in [
            (Some("syft {image} {output}"), None),
            (None, file),
            (Some("syft {image}"), file),
            (Some("syft {output}"), file),
            (Some("{image} {output}"), file),
            (Some("'' {image} {output}"), file),
            (Some("syft '{image} {output}"), file),
            (Some("syft {image} {output}"), Some("/absent/sbom.json")),
            (Some("syft {image} {output}"), Some("/")),
        ] {
            let failure =
                Sbom::parse(tool, output, &source(Path::new("."))).expect_err("it cannot work");
            assert_eq!(failure.code(), crate::exit::MISUSE, "{tool:?}");
            assert!(!format!("{failure:?}").contains("hints: []"), "{tool:?}");
        }
    }

    #[test]
    fn no_link_is_followed_on_the_way_to_the_output() {
        let above = tempfile::tempdir().expect("a folder");
        let at = |name: &str| above.path().join(name);
        for folder in ["source/real/sub", "elsewhere/sub"] {
            fs::create_dir_all(at(folder)).expect("a folder");
        }
        symlink(at("elsewhere"), at("source/out")).expect("a link");
        symlink("real", at("source/around")).expect("a link");
        symlink("elsewhere", at("link")).expect("a link");
        let source = source(&at("source"));
        // As the source is named: its own path has no links.
        let source_path = source.path().to_owned();
        let open = |path: PathBuf| Output::of(path, &source).and_then(|o| o.open().map(|_| ()));
        for good in ["x.json", "real/x.json", "real/sub/x.json"] {
            open(source_path.join(good)).unwrap_or_else(|e| panic!("{good}: {e:?}"));
        }
        open(at("elsewhere/x.json")).expect("it is outside, and no link");
        let of_source = ["out/x.json", "out/sub/x.json", "around/x.json"];
        let paths = of_source.map(|path| source_path.join(path));
        for path in paths.into_iter().chain([at("link/x.json")]) {
            let refused = open(path.clone()).expect_err("there is a link");
            assert_eq!(refused.code(), crate::exit::MISUSE);
            let said = format!("{refused:?}");
            assert!(said.contains("symbolic link"), "{path:?}: {said}");
        }
    }

    #[test]
    fn a_folder_that_becomes_a_link_meanwhile_is_not_left() {
        let above = tempfile::tempdir().expect("a folder");
        let at = |name: &str| above.path().join(name);
        fs::create_dir_all(at("source/real")).expect("a folder");
        fs::create_dir(at("elsewhere")).expect("a folder");
        for (name, content) in [("made", "new"), ("elsewhere/x.json", "theirs")] {
            fs::write(at(name), content).expect("a file");
        }
        let source = source(&at("source"));
        let output = Output::of(source.path().join("real/x.json"), &source).expect("good");
        let place = output.open().expect("it is there");
        fs::rename(at("source/real"), at("source/moved")).expect("it is there");
        symlink(at("elsewhere"), at("source/real")).expect("a link");
        place.clear().expect("nothing is there");
        place.fill(&at("made")).expect("there is room");
        let read = |name: &str| fs::read_to_string(at(name)).expect("it is there");
        assert_eq!(read("source/moved/x.json"), "new");
        assert_eq!(read("elsewhere/x.json"), "theirs");
        assert!(output.open().is_err());
        // A link under the name itself is replaced.
        symlink(at("elsewhere/x.json"), at("source/moved/link.json")).expect("a link");
        let output = Output::of(source.path().join("moved/link.json"), &source).expect("good");
        let place = output.open().expect("it is there");
        place.clear().expect("it is taken away");
        place.fill(&at("made")).expect("there is room");
        assert_eq!(read("elsewhere/x.json"), "theirs");
        assert_eq!(read("source/moved/link.json"), "new");
        let left = fs::read_dir(at("source/moved")).expect("a folder").count();
        assert_eq!(left, 2, "temporary files");
    }
}
