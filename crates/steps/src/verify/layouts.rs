//! Images in folders: which one is meant, and the verdict, for which nobody is connected to.

use std::path::PathBuf;

use anyhow::anyhow;
use tekseal_core::{Digest, is_invisible};
use tekseal_remote::oci_layout::{OciLayout, Wanted};
use tekseal_remote::store::Source;

use super::verdicts::Verdicts;
use super::{Demands, Examined, Report, within};
use crate::Failure;

/// How skopeo and others call a folder with an OCI image layout.
pub(super) const PREFIX: &str = "oci:";

/// An image in a folder. Its path is printed, so it has no characters that could make one line look like two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LayoutRef {
    path: PathBuf,
    wanted: Wanted,
}

impl LayoutRef {
    /// Reads `PATH[:TAG|@DIGEST]`. A colon before the last slash belongs to the path.
    fn parse(text: &str) -> Result<Self, Failure> {
        let (path, wanted) = if let Some((path, digest)) = text.rsplit_once("@sha256:") {
            let digest: Digest = format!("sha256:{digest}")
                .parse()
                .map_err(|e| Failure::misuse(e).context(format!("the digest of {PREFIX}{text}")))?;
            (path, Wanted::Digest(digest))
        } else {
            match text.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') => (path, Wanted::Tag(tag.to_owned())),
                _ => (text, Wanted::Only),
            }
        };
        let is_whole = !path.is_empty() && wanted != Wanted::Tag(String::new());
        if !is_whole {
            return Err(Failure::misuse(anyhow!(
                "{PREFIX}{text} is not of the form {PREFIX}PATH[:TAG|@DIGEST]"
            )));
        }
        Self::new(path, wanted)
    }

    fn new(path: &str, wanted: Wanted) -> Result<Self, Failure> {
        if path.contains(is_invisible) {
            return Err(Failure::misuse(anyhow!(
                "the path {path:?} of an image has a character that is not seen"
            ))
            .hint("lines of output would not be what they seem: name the folder differently"));
        }
        let path = PathBuf::from(path);
        Ok(Self { path, wanted })
    }

    /// Examines it, and gives its name by digest.
    pub(crate) async fn examine(&self, demands: &Demands) -> Result<(String, Examined), Failure> {
        let layout = OciLayout::open(&self.path)?;
        let image = layout.resolve(&self.wanted)?;
        let name = format!("{PREFIX}{}@{image}", layout.name());
        let examined = demands.examine(Source::Layout(&layout), &image).await;
        Ok((name, examined))
    }

    async fn check(&self, demands: &Demands) -> Result<Report, Failure> {
        let layout = OciLayout::open(&self.path)?;
        let image = layout.resolve(&self.wanted)?;
        let name = format!("{PREFIX}{}@{image}", layout.name());
        let report = demands
            .check_in(Source::Layout(&layout), &image, &name)
            .await;
        report.map_err(|f| f.context(format!("image {name}")))
    }
}

/// The images if they lie in folders: those that begin with `oci:`, and with `--local-image` all of them, which then are paths.
pub(crate) fn parse(images: &[String], are_paths: bool) -> Result<Option<Vec<LayoutRef>>, Failure> {
    if are_paths {
        let whole = |path: &String| LayoutRef::new(path, Wanted::Only);
        return images.iter().map(whole).collect::<Result<_, _>>().map(Some);
    }
    let layouts = images.iter().filter_map(|text| text.strip_prefix(PREFIX));
    let layouts: Vec<_> = layouts.map(LayoutRef::parse).collect::<Result<_, _>>()?;
    match layouts.len() {
        0 => Ok(None),
        count if count == images.len() => Ok(Some(layouts)),
        _ => Err(
            Failure::misuse(anyhow!("some images are in folders and some in registries"))
                .hint("verify them in two runs: that of the folders needs no network"),
        ),
    }
}

/// Checks all images.
pub(super) async fn judge(
    layouts: &[LayoutRef],
    demands: &Demands,
    seconds: u64,
) -> Result<Verdicts, Failure> {
    let mut verdicts = Verdicts::default();
    for image in layouts {
        match within(seconds, image.check(demands)).await {
            Ok(report) => verdicts.take(&report.image.clone(), vec![Ok(report)])?,
            Err(failure) => verdicts.take_failure(failure)?,
        }
    }
    Ok(verdicts)
}

impl From<tekseal_remote::oci_layout::Error> for Failure {
    fn from(error: tekseal_remote::oci_layout::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_with_a_tag_a_digest_or_nothing() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let of_digest = Wanted::Digest(digest.parse().expect("a digest"));
        for (text, path, wanted) in [
            ("saved", "saved", Wanted::Only),
            ("/a:b/saved", "/a:b/saved", Wanted::Only),
            (
                "/a:b/saved:1.2",
                "/a:b/saved",
                Wanted::Tag("1.2".to_owned()),
            ),
            (&format!("./a@b@{digest}"), "./a@b", of_digest),
        ] {
            let wanted = LayoutRef {
                path: PathBuf::from(path),
                wanted,
            };
            assert_eq!(LayoutRef::parse(text).ok(), Some(wanted), "{text}");
        }
        for text in ["a\nverified", "a\u{1b}[2J", "a\u{202e}b", "a\r:1"] {
            let refused = LayoutRef::parse(text).expect_err(text);
            assert_eq!(refused.code(), crate::exit::MISUSE);
            assert!(super::parse(&[text.to_owned()], true).is_err());
        }
        for text in ["", ":1", "a:", "a@sha256:b", "@sha256:"] {
            assert!(LayoutRef::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn images_are_all_in_folders_or_none_is() {
        let parse = |images: &[&str], are_paths| {
            let images: Vec<_> = images.iter().map(|&text| text.to_owned()).collect();
            super::parse(&images, are_paths)
        };
        assert!(
            parse(&["a/b", "oci.example/b"], false)
                .expect("none")
                .is_none()
        );
        let both = parse(&["oci:a", "oci:b"], false).expect("both");
        assert_eq!(both.map(|all| all.len()), Some(2));
        assert!(parse(&["oci:a", "b/c"], false).is_err());
        let path = parse(&["oci:a:b"], true).expect("a path").expect("a path");
        assert_eq!(path[0].path, PathBuf::from("oci:a:b"));
    }
}
