//! What is changed in a signature, one thing at a time, and what is said to it.
//!
//! Every table begins with nothing changed, which passes, so it is the change that is refused afterwards; digests are made anew, so the registry hands
//! out everything. No message may name what is wrong in another row that says something else. The real cosign 3 is asked too, with the same flags: it
//! refuses the same, but where a row says why not.

mod annotated;
mod attested;
mod bundled;
mod keyless;
mod listed;
mod stamped;

use std::fmt::Write as _;

use tekseal_harness::{Cosign, Output, Registry, cosign};

use super::specimen::Specimen;
use super::{IDENTITY, ISSUER, error, file, root, verify};

use Peer::{Accepts, Agrees, Refuses};
use Verdict::{Passes, Says};

/// What is changed, how, what is said to it, and what cosign thinks.
type Row = (&'static str, fn(&mut Specimen), Verdict, Peer);

/// What is said to a change.
#[derive(Clone, Copy)]
enum Verdict {
    /// It decides nothing.
    Passes,
    /// Exit status 1, and this in the error.
    Says(&'static str),
}

/// What cosign 3 thinks.
#[derive(Clone, Copy)]
enum Peer {
    /// The same.
    Agrees,
    /// It accepts what is refused here, for a reason.
    Accepts(&'static str),
    /// It refuses what is accepted here, for a reason.
    Refuses(&'static str),
}

/// How a table is asked about.
struct Asked {
    /// Flags that have the same meaning for both programs.
    flags: Vec<String>,
    /// The predicate type of the attestation that is asked for; a signature without.
    attested: Option<&'static str>,
}

impl Asked {
    /// Signed with the key `a`, and logged.
    fn of_key() -> Self {
        Self::with(["--key".to_owned(), file("a.pub")])
    }

    /// Signed without a key, and logged.
    fn of_identity() -> Self {
        let identity = [
            ("--certificate-identity", IDENTITY),
            ("--certificate-oidc-issuer", ISSUER),
        ];
        Self::with(
            identity
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]),
        )
    }

    fn with(who: impl IntoIterator<Item = String>) -> Self {
        Self {
            flags: who
                .into_iter()
                .chain(["--trusted-root".to_owned(), root()])
                .collect(),
            attested: None,
        }
    }

    fn attesting(mut self, predicate_type: &'static str) -> Self {
        self.attested = Some(predicate_type);
        self
    }

    fn and(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Without the trusted root, which is the last flag of all.
    fn without_root(mut self) -> Self {
        self.flags.truncate(self.flags.len() - 2);
        self
    }

    fn ours(&self, image: &str) -> Output {
        let run = match self.attested {
            None => verify(&["--only", "signature"]),
            Some(kind) => verify(&["--only", "attestation", "--type", kind]),
        };
        run.args(&self.flags).arg(image).run()
    }

    fn theirs(&self, cosign: &Cosign, image: &str) -> Output {
        let run = match self.attested {
            None => cosign.run("verify"),
            Some(kind) => cosign.run("verify-attestation").args(["--type", kind]),
        };
        // Without the log at its default address, where an entry is missing.
        run.arg("--offline=true").args(&self.flags).arg(image).run()
    }
}

/// Tries every row in a repository of its own, and tells of all that are not as they should be.
#[track_caller]
fn hold(asked: &Asked, specimen: &Specimen, rows: &[Row]) {
    let registry = Registry::start();
    let cosign = cosign("3.1.3");
    let mut wrong = String::new();
    let mut said = Vec::new();
    assert!(matches!(rows[0], ("nothing", _, Passes, Agrees)));
    for (at, (change, make, verdict, peer)) in rows.iter().enumerate() {
        let mut changed = specimen.clone();
        make(&mut changed);
        let image = changed.publish(&registry, &format!("row-{at}"));
        let ours = asked.ours(&image);
        if !is_as_wanted(&ours, *verdict) {
            let _ = writeln!(wrong, "{change}:\n{ours:?}");
        }
        said.push(error(&ours).to_owned());
        let Some(cosign) = &cosign else { continue };
        let theirs = asked.theirs(cosign, &image);
        let accepts = match (verdict, peer) {
            (Passes, Agrees) | (Says(_), Accepts(_)) => true,
            (Says(_), Agrees) | (Passes, Refuses(_)) => false,
            (Passes, Accepts(_)) | (Says(_), Refuses(_)) => panic!("{change}: that is agreeing"),
        };
        if accepts != (theirs.code() == Some(0)) {
            let though = match peer {
                Agrees => "though the same is right",
                Accepts(why) | Refuses(why) => why,
            };
            let _ = writeln!(
                wrong,
                "{change}: cosign thinks otherwise, {though}:\n{theirs:?}"
            );
        }
    }
    for ((change, _, verdict, _), said) in rows.iter().zip(&said) {
        for (other, _, of_other, _) in rows {
            if let (Says(wanted), Says(foreign)) = (verdict, of_other)
                && !wanted.contains(foreign)
                && said.contains(foreign)
            {
                let _ = writeln!(wrong, "{change}: says what is said to {other}: {said}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn is_as_wanted(output: &Output, verdict: Verdict) -> bool {
    match verdict {
        Passes => output.code() == Some(0) && !output.stdout.is_empty(),
        Says(wanted) => {
            output.code() == Some(1) && output.stdout.is_empty() && error(output).contains(wanted)
        }
    }
}
