//! Looks after configuration and key: what is wrong with them is told in an Event, in `readyz` and in a metric, before a run needs them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tekseal_cluster::{ConfigSource, Severity};
use tekseal_controller::metrics::Condition;
use tekseal_core::config::Choice as _;
use tekseal_signing::key_ref;
use tokio::time::timeout;

use crate::keys::{self, CERTIFICATES, Source};
use crate::live::{Live, State};
use crate::reconcile::Context;
use crate::trouble::chain;

/// How often the key is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What was told already.
#[derive(Default)]
struct Told {
    problem: Option<String>,
    differing: Option<String>,
    /// The key of each signer, by its name, and those of rules, by their namespaces.
    keys: HashMap<String, ToldKey>,
}

/// A key, by its fingerprint.
#[derive(Default)]
struct ToldKey {
    /// As it is, if it is there.
    now: Option<String>,
    /// As it was when it was last there.
    last: Option<String>,
}

impl Told {
    /// Takes note of the key of this name. Gives something if there is one that was not there at the last look: the one that it takes the place of, or
    /// nothing where there was none, or the same.
    fn note(&mut self, name: &str, found: Option<&str>) -> Option<Option<String>> {
        let key = self.keys.entry(name.to_owned()).or_default();
        if key.now.as_deref() == found {
            return None;
        }
        key.now = found.map(str::to_owned);
        let before = key.last.clone();
        key.last = Some(found?.to_owned());
        Some(before.filter(|before| Some(before.as_str()) != found))
    }
}

/// Looks for ever.
pub(crate) async fn watch(context: Arc<Context>, source: ConfigSource) {
    let mut settings = context.settings.clone();
    let mut told = Told::default();
    loop {
        let state = settings.borrow_and_update().clone();
        configuration(&context, &source, &state, &mut told).await;
        if let Some(live) = &state.live {
            key(&context, &source, live, &mut told).await;
        }
        match timeout(LOOK, settings.changed()).await {
            Ok(Ok(())) => context.mended.notify_one(),
            Ok(Err(_)) => return,
            Err(_) => {}
        }
    }
}

async fn configuration(context: &Context, source: &ConfigSource, state: &State, told: &mut Told) {
    let condition = match &state.problem {
        None => Condition::Good,
        Some(_) => Condition::Bad,
    };
    context.metrics.config(condition);
    // With the last good one the work goes on.
    context
        .health
        .set_configuration(match (&state.live, &state.problem) {
            (Some(_), _) => Ok(()),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err("it was not read yet".to_owned()),
        });
    if told.problem == state.problem {
        return;
    }
    let (severity, reason, note) = match &state.problem {
        Some(problem) if state.live.is_some() => {
            let note =
                format!("the configuration cannot be used and the last good one holds: {problem}");
            (Severity::Warning, "BadConfiguration", note)
        }
        Some(problem) => {
            let note = format!("the configuration cannot be used and nothing is signed: {problem}");
            (Severity::Warning, "BadConfiguration", note)
        }
        None => {
            let note = "the configuration can be used again".to_owned();
            (Severity::Normal, "GoodConfiguration", note)
        }
    };
    tell(context, source, severity, reason, &note).await;
    told.problem.clone_from(&state.problem);
}

async fn key(context: &Context, source: &ConfigSource, live: &Live, told: &mut Told) {
    let config = &live.config;
    let is_needed = config.enabled().next().is_some();
    let named = config.signers().cosign_key.as_str();
    let mut found = Vec::new();
    for kind in keys::kinds(config) {
        let platform = Source::of_platform(config, kind);
        let key = match &platform {
            // One is asked for when a run needs it: each stands in public logs for ever, and names another key.
            Ok(Source::Certificates) => None,
            Ok(platform) => Some(context.keys.get(platform, live).await),
            Err(error) => Some(Err(error.clone())),
        };
        let now = match &key {
            None => Some(CERTIFICATES),
            Some(key) => key.as_ref().ok().map(|key| key.fingerprint()),
        };
        if let Some(change) = told.note(kind.name(), now) {
            context.mended.notify_one();
            let whose = format!("what the signer {} does", kind.name());
            changed(context, source, &whose, change, now).await;
        }
        let trouble = platform.ok().and_then(|at| context.keys.trouble(&at));
        found.extend(trouble.map(Err));
        found.extend(key);
    }
    keys_of_rules(context, source, live, told).await;
    // All must be there; what is wrong with the first that is not is told.
    let bad = found.iter().position(Result::is_err);
    let Some(key) = found.get(bad.unwrap_or_default()).cloned() else {
        context.metrics.key(Condition::Good);
        context.health.set_key(Ok(()));
        return;
    };
    // Rules may have keys for all namespaces; then the platform needs none.
    let is_spared = !is_needed || !config.rules().keys.is_empty();
    let condition = match key.is_ok() || is_spared {
        true => Condition::Good,
        false => Condition::Bad,
    };
    context.metrics.key(condition);
    context.health.set_key(match &key {
        Err(error) if !is_spared => Err(error.story()),
        _ => Ok(()),
    });
    if named.is_empty() {
        return;
    }
    let (Ok(key), Ok(mounted)) = (key, context.keys.get(&Source::Mounted, live).await) else {
        return;
    };
    let (used, unused) = (
        key.public_key().fingerprint(),
        mounted.public_key().fingerprint(),
    );
    if used != unused && told.differing.as_ref() != Some(&unused) {
        let named = key_ref::shown(named);
        let note = format!(
            "signers.cosign.key ({named}, {used}) signs, and the mounted key ({unused}) does not"
        );
        tell(context, source, Severity::Warning, "KeysDiffer", &note).await;
        told.differing = Some(unused);
    }
}

/// Tells which keys of rules took the place of others. They are opened for runs alone: nothing is read here.
async fn keys_of_rules(context: &Context, source: &ConfigSource, live: &Live, told: &mut Told) {
    for rule in &live.config.rules().keys {
        let Ok(place) = Source::parse(&rule.key) else {
            continue;
        };
        let now = context.keys.known(&place);
        let name = format!("{:?}", rule.namespaces);
        if let Some(change) = told.note(&name, now.as_deref()) {
            let named = key_ref::shown(&rule.key);
            let whose = format!("for the namespaces to which tekseal.keys gives {named}");
            changed(context, source, &whose, change, now.as_deref()).await;
        }
    }
}

/// Tells that a key takes the place of another, if it does.
async fn changed(
    context: &Context,
    source: &ConfigSource,
    whose: &str,
    before: Option<String>,
    now: Option<&str>,
) {
    let (Some(before), Some(now)) = (before, now) else {
        return;
    };
    let note = format!(
        "{now} signs from now on {whose}, before it was {before}; whoever verifies must trust both while images of before are in use"
    );
    tell(context, source, Severity::Normal, "KeyChanged", &note).await;
}

async fn tell(
    context: &Context,
    source: &ConfigSource,
    severity: Severity,
    reason: &str,
    note: &str,
) {
    match severity {
        Severity::Normal => tracing::info!(%source, reason, note, "configuration"),
        Severity::Warning => tracing::warn!(%source, reason, note, "configuration"),
    }
    let told = context
        .events
        .of_configuration(source, severity, reason, note)
        .await;
    if let Err(error) = told {
        tracing::warn!(error = chain(&error), "no Event could be written");
    }
}

#[cfg(test)]
mod tests {
    use tekseal_cluster::ConfigSource;
    use tokio::sync::watch;

    use super::*;
    use crate::reconcile::tests::context;

    #[test]
    fn a_key_that_takes_the_place_of_another_is_told_once() {
        let mut told = Told::default();
        let mut note = |key| told.note("kms", key);
        assert_eq!(note(None), None);
        assert_eq!(note(Some("a")), Some(None), "the first one");
        assert_eq!(note(Some("a")), None);
        assert_eq!(note(None), None);
        assert_eq!(note(Some("a")), Some(None), "the same came back");
        assert_eq!(note(Some("b")), Some(Some("a".to_owned())));
        assert_eq!(note(None), None);
        assert_eq!(note(Some("c")), Some(Some("b".to_owned())));
        assert_eq!(told.note("x509", Some("x")), Some(None));
    }

    #[tokio::test]
    async fn who_waits_for_another_configuration_is_told_of_it() {
        let mut context = context().await;
        let (sender, settings) = watch::channel(State::default());
        context.settings = settings;
        let context = Arc::new(context);
        let source = ConfigSource::ConfigMap {
            namespace: "system".to_owned(),
            name: "chains-config".to_owned(),
        };
        let watchman = tokio::spawn(watch(Arc::clone(&context), source));
        tokio::task::yield_now().await;
        sender.send_modify(|state| state.problem = Some("bad".to_owned()));
        let told = timeout(LOOK, context.mended.notified()).await;
        told.expect("it changed");
        watchman.abort();
    }
}
