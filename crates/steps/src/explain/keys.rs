//! Which key would sign, as the configuration says: nothing is opened, so a key that is not there is named all the same.

use std::collections::BTreeMap;

use tekseal_core::config::{Choice as _, Config, Namespaces, SignerKind};
use tekseal_core::credential;
use tekseal_signing::key_ref;

/// What decides on the key.
pub(super) struct Keys<'c> {
    pub(super) config: &'c Config,
    /// The run's namespace; empty for a run that was in no cluster.
    pub(super) namespace: &'c str,
    /// The labels of the namespace, where they are known.
    pub(super) labels: Option<&'c BTreeMap<String, String>>,
}

impl Keys<'_> {
    /// The key that signs what the configuration gives this signer.
    pub(super) fn of(&self, signer: SignerKind) -> String {
        let mut perhaps = Vec::new();
        let own = self.config.rules().keys.iter().find_map(|rule| {
            let key = shown(&rule.key);
            match (&rule.namespaces, self.labels) {
                (Namespaces::Labelled(wanted), None) => {
                    let wanted: Vec<_> = wanted.iter().map(|(k, v)| format!("{k}={v}")).collect();
                    let wanted = wanted.join(",");
                    perhaps.push(format!("{key} if the namespace has the labels {wanted}"));
                    None
                }
                (namespaces, labels) => namespaces
                    .has(self.namespace, labels.unwrap_or(&BTreeMap::new()))
                    .then(|| format!("{key} (tekseal.keys)")),
            }
        });
        let key = own.unwrap_or_else(|| self.of_platform(signer));
        match perhaps.is_empty() {
            true => key,
            // The rules that come before.
            false => format!(
                "{}, which is not known here, else {key}",
                perhaps.join(", or ")
            ),
        }
    }

    fn of_platform(&self, signer: SignerKind) -> String {
        let signers = self.config.signers();
        if !signers.cosign_key.is_empty() {
            return format!("{} (signers.cosign.key)", shown(&signers.cosign_key));
        }
        match signer {
            SignerKind::None => "none".to_owned(),
            SignerKind::Kms if signers.kms.key_ref.is_empty() => {
                "kms, but signers.kms.kmsref is not set".to_owned()
            }
            SignerKind::Kms => format!("kms {}", shown(&signers.kms.key_ref)),
            SignerKind::X509 if signers.x509.fulcio_enabled => {
                format!("a certificate of {}", shown(&signers.x509.fulcio_address))
            }
            SignerKind::X509 => format!(
                "{}, x509.pem or cosign.key of signing-secrets",
                signer.name()
            ),
        }
    }
}

/// A reference or URL of the configuration, unless somebody put a secret in its place.
pub(crate) fn shown(value: &str) -> String {
    match credential::looks_like("", value) {
        Some(what) => format!("(not shown: it looks like {what})"),
        None => key_ref::shown(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_the_namespace_names_the_key() {
        let rules =
            "team-a: k8s://team-a/k\nteam=blue,tier=1: k8s://blue/k\nteam-b: k8s://team-b/k";
        let map = [("tekseal.keys".to_owned(), rules.to_owned())];
        let config = Config::from_map(&map.into()).expect("a good map");
        let of = |namespace: &str, labels: Option<&[(&str, &str)]>| {
            let labels = labels.map(|labels| {
                let labels = labels.iter();
                labels.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
            });
            let (config, labels) = (&config, labels.as_ref());
            Keys {
                config,
                namespace,
                labels,
            }
            .of(SignerKind::X509)
        };
        let blue: &[_] = &[("team", "blue"), ("tier", "1")];
        let mounted = "x509, x509.pem or cosign.key of signing-secrets";
        let perhaps = "k8s://blue/k if the namespace has the labels team=blue,tier=1, which is not known here, else ";
        for (namespace, labels, key) in [
            ("team-a", None, "k8s://team-a/k (tekseal.keys)".to_owned()),
            (
                "team-a",
                Some(blue),
                "k8s://team-a/k (tekseal.keys)".to_owned(),
            ),
            (
                "team-b",
                Some(blue),
                "k8s://blue/k (tekseal.keys)".to_owned(),
            ),
            (
                "team-b",
                Some(&blue[..1]),
                "k8s://team-b/k (tekseal.keys)".to_owned(),
            ),
            (
                "team-b",
                None,
                format!("{perhaps}k8s://team-b/k (tekseal.keys)"),
            ),
            ("other", Some(&[]), mounted.to_owned()),
            ("other", None, format!("{perhaps}{mounted}")),
        ] {
            assert_eq!(of(namespace, labels), key, "{namespace} {labels:?}");
        }
    }
}
