//! `tekseal-tree`: draws what hangs on an image. Nothing that it shows is verified, and it says so.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};
use tekseal_core::{DigestRef, cosign, is_invisible};
use tekseal_remote::store::tree::{Attached, AttachedLayer, Image, Referrer, ReferrersSource};
use tekseal_remote::store::{self, Tree};

use crate::Failure;
use crate::exit;
use crate::log::quoted;
use crate::output::{Output, OutputArgs};
use crate::registry_args::{Access, RegistryArgs, given};
use crate::verify;

/// Draw what hangs on an image: signatures, attestations, SBOMs, referrers. Nothing of it is verified.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image, by tag or digest
    #[arg(env = "IMAGE", value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    output: OutputArgs,
    /// Text of a last line, before the image by its digest, such as «would deploy»; then the image itself must be there
    #[arg(long, env = "TEKSEAL_ANNOUNCE", value_name = "TEXT")]
    announce: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// After how many seconds to give up.
const LONGEST: u64 = 300;
/// How many of the last characters of a signature are drawn.
const SHOWN_OF_SIGNATURE: usize = 12;

/// Lists and draws. Exit 0 also when nothing hangs on the image; exit 1 when there is no such image and nothing hangs on it, or when there is
/// none to announce.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let image = verify::parse_image(&args.image)?;
    let registry = args.registry.open(Access::Pull)?;
    let image = verify::resolve(&registry, image).await?;
    let list = async { Ok(store::tree(&registry, &image).await?) };
    let tree = verify::within(LONGEST, list).await?;
    if matches!(tree.image, Image::Absent) && tree.tags.is_empty() && tree.referrers.is_empty() {
        return Err(Failure::no(anyhow::anyhow!(
            "image {image} does not exist and nothing hangs on it"
        )));
    }
    let announcement = given(&args.announce).next();
    let announcement = announcement.map(|text| format!("{} {image}", on_one_line(text)));
    if announcement.is_some() && matches!(tree.image, Image::Absent) {
        return Err(Failure::no(anyhow::anyhow!("image {image} does not exist"))
            .hint("something hangs on it, but nothing can be done with the image itself"));
    }
    let text = match args.output.form() {
        Output::Text => draw(&image, &tree, announcement.as_deref()),
        Output::Json => format!("{}\n", as_json(&image, &tree, announcement)),
    };
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

/// A line of the drawing and the lines below it.
struct Node {
    text: String,
    below: Vec<Node>,
}

/// A text from a parameter, which must not begin a line or move the cursor.
fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect()
}

fn draw(image: &DigestRef, tree: &Tree, announcement: Option<&str>) -> String {
    let mut text = format!("{image} {}\n", what(&tree.image));
    let mut nodes: Vec<Node> = tree.tags.iter().map(tag_node).collect();
    if !tree.referrers.is_empty() {
        let place = match tree.source {
            ReferrersSource::Api => "referrers (API)",
            ReferrersSource::FallbackTag | ReferrersSource::Nowhere => "referrers (fallback tag)",
        };
        nodes.push(Node {
            text: place.to_owned(),
            below: leaves(tree.referrers.iter().map(referrer_text).collect()),
        });
    }
    if nodes.is_empty() {
        nodes.push(Node {
            text: "nothing hangs on this image".to_owned(),
            below: Vec::new(),
        });
    }
    lines(&mut text, "", &nodes);
    text.push_str("not verified: this is what the registry has; tekseal-verify checks it\n");
    if let Some(announcement) = announcement {
        let _ = writeln!(text, "{announcement}");
    }
    text
}

fn lines(text: &mut String, indent: &str, nodes: &[Node]) {
    for (at, node) in nodes.iter().enumerate() {
        let (branch, bar) = if at + 1 == nodes.len() {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{indent}{branch}{}", node.text);
        lines(text, &format!("{indent}{bar}"), &node.below);
    }
}

fn what(image: &Image) -> String {
    match image {
        Image::Absent => "(the image itself is absent)".to_owned(),
        Image::Manifest { .. } => "(image)".to_owned(),
        Image::Index { platforms, .. } => {
            let names: Vec<_> = platforms
                .iter()
                .map(|p| quoted(p.platform.as_deref().unwrap_or("unknown platform")))
                .collect();
            format!("(index of {})", names.join(", "))
        }
    }
}

fn kind(tag: cosign::Tag) -> &'static str {
    match tag {
        cosign::Tag::Signatures => "signatures",
        cosign::Tag::Attestations => "attestations",
        cosign::Tag::Sbom => "attached SBOM, unsigned",
        cosign::Tag::Referrers => "referrers",
    }
}

fn tag_node(attached: &Attached) -> Node {
    let text = format!("{} {}", kind(attached.kind), attached.tag);
    let below = match &attached.layers {
        Ok(layers) => leaves(layer_texts(layers)),
        Err(error) => vec![Node {
            text: format!("cannot be read: {}", exit::chain(error)),
            below: Vec::new(),
        }],
    };
    Node { text, below }
}

/// A line for each text; equal ones are one line with their number.
fn leaves(texts: Vec<String>) -> Vec<Node> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for text in &texts {
        *counts.entry(text.clone()).or_default() += 1;
    }
    let once = texts.into_iter().filter_map(|text| {
        // Taken away with the first of them.
        let count = counts.remove(&text)?;
        Some(Node {
            text: match count {
                1 => text,
                count => format!("{text} ({count} times)"),
            },
            below: Vec::new(),
        })
    });
    once.collect()
}

/// What is told of layers. Those that are equal but for their signatures are told with the end of these, by which they are found in the manifest.
fn layer_texts(layers: &[AttachedLayer]) -> Vec<String> {
    let texts: Vec<String> = layers.iter().map(layer_text).collect();
    let mut signatures: HashMap<&str, HashSet<Option<&str>>> = HashMap::new();
    for (text, layer) in texts.iter().zip(layers) {
        let of_text = signatures.entry(text).or_default();
        of_text.insert(layer.signature.as_deref());
    }
    let all = texts.iter().zip(layers);
    all.map(|(text, layer)| match signatures[text.as_str()].len() {
        1 => text.clone(),
        _ => format!("{text} signature {}", end(layer.signature.as_deref())),
    })
    .collect()
}

/// The last characters of a signature.
fn end(signature: Option<&str>) -> String {
    let signature = signature.unwrap_or("none");
    let skipped = signature.chars().count().saturating_sub(SHOWN_OF_SIGNATURE);
    let dots = if skipped == 0 { "" } else { "…" };
    let end: String = signature.chars().skip(skipped).collect();
    quoted(&format!("{dots}{end}"))
}

fn layer_text(layer: &AttachedLayer) -> String {
    let mut text = format!("{} {} bytes", quoted(&layer.digest), layer.size);
    if let Some(predicate_type) = &layer.predicate_type {
        let _ = write!(text, " {}", quoted(predicate_type));
    }
    for (has, what) in [
        (layer.has_certificate, "certificate"),
        (layer.has_log_entry, "log entry"),
        (layer.has_timestamp, "timestamp"),
    ] {
        if has {
            let _ = write!(text, " +{what}");
        }
    }
    text
}

fn referrer_text(referrer: &Referrer) -> String {
    let mut text = format!(
        "{} {}",
        quoted(&referrer.digest),
        quoted(
            referrer
                .artifact_type
                .as_deref()
                .unwrap_or("of no artifact type")
        )
    );
    if let Some(predicate_type) = referrer
        .annotations
        .get("dev.sigstore.bundle.predicateType")
    {
        let _ = write!(text, " {}", quoted(predicate_type));
    }
    text
}

fn as_json(image: &DigestRef, tree: &Tree, announcement: Option<String>) -> Value {
    let platforms: Vec<_> = match &tree.image {
        Image::Index { platforms, .. } => platforms
            .iter()
            .map(|p| json!({"digest": p.digest, "platform": p.platform}))
            .collect(),
        Image::Absent | Image::Manifest { .. } => Vec::new(),
    };
    let media_type = match &tree.image {
        Image::Absent => None,
        Image::Manifest { media_type } | Image::Index { media_type, .. } => Some(media_type),
    };
    let mut object = json!({
        "image": image.to_string(),
        "mediaType": media_type,
        "platforms": platforms,
        "verified": false,
        "tags": tree.tags.iter().map(tag_json).collect::<Vec<_>>(),
        "referrers": tree.referrers.iter().map(|r| json!({
            "digest": r.digest, "mediaType": r.media_type, "size": r.size, "artifactType": r.artifact_type, "annotations": r.annotations,
        })).collect::<Vec<_>>(),
    });
    if let Some(announcement) = announcement {
        object["announcement"] = announcement.into();
    }
    object
}

fn tag_json(attached: &Attached) -> Value {
    let (layers, error) = match &attached.layers {
        Ok(layers) => (layers.as_slice(), None),
        Err(error) => (&[][..], Some(error.to_string())),
    };
    json!({
        "kind": kind(attached.kind),
        "tag": attached.tag,
        "digest": attached.manifest_digest.as_str(),
        "error": error,
        "layers": layers.iter().map(|l| json!({
            "digest": l.digest, "mediaType": l.media_type, "size": l.size, "predicateType": l.predicate_type,
            "signature": l.signature,
            "certificate": l.has_certificate, "logEntry": l.has_log_entry, "timestamp": l.has_timestamp,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layers_are_told_apart_by_their_signatures_or_counted() {
        let layer = |digest: &str, signature: Option<&str>| AttachedLayer {
            digest: digest.to_owned(),
            media_type: cosign::SIMPLE_SIGNING_MEDIA_TYPE.to_owned(),
            size: 3,
            predicate_type: None,
            signature: signature.map(str::to_owned),
            has_certificate: false,
            has_log_entry: false,
            has_timestamp: false,
        };
        let drawn = |layers: &[AttachedLayer]| -> Vec<String> {
            let nodes = leaves(layer_texts(layers)).into_iter();
            nodes.map(|node| node.text).collect()
        };
        let long = "MEUCIQDabcdefghijklmnop=";
        let two = [
            layer("sha256:aa", Some(long)),
            layer("sha256:bb", Some("x")),
            layer("sha256:aa", Some("y")),
            layer("sha256:aa", None),
        ];
        assert_eq!(
            drawn(&two),
            [
                "sha256:aa 3 bytes signature …fghijklmnop=",
                "sha256:bb 3 bytes",
                "sha256:aa 3 bytes signature y",
                "sha256:aa 3 bytes signature none",
            ]
        );
        let twice = [layer("sha256:aa", Some("x")), layer("sha256:aa", Some("x"))];
        assert_eq!(drawn(&twice), ["sha256:aa 3 bytes (2 times)"]);
    }
}
