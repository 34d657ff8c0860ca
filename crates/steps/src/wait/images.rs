//! Waiting for an image: nobody tells when something is stored beside it, so the registry is asked, ever less often.

use std::time::Duration;

use anyhow::anyhow;
use tekseal_core::{Digest, DigestRef, bundle, cosign};
use tekseal_remote::Registry;
use tekseal_remote::registry::Reference;
use tekseal_remote::store;
use tekseal_remote::store::tree::Referrer;
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
    /// What lay beside the image when it was verified last.
    judged: Option<Vec<String>>,
    /// Why it is not signed yet.
    reason: Option<Failure>,
}

/// What lies beside an image.
struct Beside {
    /// Under each of cosign's tags that are wanted.
    tags: Vec<(cosign::Tag, Option<Digest>)>,
    /// What names the image as its subject, as far as it may be a bundle or a signature.
    referrers: Vec<Referrer>,
    /// Why that is not known.
    unlisted: Option<Failure>,
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
        let beside = match Beside::look(&check.registry, image, tags).await {
            Ok(beside) => beside,
            Err(failure) => return self.pass_over(failure),
        };
        let is_verified = check.of_task_runs.is_some();
        if let Some(tag) = beside.missing(is_verified) {
            let reason = anyhow!("image {image} has no {} yet", name_of(tag));
            match beside.unlisted {
                Some(failure) if failure.code() == exit::MISUSE => return Err(failure),
                unlisted => self.reason = Some(unlisted.unwrap_or_else(|| Failure::no(reason))),
            }
            return Ok(None);
        }
        let Some(demands) = &check.of_task_runs else {
            return Ok(Some(Vec::new()));
        };
        let found = beside.digests();
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

impl Beside {
    async fn look(
        registry: &Registry,
        image: &DigestRef,
        tags: &[cosign::Tag],
    ) -> Result<Self, Failure> {
        let mut found = Vec::with_capacity(tags.len());
        for tag in tags {
            found.push((*tag, head(registry, image, *tag).await?));
        }
        let (referrers, unlisted) = match store::referrers(registry, image).await {
            Ok((_, referrers)) => (referrers, None),
            Err(error) => (Vec::new(), Some(Failure::from(error))),
        };
        let referrers = referrers.into_iter();
        Ok(Self {
            tags: found,
            referrers: referrers.filter(Referrer::may_hold_signatures).collect(),
            unlisted,
        })
    }

    /// The first of the tags whose content is nowhere. What is verified may be anything until then.
    fn missing(&self, is_verified: bool) -> Option<cosign::Tag> {
        let refers = |tag| {
            let mut referrers = self.referrers.iter();
            referrers.any(|referrer| is_verified || may_be(referrer, tag))
        };
        let mut tags = self.tags.iter();
        let missing = tags.find(|(tag, found)| found.is_none() && !refers(*tag));
        missing.map(|(tag, _)| *tag)
    }

    /// The digests of all of it, in an order of their own.
    fn digests(&self) -> Vec<String> {
        let tagged = self.tags.iter().filter_map(|(_, found)| found.as_ref());
        let tagged = tagged.map(ToString::to_string);
        let referrers = self.referrers.iter();
        let referring = referrers.map(|referrer| referrer.digest.clone());
        let mut all: Vec<String> = tagged.chain(referring).collect();
        all.sort();
        all
    }
}

/// Whether a referrer may be in the place of what lies under a tag, as the list says; lists need not say it.
fn may_be(referrer: &Referrer, tag: cosign::Tag) -> bool {
    let predicate = referrer.annotations.get(bundle::PREDICATE_TYPE_ANNOTATION);
    let is_signature = match predicate {
        Some(predicate) => predicate == cosign::SIGN_PREDICATE,
        None if referrer.artifact_type.as_deref() == Some(cosign::SIGNATURE_ARTIFACT) => true,
        None => return true,
    };
    is_signature == (tag == cosign::Tag::Signatures)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn referrer(kind: &str, predicate: Option<&str>) -> Referrer {
        let annotation = |text: &str| {
            let name = bundle::PREDICATE_TYPE_ANNOTATION.to_owned();
            (name, text.to_owned())
        };
        Referrer {
            digest: "sha256:00".to_owned(),
            media_type: String::new(),
            size: 7,
            artifact_type: Some(kind.to_owned()),
            annotations: predicate.map(annotation).into_iter().collect(),
        }
    }

    #[test]
    fn a_referrer_stands_for_what_it_says_it_is_or_for_anything_that_is_verified() {
        use cosign::Tag::{Attestations, Signatures};
        let bundle = bundle::MEDIA_TYPE_V03;
        let provenance = Some("https://slsa.dev/provenance/v1");
        let missing = |referrers: Vec<Referrer>, is_verified| {
            let beside = Beside {
                tags: vec![(Signatures, None), (Attestations, None)],
                referrers,
                unlisted: None,
            };
            beside.missing(is_verified)
        };
        let sign = || referrer(bundle, Some(cosign::SIGN_PREDICATE));
        let attested = || referrer(bundle, provenance);
        for (referrers, wanted) in [
            (vec![], Some(Signatures)),
            (vec![sign()], Some(Attestations)),
            (vec![attested()], Some(Signatures)),
            (vec![attested(), sign()], None),
            (
                vec![referrer(cosign::SIGNATURE_ARTIFACT, None)],
                Some(Attestations),
            ),
            (vec![referrer(bundle, None)], None),
        ] {
            assert_eq!(missing(referrers, false), wanted);
        }
        assert_eq!(missing(vec![attested()], true), None);
        assert_eq!(missing(Vec::new(), true), Some(Signatures));
    }
}
