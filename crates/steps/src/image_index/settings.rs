//! What to compose, after every check that needs no registry.

use std::collections::{BTreeMap, HashSet};

use anyhow::anyhow;
use tekseal_core::{Digest, DigestRef, ImageRef, is_invisible};

use super::args::Args;
use crate::lists::list;
use crate::parameters::{Format, either, given, named, switch};
use crate::target::Image;
use crate::{Failure, log};

/// More images, also after those of indexes among them were counted, are no platforms of anything.
pub(super) const MOST_IMAGES: usize = 1000;

/// The parameters, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) target: Image,
    pub(super) more_tags: Vec<String>,
    /// Each once, in the order in which they were given.
    pub(super) images: Vec<Given>,
    pub(super) format: Format,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) build: Build,
    pub(super) verify_tls: bool,
}

/// One image as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The whole text.
    pub(super) text: String,
    /// What stands before the digest.
    pub(super) image: Image,
    pub(super) digest: Digest,
}

/// When an index is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Always,
    /// A single image needs none.
    UnlessSingle,
}

impl Settings {
    /// Checks `args`.
    ///
    /// # Errors
    /// Exit 2, with what is wrong, where, and what to do.
    pub(super) fn from_args(args: &Args) -> Result<Self, Failure> {
        let target = Image::parse(args.image.as_deref().unwrap_or_default())?;
        let format = given(either(&args.buildah_format, &args.format));
        let format = named("FORMAT", format, "oci")?;
        let always = switch("ALWAYS_BUILD_INDEX", &args.always_build_index, true)?;
        let tls = either(&args.tls_verify, &args.tlsverify);
        Ok(Self {
            more_tags: target.more_tags(&list(&args.additional_tags, &args.additional_tag))?,
            images: images(&list(&args.images, &[]))?,
            annotations: annotations(&list(&args.annotations, &args.annotation), format)?,
            build: match always {
                true => Build::Always,
                false => Build::UnlessSingle,
            },
            verify_tls: switch("TLSVERIFY", tls, true)?,
            format,
            target,
        })
    }
}

impl Given {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |failure: Failure| {
            failure.context(format!("image {text:?} of IMAGES")).hint(
                "give repository@sha256:…, as the results IMAGE_REF and IMAGES have it: a tag may be another image in a moment",
            )
        };
        let Some((url, _)) = text.split_once('@') else {
            return Err(wrong(Failure::misuse(anyhow!("it has no digest"))));
        };
        let image = Image::parse(url).map_err(wrong)?;
        let parsed = ImageRef::parse(text).and_then(ImageRef::digest_ref);
        let DigestRef { digest, .. } = parsed.map_err(|e| wrong(Failure::misuse(e)))?;
        Ok(Self {
            text: text.to_owned(),
            image,
            digest,
        })
    }

    /// The image by digest.
    pub(super) fn digest_ref(&self) -> DigestRef {
        self.image.repository.at(self.digest.clone())
    }
}

/// Results of several tasks, or of a matrix, may name the same image twice; one is enough.
fn images(elements: &[String]) -> Result<Vec<Given>, Failure> {
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    let texts = elements
        .iter()
        .flat_map(|element| element.split([',', '\n']));
    for text in texts.map(str::trim).filter(|text| !text.is_empty()) {
        let given = Given::parse(text)?;
        if seen.insert(given.digest_ref()) {
            images.push(given);
        }
    }
    if images.is_empty() {
        return Err(Failure::misuse(anyhow!("IMAGES names no image")).hint(
            "give --images or the environment variable IMAGES; of a matrix of buildah-push: $(tasks.build.results.IMAGE_REF[*])",
        ));
    }
    if images.len() > MOST_IMAGES {
        return Err(Failure::misuse(anyhow!(
            "IMAGES names {} images, more than {MOST_IMAGES}",
            images.len()
        ))
        .hint("an index has one image for each platform"));
    }
    Ok(images)
}

/// Names and values of `NAME=VALUE`. The index of the format docker has none.
fn annotations(given: &[String], format: Format) -> Result<BTreeMap<String, String>, Failure> {
    let mut annotations = BTreeMap::new();
    for pair in given {
        let refuse = |why: &str| {
            Failure::misuse(anyhow!("annotation {pair:?} {why}"))
                .hint("write NAME=VALUE; names are printable, without white space, and given once")
        };
        let (name, value) = pair.split_once('=').ok_or_else(|| refuse("has no ="))?;
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || is_invisible(c)) {
            return Err(refuse("has a bad name"));
        }
        let before = annotations.insert(name.to_owned(), value.to_owned());
        if before.is_some_and(|before| before != value) {
            return Err(refuse("has the name of another one"));
        }
    }
    if format == Format::Docker && !annotations.is_empty() {
        log::warn(
            "docker manifest lists have no annotations, those given are dropped; use FORMAT oci (--format oci)",
            &[("dropped", &annotations.len())],
        );
        annotations.clear();
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::parse;
    use super::*;

    const A: &str =
        "r.example/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str =
        "r.example/app:b@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn settings(words: &[&str]) -> Result<Settings, Failure> {
        let mut all = vec!["--image", "r.example/app:1"];
        all.extend(words);
        Settings::from_args(&parse(&all))
    }

    fn refused(words: &[&str]) -> String {
        let failure = settings(words).expect_err("it is wrong");
        assert_eq!(failure.code(), crate::exit::MISUSE, "{words:?}");
        format!("{} {failure:?}", failure.message())
    }

    #[test]
    fn images_are_taken_apart_and_kept_once_in_their_order() {
        let both = format!("{B},{A}\n , {B}");
        let found = settings(&["--images", "", &both, " ", A, "\n", ";"]).expect("two images");
        let texts: Vec<_> = found.images.iter().map(|image| &image.text).collect();
        assert_eq!(texts, [B, A]);
        assert_eq!(found.images[0].image.url, "r.example/app:b");
        assert_eq!(found.images[0].image.name, "r.example/app");
    }

    #[test]
    fn what_is_no_image_by_digest_is_refused() {
        for (text, wanted) in [
            ("r.example/app:1", "it has no digest"),
            ("r.example/app", "it has no digest"),
            ("r.example/app@sha256:00", "bad digest"),
            ("r.example/app@sha512:00", "bad digest"),
            ("docker://r.example/app@sha256:00", "has a scheme"),
            ("r.example/app b@sha256:00", "white space"),
            ("@sha256:00", "missing"),
            ("r.example/app@b@sha256:00", "more than one"),
        ] {
            let told = refused(&["--images", text, ";"]);
            assert!(
                told.contains(wanted) && told.contains("of IMAGES"),
                "{text}: {told}"
            );
        }
        for none in [
            &["--images", ";"] as &[&str],
            &[],
            &["--images", "", ",", ";"],
        ] {
            assert!(refused(none).contains("names no image"));
        }
    }

    #[test]
    fn the_parameters_have_buildahs_names_and_aliases() {
        let found = settings(&[
            "--images",
            A,
            ";",
            "--format",
            "docker",
            "--buildah-format",
            "oci",
            "--always-build-index",
            "false",
            "--tlsverify",
            "--tls-verify=false",
            "--additional-tags",
            "1",
            "2",
            ";",
        ]);
        let found = found.expect("good parameters");
        assert_eq!(
            (found.format, found.build),
            (Format::Oci, Build::UnlessSingle)
        );
        assert_eq!(
            (found.verify_tls, found.more_tags),
            (false, vec!["2".to_owned()])
        );
        for (words, wanted) in [
            (&["--format", "v2s2"] as &[&str], "FORMAT"),
            (&["--always-build-index", "no"], "ALWAYS_BUILD_INDEX"),
            (&["--tlsverify", "no"], "TLSVERIFY"),
            (&["--additional-tag", "a/b"], "ADDITIONAL_TAGS"),
        ] {
            let words = [words, &["--images", A, ";"]].concat();
            assert!(refused(&words).contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn annotations_are_pairs_with_printable_names() {
        let of = |words: &[&str]| {
            let words = [words, &["--images", A, ";"]].concat();
            settings(&words).map(|settings| settings.annotations)
        };
        let found = of(&[
            "--annotations",
            "a=1",
            "b==\n<&>",
            ";",
            "--annotation",
            "a=1",
        ]);
        let wanted = [("a", "1"), ("b", "=\n<&>")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(found.expect("pairs"), wanted.into());
        for bad in ["a", "=1", "a b=1", "a\u{202e}=1", "a\n=1"] {
            assert!(of(&["--annotation", bad]).is_err(), "{bad:?}");
        }
        let twice = of(&["--annotation", "a=1", "--annotation", "a=2"]);
        assert!(twice.is_err());
        let docker = of(&["--format", "docker", "--annotation", "a=1"]);
        assert!(docker.expect("only told").is_empty());
    }
}
