//! `tekseal-tree`: draws what hangs on an image. Nothing that it shows is verified, and it says so.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};
use tekseal_core::{DigestRef, cosign};
use tekseal_remote::store::tree::{Attached, AttachedLayer, Image, Referrer, ReferrersSource};
use tekseal_remote::store::{self, Tree};

use crate::Failure;
use crate::exit;
use crate::log::quoted;
use crate::registry_args::{Access, RegistryArgs};
use crate::verify::{self, Output};

/// Draw what hangs on an image: signatures, attestations, SBOMs, referrers. Nothing of it is verified.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image, by tag or digest
    #[arg(env = "IMAGE", value_name = "IMAGE")]
    image: String,
    /// How to print
    #[arg(
        long,
        short = 'o',
        env = "TEKSEAL_OUTPUT",
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    output: Output,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// After how many seconds to give up.
const LONGEST: u64 = 300;

/// Lists and draws. Exit 0 also when nothing hangs on the image; exit 1 when there is no such image and nothing hangs on it.
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
    let text = match args.output {
        Output::Text => draw(&image, &tree),
        Output::Json => format!("{}\n", as_json(&image, &tree)),
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

fn draw(image: &DigestRef, tree: &Tree) -> String {
    let mut text = format!("{image} {}\n", what(&tree.image));
    let mut nodes: Vec<Node> = tree.tags.iter().map(tag_node).collect();
    if !tree.referrers.is_empty() {
        let place = match tree.source {
            ReferrersSource::Api => "referrers (API)",
            ReferrersSource::FallbackTag | ReferrersSource::Nowhere => "referrers (fallback tag)",
        };
        nodes.push(Node {
            text: place.to_owned(),
            below: tree.referrers.iter().map(referrer_node).collect(),
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
        Ok(layers) => layers
            .iter()
            .map(|layer| Node {
                text: layer_text(layer),
                below: Vec::new(),
            })
            .collect(),
        Err(error) => vec![Node {
            text: format!("cannot be read: {}", exit::chain(error)),
            below: Vec::new(),
        }],
    };
    Node { text, below }
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

fn referrer_node(referrer: &Referrer) -> Node {
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
    Node {
        text,
        below: Vec::new(),
    }
}

fn as_json(image: &DigestRef, tree: &Tree) -> Value {
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
    json!({
        "image": image.to_string(),
        "mediaType": media_type,
        "platforms": platforms,
        "verified": false,
        "tags": tree.tags.iter().map(tag_json).collect::<Vec<_>>(),
        "referrers": tree.referrers.iter().map(|r| json!({
            "digest": r.digest, "mediaType": r.media_type, "size": r.size, "artifactType": r.artifact_type, "annotations": r.annotations,
        })).collect::<Vec<_>>(),
    })
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
            "certificate": l.has_certificate, "logEntry": l.has_log_entry, "timestamp": l.has_timestamp,
        })).collect::<Vec<_>>(),
    })
}
