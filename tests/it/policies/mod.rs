//! Policies that `tekseal-policy render` made, each judged by the program that enforces it, over images that our programs made: which may run,
//! and which may not and why.
//!
//! ```text
//!   roles    images, each signed and attested (or not) in its way, in one registry
//!   rendered a kind of policy with flags ──▶ files ──▶ its peer ──▶ Verdict
//!   table    (kind, flags) ──▶ which roles are accepted, and which refused with what reason
//! ```
//!
//! A refusal because something was not reached, and a policy that loaded no rule, fail: `tekseal_harness::Verdict` sees to it.

mod aged;
mod audit;
mod certified;
mod cosign;
mod filled;
mod gallery;
mod guide;
mod keyless;
mod logged;
mod no_verdict;
mod predicates;
mod rendered;
mod roles;
mod succeeded;
mod table;
mod written;
