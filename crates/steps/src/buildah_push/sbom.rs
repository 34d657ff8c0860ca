//! A bill of materials (SBOM) of what was built, made by a tool that the user names. Nothing is known here of its format, and nothing is
//! attached: the file is for `tekseal-attest --predicate`.
//!
//! ```text
//! buildah's storage ─ push ─▶ OCI layout, a folder ─ the user's tool ─▶ file ─▶ --sbom-output
//! ```
//!
//! It is made before anything is pushed, so that no image is there whose bill could not be written.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::build::What;
use super::complaint::{Cause, Doing};
use super::tool::{Network, Tool, words};
use crate::child::{Program, Stdout};
use crate::files::{self, folder_of};
use crate::{Failure, log};

/// The tool, and where its file goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sbom {
    /// The program first; [`IMAGE`] and [`OUTPUT`] are somewhere among the others.
    words: Vec<String>,
    output: PathBuf,
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
    /// Exit 2 if one is missing, if the words do not say where image and output go, or if the output's folder is not there.
    pub(super) fn parse(tool: Option<&str>, output: Option<&str>) -> Result<Option<Self>, Failure> {
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
        if output.is_dir() || !folder_of(&output).is_dir() {
            return Err(Failure::misuse(anyhow!(
                "--sbom-output {} is no file in a folder that is there",
                output.display()
            ))
            .hint(HINT));
        }
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

/// Makes the file.
///
/// # Errors
/// Exit 1 if the tool fails or writes nothing; 2 if it is not there; 3 if the disk fails. Then nothing is at the output.
pub(super) async fn make(tool: &mut Tool, sbom: &Sbom, what: &What) -> Result<(), Failure> {
    let image = tool.scratch.path().join("sbom-image");
    let output = tool.scratch.path().join("sbom-output");
    // An older one would pass for that of this image.
    files::remove_if_there(&sbom.output)?;
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
    copy(&output, &sbom.output).map_err(|e| {
        Failure::of_writing(&e).context(format!("writing the SBOM {}", sbom.output.display()))
    })?;
    log::info(
        "wrote the SBOM",
        &[("file", &sbom.output.display()), ("bytes", &size)],
    );
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

fn copy(from: &Path, target: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".tekseal-")
        .tempfile_in(folder_of(target))?;
    io::copy(&mut File::open(from)?, file.as_file_mut())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(target).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_without_a_shell_and_filled_in() {
        let sbom = Sbom::parse(
            Some("syft 'oci-dir:{image}' -o \"spdx-json={output}\" '$(id) {x}'"),
            Some("sbom.json"),
        )
        .expect("good")
        .expect("both are given");
        assert_eq!(sbom.words[0], "syft");
        assert_eq!(
            sbom.arguments(Path::new("/a b"), Path::new("/o")),
            ["oci-dir:/a b", "-o", "spdx-json=/o", "$(id) {x}"]
        );
        assert_eq!(Sbom::parse(None, None).expect("good"), None);
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
            let failure = Sbom::parse(tool, output).expect_err("it cannot work");
            assert_eq!(failure.code(), crate::exit::MISUSE, "{tool:?}");
            assert!(!format!("{failure:?}").contains("hints: []"), "{tool:?}");
        }
    }
}
