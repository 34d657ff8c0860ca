//! Which images are checked: those of the command line, then those of a file.

use std::fmt;
use std::path::Path;

use anyhow::anyhow;
use tekseal_core::ImageRef;

use crate::verify::layouts::{self, LayoutRef};
use crate::{Failure, files, verify};

/// The largest list of images.
const MOST_LIST: u64 = 4 << 20;
/// The most images of one call.
const MOST_IMAGES: usize = 10_000;

/// An image, as it was named.
pub(super) enum Image {
    /// In a registry, with the name that it was given.
    Remote(ImageRef, String),
    /// In a folder, with the name that it was given.
    Layout(LayoutRef, String),
}

impl Image {
    fn parse(text: &str) -> Result<Self, Failure> {
        let given = [text.to_owned()];
        let layout = layouts::parse(&given, false)?.and_then(|mut one| one.pop());
        match layout {
            Some(layout) => Ok(Self::Layout(layout, text.to_owned())),
            None => verify::parse_image(text).map(|image| Self::Remote(image, text.to_owned())),
        }
    }

    pub(super) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(..))
    }

    /// The name that it was given: whoever asked knows it by that.
    pub(super) fn given(&self) -> &str {
        match self {
            Self::Remote(_, given) | Self::Layout(_, given) => given,
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(image, _) => image.fmt(f),
            Self::Layout(_, name) => f.write_str(name),
        }
    }
}

/// All images, in their order; one that is named twice is checked twice.
///
/// # Errors
/// Exit 2 for none, for too many, and for a name that is none, with its line.
pub(super) fn all(named: &[String], file: Option<&str>) -> Result<Vec<Image>, Failure> {
    let named = named.iter().map(|text| text.trim());
    let mut images: Vec<Image> = named
        .filter(|text| !text.is_empty())
        .map(Image::parse)
        .collect::<Result<_, _>>()?;
    if let Some(file) = file {
        let text = read(file)?;
        for (at, line) in text.lines().enumerate() {
            let line = without_comment(line).trim();
            if line.is_empty() {
                continue;
            }
            if images.len() == MOST_IMAGES {
                return Err(Failure::misuse(anyhow!(
                    "with those of {file} there are more than {MOST_IMAGES} images"
                ))
                .hint("check them in several calls"));
            }
            let image = Image::parse(line);
            images.push(image.map_err(|e| e.context(format!("{file}, line {}", at + 1)))?);
        }
    }
    if images.is_empty() {
        return Err(Failure::misuse(anyhow!("no image is named"))
            .hint("name images, or give a file of them: --images FILE"));
    }
    Ok(images)
}

/// A comment begins with `#` at the start of a line, or after a blank: within a name it is a part of it.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

fn read(file: &str) -> Result<String, Failure> {
    let bytes = files::read(Path::new(file), MOST_LIST, "list of images")?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::misuse(anyhow!("the list of images {file} is not UTF-8")))
}
