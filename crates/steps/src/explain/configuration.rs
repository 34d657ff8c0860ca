//! The configuration under which a run of a cluster is explained: the one in force as far as that can be known, and what stands in the way.
//!
//! A controller goes on with the last good configuration where it cannot use the one that is there. Which that is stands nowhere, so it is not
//! explained: what is explained in its place is said with it.

use jiff::Timestamp;
use serde::Serialize;
use tekseal_attest::settings;
use tekseal_cluster::{Cluster, ConfigSource};
use tekseal_core::config::Config;

use super::cluster::{Event, Unread};
use crate::Failure;
use crate::exit;
use crate::source_args::{ContextArgs, config_of_map};

/// What is explained, and how it came to that.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Where it was looked for; nothing where it was given with `--config`.
    place: Option<String>,
    /// Why what is explained is not what the controller does.
    trouble: Option<Trouble>,
    /// What the controller told of it lately, newest first.
    pub(super) events: Vec<Event>,
}

/// Why the configuration that is explained is not the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// It could not be read.
    Unread,
    /// It is not there.
    Absent,
    /// A key of it has no meaning: what it says is not known.
    Malformed(String),
    /// It has a meaning, and asks for what the controller does not do.
    BeyondController(String),
}

/// What is explained. The names are those of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Explained {
    /// The configuration that the controller has, or the one that was given.
    InForce,
    /// The one that is there, which the controller does not use.
    Unusable,
    /// What Tekton Chains does without a configuration.
    Defaults,
}

/// The most Events that are told of a configuration.
const MOST_EVENTS: usize = 3;
/// The reason of the Event after which older ones say nothing any more.
const MENDED: &str = "GoodConfiguration";
/// The reason of the Event that tells what is wrong.
pub(super) const BAD: &str = "BadConfiguration";

/// Reads the configuration from where the flags say, and what the controller told of it.
pub(super) async fn find(
    cluster: &Cluster,
    source: &ConfigSource,
    context: &ContextArgs,
    unread: &mut Unread,
) -> Result<(Config, Found), Failure> {
    if context.has_config() {
        let found = Found {
            place: None,
            trouble: None,
            events: Vec::new(),
        };
        return Ok((context.config()?, found));
    }
    let (read, told) = tokio::join!(
        cluster.settings(source),
        cluster.events_of_configuration(source)
    );
    let rights = "tekseal-explain-system in the namespace of the controller";
    let read = unread.known(read, rights);
    let told = unread.known(told, rights).unwrap_or_default();
    let events = told.into_iter().take_while(|event| event.reason != MENDED);
    let events = events.take(MOST_EVENTS).map(Event::of).collect();
    let (config, trouble) = match read {
        Some(Some(map)) => match config_of_map(&map) {
            Ok(config) => {
                let clock = || Timestamp::now().as_second();
                let judged = settings::foreseen(&config, &[], clock);
                (Some(config), judged.err().map(Trouble::BeyondController))
            }
            Err(refused) => (None, Some(Trouble::Malformed(exit::chain(&refused)))),
        },
        Some(None) => (None, Some(Trouble::Absent)),
        None => (None, Some(Trouble::Unread)),
    };
    let config = match config {
        Some(config) => config,
        None => config_of_map(&Default::default())
            .map_err(|e| Failure::misuse(e).context("Chains' defaults"))?,
    };
    let found = Found {
        place: Some(source.to_string()),
        trouble,
        events,
    };
    Ok((config, found))
}

impl Found {
    /// Whether it is where it was looked for, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.trouble != Some(Trouble::Absent)
    }

    pub(super) fn explained(&self) -> Explained {
        match &self.trouble {
            None => Explained::InForce,
            Some(Trouble::BeyondController(_)) => Explained::Unusable,
            Some(Trouble::Unread | Trouble::Absent | Trouble::Malformed(_)) => Explained::Defaults,
        }
    }

    /// Where it is, or why that is not what the controller does, in a sentence.
    pub(super) fn tell(&self) -> String {
        let Some(place) = &self.place else {
            return "as given with --config".to_owned();
        };
        let last_good = "tekseal's controller goes on with the last good one that it has read, which stands nowhere, and signs nothing if it has none";
        let defaults = "Chains' defaults are explained";
        match &self.trouble {
            None => place.clone(),
            Some(Trouble::Unread) => {
                format!("not known, because {place} could not be read; {defaults}")
            }
            Some(Trouble::Absent) => format!("there is no {place}: {last_good}; {defaults}"),
            Some(Trouble::Malformed(problem)) => {
                format!("{place} cannot be used: {problem}; {last_good}; {defaults}")
            }
            Some(Trouble::BeyondController(problem)) => format!(
                "{place} cannot be used: {problem}; {last_good}; what {place} says is explained"
            ),
        }
    }

    /// What is to be added to whatever follows from the configuration.
    pub(super) fn proviso(&self) -> Option<&'static str> {
        Some(match self.trouble.as_ref()? {
            Trouble::Unread => "by Chains' defaults, since the configuration is not known",
            Trouble::Absent => "by Chains' defaults, since there is no configuration",
            Trouble::Malformed(_) => "by Chains' defaults, since the configuration cannot be used",
            Trouble::BeyondController(_) => {
                "by a configuration that tekseal's controller does not use"
            }
        })
    }

    /// What a controller of ours does before it has a configuration that it can use.
    pub(super) fn fate(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        match self.trouble.as_ref()? {
            Trouble::Unread => {
                Some("that is by Chains' defaults, since the configuration is not known".to_owned())
            }
            Trouble::Absent => Some(format!(
                "that is by the last good configuration, and if the controller has none, not before there is a {place}"
            )),
            Trouble::Malformed(_) | Trouble::BeyondController(_) => Some(format!(
                "that is by the last good configuration, and if the controller has none, not before {place} is mended"
            )),
        }
    }

    /// That the controller refused what looks good from here.
    pub(super) fn doubt(&self) -> Option<String> {
        let newest = self.events.first()?;
        let is_refused = self.trouble.is_none() && newest.reason == BAD;
        is_refused.then(|| {
            format!(
                "the controller refused the configuration{}, and nothing is found wrong with it as it is now: it was mended since, or the controller is of another version",
                newest.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(trouble: Option<Trouble>, reasons: &[&str]) -> Found {
        let event = |reason: &&str| Event {
            at: Some("2026-03-01T10:00:00Z".to_owned()),
            by: "tekseal-controller".to_owned(),
            reason: (*reason).to_owned(),
            note: String::new(),
            count: 1,
        };
        Found {
            place: Some("ConfigMap a/b".to_owned()),
            trouble,
            events: reasons.iter().map(event).collect(),
        }
    }

    #[test]
    fn only_what_is_in_force_is_told_without_a_proviso() {
        let refused = || "x".to_owned();
        for (trouble, explained) in [
            (None, Explained::InForce),
            (Some(Trouble::Unread), Explained::Defaults),
            (Some(Trouble::Absent), Explained::Defaults),
            (Some(Trouble::Malformed(refused())), Explained::Defaults),
            (
                Some(Trouble::BeyondController(refused())),
                Explained::Unusable,
            ),
        ] {
            let found = found(trouble.clone(), &[]);
            assert_eq!(found.explained(), explained, "{trouble:?}");
            assert_eq!(found.proviso().is_some(), trouble.is_some(), "{trouble:?}");
            let is_plain = found.tell() == "ConfigMap a/b";
            assert_eq!(is_plain, trouble.is_none(), "{trouble:?}");
        }
    }

    #[test]
    fn an_event_about_what_looks_good_is_a_doubt() {
        assert!(found(None, &[BAD]).doubt().is_some());
        assert_eq!(found(None, &["KeysDiffer"]).doubt(), None);
        assert_eq!(found(None, &[]).doubt(), None);
        assert_eq!(found(Some(Trouble::Absent), &[BAD]).doubt(), None);
    }
}
