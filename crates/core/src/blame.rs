//! Who must act on an error: every error of the outside says so, and the programs turn it into an exit code or a decision to try again.

/// Who must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Absent or malformed content: look at the artifact (exit 1).
    Artifact,
    /// Credentials or settings: somebody must change something (exit 2).
    Setting,
    /// Network, time-out, 5xx: trying again later may help (exit 3).
    Outside,
}
