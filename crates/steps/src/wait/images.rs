//! Waiting for an image: nobody tells when something is stored beside it, so the registry is asked, ever less often.

use std::time::Duration;

use anyhow::anyhow;
use tekseal_core::{Digest, DigestRef, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::Reference;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Answer, Check, Outcome, Verdict, name_of, not, verified};
use crate::verify::Report;
use crate::{Failure, exit, log};

/// The first wait, and the longest.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);

/// What is known of the image by now.
#[derive(Default)]
struct Known {
    /// What lay under the tags when it was verified last.
    judged: Option<Vec<Digest>>,
    /// Why it is not signed yet.
    reason: Option<Failure>,
}

/// Waits until what is wanted lies beside the image, and is good where it is verified.
///
/// # Errors
/// If the registry refuses us, or did not answer at the end.
pub(super) async fn wait(
    check: &Check,
    image: &DigestRef,
    tags: &[cosign::Tag],
    deadline: Instant,
) -> Result<Verdict, Failure> {
    let mut known = Known::default();
    let mut pause = SHORTEST;
    let outcome = loop {
        let looked = timeout_at(deadline, known.look(check, image, tags)).await;
        if let Ok(looked) = looked
            && let Some(reports) = looked?
        {
            break Outcome::Signed(reports);
        }
        if deadline.saturating_duration_since(Instant::now()) < pause {
            break known.too_late(image)?;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    };
    Ok(Verdict {
        target: format!("image {image}"),
        outcome,
    })
}

impl Known {
    /// What was verified, once everything is there. What may still come, or pass, is remembered as the reason.
    async fn look(
        &mut self,
        check: &Check,
        image: &DigestRef,
        tags: &[cosign::Tag],
    ) -> Result<Option<Vec<Report>>, Failure> {
        let mut found = Vec::with_capacity(tags.len());
        for tag in tags {
            match head(&check.registry, image, *tag).await {
                Ok(Some(digest)) => found.push(digest),
                Ok(None) => {
                    let reason = anyhow!("image {image} has no {} yet", name_of(*tag));
                    self.reason = Some(Failure::no(reason));
                    return Ok(None);
                }
                Err(failure) => return self.pass_over(failure),
            }
        }
        let Some(demands) = &check.of_task_runs else {
            return Ok(Some(Vec::new()));
        };
        // Equal content has an equal verdict; only what is new is verified.
        if self.judged.as_ref() == Some(&found) {
            return Ok(None);
        }
        match verified(demands, &check.registry, image).await {
            Ok(Ok(report)) => return Ok(Some(vec![report])),
            Ok(Err(refusal)) => {
                log::info("not verified yet", &[("reason", &refusal.message())]);
                self.reason = Some(refusal);
            }
            Err(failure) => return self.pass_over(failure),
        }
        self.judged = Some(found);
        Ok(None)
    }

    /// What the outside could not do now it may do later; anything else is an error.
    fn pass_over(&mut self, failure: Failure) -> Result<Option<Vec<Report>>, Failure> {
        if failure.code() != exit::OUTSIDE {
            return Err(failure);
        }
        self.reason = Some(failure);
        Ok(None)
    }

    fn too_late(self, image: &DigestRef) -> Result<Outcome, Failure> {
        let reason = self
            .reason
            .unwrap_or_else(|| Failure::outside(anyhow!("the registry of {image} did not answer")));
        let reason = reason.context("waited in vain");
        // «No» would be said without having looked.
        if reason.code() == exit::OUTSIDE {
            return Err(reason);
        }
        Ok(not(Answer::Timeout, reason))
    }
}

async fn head(
    registry: &Registry,
    image: &DigestRef,
    tag: cosign::Tag,
) -> Result<Option<Digest>, Failure> {
    let tag = tag.of(&image.digest);
    let head = registry
        .head_manifest(&image.repository, Reference::Tag(&tag))
        .await?;
    Ok(head.map(|head| head.digest))
}
