//! The results that name an image or an index, as readers of type hints take them.

use tekseal_core::Digest;
use tekseal_core::hints::{IMAGE_DIGEST, IMAGE_URL, IMAGES};

use crate::results::Results;
use crate::target::Image;

/// Result with the image by digest, without tag.
pub(crate) const IMAGE_REF: &str = "IMAGE_REF";

/// Sets the results for what lies at `image` by `digest`: one image, or an index of `children`.
pub(crate) fn fill(results: &mut Results, image: &Image, digest: &Digest, children: &[Digest]) {
    results.set(IMAGE_URL, &image.url);
    results.set(IMAGE_DIGEST, digest.as_str());
    results.set(IMAGE_REF, format!("{}@{digest}", image.name));
    // One image is named by the pair already; a reader of hints would find it twice.
    let is_index = !children.is_empty();
    let all = std::iter::once(digest).chain(children).filter(|_| is_index);
    let all: Vec<_> = all
        .map(|digest| format!("{}@{digest}", image.name))
        .collect();
    results.set(IMAGES, all.join(","));
}
