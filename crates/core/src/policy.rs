//! What an image must show of its build: rules over statements that are verified already, and one answer for each rule.
//!
//! ```text
//!  Draft (as people write it) ─ Rules::new ─▶ Rules ─ judge(statement, now) ─▶ Judged    one a statement, small
//!                                                  └─ conclude(all of them) ─▶ Check     one a rule: found, wanted, where
//! ```
//!
//! The meaning is that of admission controllers, where they agree, and written down where they do not: of several statements all must satisfy the
//! rules, as for Kyverno and cosign, or any one of them all the rules, as for sigstore's policy-controller. A statement that lacks a field never
//! satisfies a rule on it. Everything is compared as it stands there, byte by byte: what differs by case, by a slash or by a look-alike is another.
//!
//! Nothing here verifies a signature: whoever calls this has done so, or judges what anybody may have written.
//!
//! Specification: <https://slsa.dev/spec/v1.2/verifying-artifacts>, «Check expectations».

mod check;
mod draft;
mod judge;
mod source;
mod succeeded;

pub use check::Check;
pub use draft::{Draft, Error, MOST_TEXT, MOST_VALUES, Quantifier, Rules};
pub use judge::{Judged, Rule};
pub use source::{repository_of, same_repository};

#[cfg(test)]
mod tests;
