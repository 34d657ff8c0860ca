//! Looks after configuration and key: what is wrong with them is told in an Event, in `readyz` and in a metric, before a run needs them.

use std::sync::Arc;
use std::time::Duration;

use tekseal_cluster::{ConfigSource, Severity};
use tekseal_controller::metrics::Condition;
use tokio::time::timeout;

use crate::keys::{self, Source};
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
    /// The keys of the platform, by fingerprint, where all are there.
    key: Option<String>,
    /// What they were when they were last there.
    last: Option<String>,
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
    let signs = [config.taskrun(), config.pipelinerun(), config.oci()];
    let is_needed = signs.iter().any(|artifact| artifact.is_enabled());
    let named = config.signers().cosign_key.as_str();
    let mut found = Vec::new();
    for kind in keys::kinds(config) {
        let key = match Source::of_platform(config, kind) {
            Ok(platform) => context.keys.get(&platform, live).await,
            Err(error) => Err(error),
        };
        found.push(key);
    }
    // All must be there; what is wrong with the first that is not is told.
    let key = found
        .iter()
        .find(|key| key.is_err())
        .or(found.first())
        .expect("there is always a signer")
        .clone();
    let now: Option<Vec<_>> = found.iter().map(|key| key.as_ref().ok()).collect();
    let now = now.map(|keys| {
        let mut all: Vec<_> = keys
            .iter()
            .map(|key| key.fingerprint().to_owned())
            .collect();
        all.dedup();
        all.join(", ")
    });
    if now.is_some() && now != told.key {
        context.mended.notify_one();
    }
    told.key.clone_from(&now);
    if let Some(now) = now
        && told.last.as_ref() != Some(&now)
    {
        if let Some(before) = &told.last {
            let note = format!(
                "{now} signs from now on, before it was {before}; whoever verifies must trust both while images of before are in use"
            );
            tell(context, source, Severity::Normal, "KeyChanged", &note).await;
        }
        told.last = Some(now);
    }
    // Rules may have keys for all namespaces; then the platform needs none.
    let is_spared = !is_needed || !config.rules().keys.is_empty();
    let condition = match key.is_ok() || is_spared {
        true => Condition::Good,
        false => Condition::Bad,
    };
    context.metrics.key(condition);
    context.health.set_key(match &key {
        Err(error) if !is_spared => Err(chain(error)),
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
        let note = format!(
            "signers.cosign.key ({named}, {used}) signs, and the mounted key ({unused}) does not"
        );
        tell(context, source, Severity::Warning, "KeysDiffer", &note).await;
        told.differing = Some(unused);
    }
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
