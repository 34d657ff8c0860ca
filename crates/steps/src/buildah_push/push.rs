//! Pushes, tries again where that may help, and asks the registry whether it has what buildah says it got.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use anyhow::anyhow;
use serde::Deserialize;
use tekseal_core::Digest;
use tekseal_remote::registry::{Error, Manifest, Reference, Registry};
use tokio::time::sleep;

use super::build::What;
use super::complaint::{Cause, Doing};
use super::settings::{Platforms, Settings};
use super::tool::{Network, Tool, words};
use crate::child::Stdout;
use crate::{Failure, log};

/// What the registry has.
#[derive(Clone, Debug)]
pub(super) struct Pushed {
    /// Digest of the image or of the index.
    pub(super) digest: Digest,
    /// Digests of the images of an index, in its order.
    pub(super) children: Vec<Digest>,
}

/// The first wait before another try, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const DIGEST_FILE: &str = "digest";

/// Pushes `what` and makes sure that the registry has it, under all tags.
///
/// # Errors
/// Exit 2 if the registry refuses (401, 403, 404) or its certificate is not trusted; 3 if it fails, after the tries that `settings` allows.
pub(super) async fn push(
    tool: &mut Tool,
    settings: &Settings,
    what: &What,
    registry: &Registry,
) -> Result<Pushed, Failure> {
    let digest = push_with_retries(tool, settings, what).await?;
    let pushed = tool
        .signals
        .unless_stopped(confirm(settings, registry, digest))
        .await??;
    log::info(
        "pushed",
        &[
            ("image", &settings.image.url),
            ("digest", &pushed.digest),
            ("children", &pushed.children.len()),
        ],
    );
    tool.signals
        .unless_stopped(tag(settings, registry, &pushed.digest))
        .await??;
    Ok(pushed)
}

async fn push_with_retries(
    tool: &mut Tool,
    settings: &Settings,
    what: &What,
) -> Result<Digest, Failure> {
    let digest_file = tool.scratch.path().join(DIGEST_FILE);
    let mut args = arguments(settings, what);
    let tls = settings.trust.of(settings.image.repository.registry());
    args.extend(tool.access(tls));
    args.extend(["--digestfile".into(), digest_file.clone().into()]);
    args.extend(settings.push_extra.iter().map(OsString::from));
    let (What::Image(source) | What::Index(source)) = what;
    args.extend(words(&[
        source,
        &format!("docker://{}", settings.image.url),
    ]));
    let mut tries = 0;
    loop {
        let ended = tool
            .call(Network::Shared, args.clone(), Stdout::Log)
            .await?;
        if ended.is_success() {
            break;
        }
        let cause = Cause::of(&ended);
        if !cause.may_pass() || tries == settings.push_retries {
            let what = match tries {
                0 => format!("pushing {}", settings.image.url),
                _ => format!("pushing {}, tried {} times", settings.image.url, tries + 1),
            };
            return Err(cause.failure(Doing::Pushing, &ended, what));
        }
        let wait = wait_before(tries);
        tries += 1;
        log::warn(
            "push failed, trying again",
            &[
                ("retry", &tries),
                ("of", &settings.push_retries),
                ("seconds", &wait.as_secs()),
            ],
        );
        tool.signals.unless_stopped(sleep(wait)).await?;
    }
    let text = fs::read_to_string(&digest_file).unwrap_or_default();
    text.trim().parse().map_err(|e| {
        Failure::outside(anyhow::Error::new(e).context("buildah ended well but wrote no digest"))
            .context(format!("pushing {}", settings.image.url))
    })
}

fn arguments(settings: &Settings, what: &What) -> Vec<OsString> {
    match what {
        // buildah tries again by itself, with a pause that does not grow: once is enough, the rest is ours.
        What::Image(_) => words(&["push", "--retry", "1"]),
        What::Index(_) => words(&[
            "manifest",
            "push",
            "--all",
            "--format",
            settings.format.index_name(),
        ]),
    }
}

/// 1 s, 2 s, 4 s, …, 30 s.
fn wait_before(tries: u32) -> Duration {
    WAITS
        .0
        .saturating_mul(2_u32.saturating_pow(tries))
        .min(WAITS.1)
}

async fn confirm(
    settings: &Settings,
    registry: &Registry,
    digest: Digest,
) -> Result<Pushed, Failure> {
    let repository = &settings.image.repository;
    let doing = || format!("asking the registry for {repository}@{digest}");
    match &settings.platforms {
        Platforms::Host | Platforms::One(_) => {
            let head = registry
                .head_manifest(repository, Reference::Digest(&digest))
                .await
                .map_err(|e| failed(e, doing()))?;
            match head {
                Some(head) if head.digest == digest => Ok(Pushed {
                    digest,
                    children: Vec::new(),
                }),
                _ => Err(lost(settings, &digest)),
            }
        }
        Platforms::Index(platforms) => {
            let index = registry
                .get_manifest(repository, Reference::Digest(&digest))
                .await
                .map_err(|e| failed(e, doing()))?;
            let Some(index) = index else {
                return Err(lost(settings, &digest));
            };
            let children = children(&index).map_err(|e| Failure::outside(e).context(doing()))?;
            if children.len() != platforms.len() {
                return Err(Failure::outside(anyhow!(
                    "the index {digest} has {} images, {} were built",
                    children.len(),
                    platforms.len()
                )));
            }
            Ok(Pushed { digest, children })
        }
    }
}

fn children(index: &Manifest) -> serde_json::Result<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Child>,
    }
    #[derive(Deserialize)]
    struct Child {
        digest: Digest,
    }
    let index: Index = serde_json::from_slice(&index.bytes)?;
    Ok(index
        .manifests
        .into_iter()
        .map(|child| child.digest)
        .collect())
}

/// Gives the same manifest more tags: its bytes, so its digest stays.
async fn tag(settings: &Settings, registry: &Registry, digest: &Digest) -> Result<(), Failure> {
    if settings.additional_tags.is_empty() {
        return Ok(());
    }
    let repository = &settings.image.repository;
    let manifest = registry
        .get_manifest(repository, Reference::Digest(digest))
        .await
        .map_err(|e| failed(e, format!("reading {repository}@{digest}")))?
        .ok_or_else(|| lost(settings, digest))?;
    for tag in &settings.additional_tags {
        registry
            .put_manifest(
                repository,
                Reference::Tag(tag),
                &manifest.media_type,
                &manifest.bytes,
            )
            .await
            .map_err(|e| failed(e, format!("tagging {repository}@{digest} as {tag}")))?;
        log::info(
            "tagged",
            &[
                ("image", &format!("{repository}:{tag}")),
                ("digest", digest),
            ],
        );
    }
    Ok(())
}

fn failed(error: Error, doing: String) -> Failure {
    Failure::from(error).context(doing)
}

fn lost(settings: &Settings, digest: &Digest) -> Failure {
    Failure::outside(anyhow!("the registry does not have {}@{digest}, though buildah pushed it", settings.image.name))
        .hint("a registry of several servers may need a moment, or something deletes images; run the task again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_up_to_half_a_minute() {
        let waits: Vec<_> = (0..7).map(|tries| wait_before(tries).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait_before(u32::MAX).as_secs(), 30);
    }
}
