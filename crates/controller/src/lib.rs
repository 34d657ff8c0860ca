//! What surrounds the controller's work: its log, its figures, how it says that it is well, and whose turn it is.
//!
//! ```text
//!  the work ─┬─▶ logging   lines on stderr, with the run they are about
//!            ├─▶ metrics ──┐
//!            ├─▶ health ───┴─▶ server   /metrics, /healthz, /readyz
//!            └─◀ leader    may this replica work now?
//! ```
//!
//! Nothing here knows how a run is signed.

pub mod health;
pub mod leader;
pub mod logging;
pub mod metrics;
pub mod server;
