//! Roles of images: what our signer, our generator of provenance and our uploader, or cosign, leave beside each.

/// The builder that policies want.
pub(super) const BUILDER: &str = "https://tekton.dev/chains/v2";
/// Another.
const FOREIGN_BUILDER: &str = "https://builder.example.org/v1";
/// The repository that policies want, as a run tells it.
pub(super) const SOURCE: &str = "https://git.example.com/team/app";
/// Another.
const FOREIGN_SOURCE: &str = "https://git.example.com/fork/app";
/// The commit that was built.
pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What Chains and we call SLSA v0.2 and v1.
const V02: &str = "in-toto";
const V1: &str = "slsa/v2alpha4";

/// What is beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Unsigned,
    /// A signature, and no attestation.
    Signed,
    /// A second signature, under the name with the tag.
    SignedTagIdentity,
    /// A signature by another key.
    OtherKey,
    /// The signature of [`Role::Signed`], copied to another image of its repository.
    Tampered,
    /// A signature and provenance v0.2; so are all of them unless they say otherwise.
    AttV02,
    AttV1,
    /// The provenance names a foreign builder.
    AttV02Evil,
    AttV1Evil,
    /// The provenance, of both versions, is of another repository's source.
    AttForeignSource,
    /// The signature is by our key, the provenance, of both versions, by another.
    AttOtherKey,
    /// Two of v0.2, one with a foreign builder.
    AttV02Mixed,
    BothTypes,
    /// No signature.
    AttOnlyV02,
    /// A signature of its own, and the attestation of [`Role::AttV1`], copied to another image of its repository.
    AttReplayed,
    /// Signature and provenance v1 as bundles that refer to the image.
    BundleV1,
    BundleV02,
    BundleV1Evil,
    BundleOtherKey,
    BundleSigOnly,
    /// No signature.
    BundleAttOnly,
    /// Provenance v0.2 written by hand: a good one, and the others differ from it as they say.
    Written,
    /// The builder is a variable of Kyverno, and the build type is the builder.
    BuilderIsVariable,
    /// The materials are no list.
    MaterialsObject,
    /// A material is no object.
    MaterialsMixed,
    /// There is no builder.
    NoBuilder,
    /// All tasks of the run succeeded.
    Succeeded,
    OneFailed,
    /// The run has no task.
    NoTasks,
    /// The same three with provenance v1.
    SucceededV1,
    OneFailedV1,
    NoTasksV1,
    /// v0.2 in bundles that refer to the image.
    BundleSucceeded,
    BundleOneFailed,
    /// Under tags and as bundles.
    EveryLayoutV1,
    /// With the entries of a log.
    TlogV02,
    TlogV1,
    /// The same in bundles.
    BundleLogged,
    /// Signature, provenance v0.2 and v1 under tags, by cosign with a certificate for the builder that policies want.
    Keyless,
    /// For another ServiceAccount of the same cluster.
    KeylessStranger,
    /// For somebody with an e-mail address, by another issuer.
    KeylessPerson,
    /// For the builder, and no log has an entry.
    KeylessUnlogged,
    /// The same in bundles that refer to the image.
    BundleKeyless,
    BundleKeylessStranger,
    BundleKeylessPerson,
    BundleKeylessUnlogged,
}

impl Role {
    /// What needs no log.
    pub(super) const QUICK: &'static [Self] = &[
        Self::Unsigned,
        Self::Signed,
        Self::SignedTagIdentity,
        Self::OtherKey,
        Self::Tampered,
        Self::AttV02,
        Self::AttV1,
        Self::AttV02Evil,
        Self::AttV1Evil,
        Self::AttForeignSource,
        Self::AttOtherKey,
        Self::AttV02Mixed,
        Self::BothTypes,
        Self::AttOnlyV02,
        Self::AttReplayed,
        Self::BundleV1,
        Self::BundleV02,
        Self::BundleV1Evil,
        Self::BundleOtherKey,
        Self::BundleSigOnly,
        Self::BundleAttOnly,
        Self::Written,
        Self::BuilderIsVariable,
        Self::MaterialsObject,
        Self::MaterialsMixed,
        Self::NoBuilder,
        Self::Succeeded,
        Self::OneFailed,
        Self::NoTasks,
        Self::SucceededV1,
        Self::OneFailedV1,
        Self::NoTasksV1,
        Self::BundleSucceeded,
        Self::BundleOneFailed,
        Self::EveryLayoutV1,
    ];

    /// What our programs make with a log.
    pub(super) const LOGGED: &'static [Self] = &[Self::TlogV02, Self::TlogV1, Self::BundleLogged];

    /// What our programs do for it, one after the other.
    pub(super) fn deeds(self) -> Vec<Deed> {
        let good = Deed {
            what: What::Both,
            format: V1,
            builder: BUILDER,
            source: SOURCE,
            signer: Signer::Ours,
            layout: "tags",
            is_logged: false,
        };
        let v02 = Deed {
            format: V02,
            ..good
        };
        let bundle = Deed {
            layout: "bundle",
            ..good
        };
        let signature = Deed {
            what: What::Signature,
            ..good
        };
        let other = Signer::Other;
        let evil = FOREIGN_BUILDER;
        match self {
            Self::Unsigned
            | Self::Tampered
            | Self::Keyless
            | Self::KeylessStranger
            | Self::KeylessPerson
            | Self::KeylessUnlogged
            | Self::BundleKeyless
            | Self::BundleKeylessStranger
            | Self::BundleKeylessPerson
            | Self::BundleKeylessUnlogged => vec![],
            Self::Signed | Self::AttReplayed => vec![signature],
            Self::SignedTagIdentity => vec![Deed {
                what: What::SignatureWithTag,
                ..good
            }],
            Self::OtherKey => vec![Deed {
                signer: other,
                ..signature
            }],
            Self::AttV02 => vec![v02],
            Self::AttV1 => vec![good],
            Self::AttV02Evil => vec![Deed {
                builder: evil,
                ..v02
            }],
            Self::AttV1Evil => vec![Deed {
                builder: evil,
                ..good
            }],
            Self::AttForeignSource => [v02, good]
                .map(|deed| Deed {
                    source: FOREIGN_SOURCE,
                    ..deed
                })
                .into(),
            Self::AttOtherKey => {
                let attestation = |deed| Deed {
                    what: What::Attestation,
                    signer: other,
                    ..deed
                };
                vec![signature, attestation(v02), attestation(good)]
            }
            Self::AttV02Mixed => vec![
                v02,
                Deed {
                    builder: evil,
                    ..v02
                },
            ],
            Self::BothTypes => vec![v02, good],
            Self::AttOnlyV02 => vec![Deed {
                what: What::Attestation,
                ..v02
            }],
            Self::BundleV1 => vec![bundle],
            Self::BundleV02 => vec![Deed {
                format: V02,
                ..bundle
            }],
            Self::BundleV1Evil => vec![Deed {
                builder: evil,
                ..bundle
            }],
            Self::BundleOtherKey => vec![Deed {
                signer: other,
                ..bundle
            }],
            Self::BundleSigOnly => vec![Deed {
                what: What::Signature,
                ..bundle
            }],
            Self::BundleAttOnly => vec![Deed {
                what: What::Attestation,
                ..bundle
            }],
            Self::Written
            | Self::BuilderIsVariable
            | Self::MaterialsObject
            | Self::MaterialsMixed
            | Self::NoBuilder
            | Self::Succeeded
            | Self::OneFailed
            | Self::NoTasks
            | Self::SucceededV1
            | Self::OneFailedV1
            | Self::NoTasksV1 => vec![
                signature,
                Deed {
                    what: What::Written(self),
                    ..good
                },
            ],
            Self::BundleSucceeded | Self::BundleOneFailed => [What::Signature, What::Written(self)]
                .map(|what| Deed { what, ..bundle })
                .into(),
            Self::EveryLayoutV1 => vec![Deed {
                layout: "both",
                ..good
            }],
            Self::TlogV02 => vec![Deed {
                is_logged: true,
                ..v02
            }],
            Self::TlogV1 => vec![Deed {
                is_logged: true,
                ..good
            }],
            Self::BundleLogged => vec![Deed {
                is_logged: true,
                ..bundle
            }],
        }
    }

    /// Whose tag is copied to this image, and which.
    pub(super) fn copies(self) -> Option<(Self, &'static str)> {
        match self {
            Self::Tampered => Some((Self::Signed, "sig")),
            Self::AttReplayed => Some((Self::AttV1, "att")),
            _ => None,
        }
    }

    /// Where it lies: what is copied from another image is there too.
    pub(super) fn repository(self) -> String {
        let named = self.copies().map_or(self, |(from, _)| from);
        format!("policies/{}", named.tag())
    }

    /// Its tag.
    pub(super) fn tag(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// What one run of our programs makes.
#[derive(Clone, Copy)]
pub(super) enum What {
    Signature,
    SignatureWithTag,
    Attestation,
    Both,
    /// The provenance of this role, as it was written.
    Written(Role),
}

/// With whose key.
#[derive(Clone, Copy)]
pub(super) enum Signer {
    Ours,
    Other,
}

/// One run of our programs.
#[derive(Clone, Copy)]
pub(super) struct Deed {
    pub(super) what: What,
    pub(super) format: &'static str,
    pub(super) builder: &'static str,
    pub(super) source: &'static str,
    pub(super) signer: Signer,
    pub(super) layout: &'static str,
    pub(super) is_logged: bool,
}
