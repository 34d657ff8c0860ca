//! The ConfigMap in which a controller remembers the keys whose Records it believes: how its data is named.
//!
//! ```text
//!   key-FINGERPRINT                        ForAll
//!   process-key-20261201T012800Z.FINGERPRINT   OfProcess
//!   namespace-key-NAMESPACE.FINGERPRINT    For(NAMESPACE)
//! ```

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Name of the ConfigMap, in the controller's own namespace.
pub const MEMORY: &str = "tekseal-controller";

const OF_PLATFORM: &str = "key-";
const OF_PROCESS: &str = "process-key-";
const OF_NAMESPACE: &str = "namespace-key-";
const START: &str = "%Y%m%dT%H%M%SZ";

/// Whose Records a key vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouches {
    /// All runs': it is the platform's key.
    ForAll,
    /// All runs', as long as not too many processes have had another one since: it is gone with the process that has it.
    OfProcess,
    /// Those of one namespace's runs: it is the namespace's own key, and the platform has none.
    For(String),
}

impl Vouches {
    /// What the key under this name of the data vouches for; nothing, if it is no name of a key.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if name.starts_with(OF_PLATFORM) {
            return Some(Self::ForAll);
        }
        if name.starts_with(OF_PROCESS) {
            return Some(Self::OfProcess);
        }
        let (namespace, _) = name.strip_prefix(OF_NAMESPACE)?.split_once('.')?;
        Some(Self::For(namespace.to_owned()))
    }

    /// The name of the data for a key with this fingerprint, as far as a key of a ConfigMap can hold that. Names of processes' keys are in the order of
    /// their starts.
    #[must_use]
    pub fn name(&self, fingerprint: &str, now: Timestamp) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let key: String = fingerprint.chars().map(plain).collect();
        match self {
            Self::ForAll => format!("{OF_PLATFORM}{key}"),
            Self::OfProcess => format!("{OF_PROCESS}{}.{key}", now.strftime(START)),
            Self::For(namespace) => format!("{OF_NAMESPACE}{namespace}.{key}"),
        }
    }
}

/// When the process started whose key has this name.
#[must_use]
pub fn process_start(name: &str) -> Option<Timestamp> {
    let (start, _) = name.strip_prefix(OF_PROCESS)?.split_once('.')?;
    let at = DateTime::strptime(START, start).ok()?;
    TimeZone::UTC.to_timestamp(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_its_key_vouches_for() {
        let now: Timestamp = "2026-12-01T01:28:00Z".parse().expect("a time");
        for (vouches, wanted, start) in [
            (Vouches::ForAll, "key-SHA256_a_b_", None),
            (
                Vouches::OfProcess,
                "process-key-20261201T012800Z.SHA256_a_b_",
                Some(now),
            ),
            (
                Vouches::For("ci".to_owned()),
                "namespace-key-ci.SHA256_a_b_",
                None,
            ),
        ] {
            let name = vouches.name("SHA256:a+b=", now);
            assert_eq!(name, wanted);
            assert_eq!(Vouches::of_name(&name), Some(vouches));
            assert_eq!(process_start(&name), start);
        }
        for other in ["", "note", "namespace-key-odd", "keys"] {
            assert_eq!(Vouches::of_name(other), None, "{other}");
        }
        assert_eq!(process_start("process-key-once.SHA256_a"), None);
    }
}
