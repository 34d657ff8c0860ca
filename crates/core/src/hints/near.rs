//! Names that are nearly a hint's: what a person meant who wrote `IMAGE_URI`.

use super::{
    ARTIFACT_DIGEST, ARTIFACT_INPUTS, ARTIFACT_OUTPUTS, ARTIFACT_URI, GIT_COMMIT, GIT_URL,
    IMAGE_DIGEST, IMAGE_URL, IMAGES,
};

/// The hint whose name this nearly is: but for case, dashes and dots, or a letter or two.
#[must_use]
pub fn nearly(name: &str) -> Option<&'static str> {
    // Many a Task has this beside the hints: ours, and Konflux'.
    if name.len() > 128 || name == "IMAGE_REF" {
        return None;
    }
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | '.' | ' '))
        .flat_map(char::to_uppercase)
        .collect();
    let whole = || WHOLE.into_iter().find(|(text, _)| plain == *text);
    SUFFIXES
        .into_iter()
        .find(|(text, _)| plain.ends_with(text))
        .or_else(whole)
        .map(|(_, hint)| hint)
}

/// Ends of names that are a hint's, or that someone may think to be; in upper case and without separators.
const SUFFIXES: [(&str, &str); 14] = [
    ("IMAGEURL", IMAGE_URL),
    ("IMAGEDIGEST", IMAGE_DIGEST),
    ("ARTIFACTURI", ARTIFACT_URI),
    ("ARTIFACTDIGEST", ARTIFACT_DIGEST),
    ("ARTIFACTINPUTS", ARTIFACT_INPUTS),
    ("ARTIFACTOUTPUTS", ARTIFACT_OUTPUTS),
    ("IMAGEURI", IMAGE_URL),
    ("IMAGEREF", IMAGE_URL),
    ("IMAGESHA", IMAGE_DIGEST),
    ("IMAGESHA256", IMAGE_DIGEST),
    ("ARTIFACTURL", ARTIFACT_URI),
    ("ARTIFACTINPUT", ARTIFACT_INPUTS),
    ("ARTIFACTOUTPUT", ARTIFACT_OUTPUTS),
    ("CHAINSGITREVISION", GIT_COMMIT),
];

/// The same for hints that are no ends of names.
const WHOLE: [(&str, &str); 3] = [
    ("IMAGES", IMAGES),
    ("CHAINSGITURL", GIT_URL),
    ("CHAINSGITCOMMIT", GIT_COMMIT),
];
