//! Where a signer gets a certificate and leaves traces: the services that a signing configuration of Sigstore lists, and which of them to use.
//!
//! Specification: `SigningConfig` of <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>, version 0.2. Which
//! services are used follows sigstore-go, which cosign signs with: the highest API version that is supported and offered, at most one service of an
//! operator. Where sigstore-go draws lots (`ANY`, `EXACT`), the newest are taken here, so that the same configuration always means the same.

use std::collections::BTreeSet;

use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object};
use crate::strict_json::{self, Step};
use crate::trusted_root::{Validity, read_validity};

/// The media type of the version that is read.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// The most services of a kind.
const MOST_OF_A_KIND: usize = 64;
/// How many values a configuration may have: full lists have some 3000.
const MOST_VALUES: usize = 8192;
/// The longest URL or name.
const LONGEST_NAME: usize = 2048;

/// What a configuration says of logs, of timestamp authorities, and of who certifies keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SigningConfig {
    certificate_authorities: Services,
    logs: Services,
    timestamp_authorities: Services,
}

/// The services of a kind, and how many of them are to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Services {
    all: Vec<Service>,
    selector: Option<Selector>,
}

/// One log, or one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is: the base of a log, the whole address of an authority.
    pub url: String,
    /// The version of its protocol.
    pub api_version: u64,
    /// When it is to be used.
    pub valid: Validity,
    /// Who runs it.
    pub operator: String,
}

/// How many services are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    Any,
    All,
    Exact(u64),
}

/// What services are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Authorities that certify keys (Fulcio). One is used, whatever else is listed.
    Certificates,
    /// Transparency logs.
    Logs,
    /// Timestamp authorities.
    Timestamps,
}

/// Why a signing configuration is not read, or names nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A member is absent or malformed.
    #[error(transparent)]
    Member(#[from] protojson::Error),
    /// Something else than a signing configuration, or one of another version.
    #[error("the media type {0} is not {MEDIA_TYPE}")]
    MediaType(Excerpt),
    /// A selector that is not known.
    #[error("{place} is {found}, and neither ANY nor ALL nor EXACT")]
    Selector {
        /// Where.
        place: String,
        /// What stands there.
        found: Excerpt,
    },
    /// Services, and nothing that says how many of them are to be used.
    #[error("{0} has no selector")]
    NoSelector(&'static str),
    /// A time of use without any moment.
    #[error("{0} ends before it starts")]
    Backwards(String),
    /// None of the services can be used.
    #[error(
        "no service of {list} has a supported version ({}) and is in use now",
        list_of(versions)
    )]
    NoneUsable {
        /// Which list.
        list: &'static str,
        /// The versions that are supported.
        versions: Vec<u64>,
    },
    /// Fewer services than are asked for.
    #[error(
        "{list} has {found} services of different operators that can be used, {wanted} are asked for"
    )]
    TooFew {
        /// Which list.
        list: &'static str,
        /// How many there are.
        found: usize,
        /// How many are to be used.
        wanted: u64,
    },
}

impl SigningConfig {
    /// Reads a `signing_config.v0.2.json`.
    ///
    /// # Errors
    /// For what is none, and for what another reader may understand differently.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = Node::read(bytes, known_names, MOST_VALUES)?;
        let config = document.top()?;
        let media_type = config.text("mediaType", LONGEST_NAME)?;
        let media_type = config.need("mediaType", media_type)?;
        if media_type != MEDIA_TYPE {
            return Err(Error::MediaType(Excerpt::of(media_type)));
        }
        Ok(Self {
            certificate_authorities: read(&config, Purpose::Certificates)?,
            logs: read(&config, Purpose::Logs)?,
            timestamp_authorities: read(&config, Purpose::Timestamps)?,
        })
    }

    /// The services to use at this time (seconds since 1970), of the highest of the `versions` that any has; none where none is listed.
    ///
    /// # Errors
    /// If some are listed and none, or fewer than are asked for, can be used.
    pub fn services(
        &self,
        purpose: Purpose,
        versions: &[u64],
        time: i64,
    ) -> Result<Vec<&Service>, Error> {
        let list = purpose.list();
        let services = match purpose {
            Purpose::Certificates => &self.certificate_authorities,
            Purpose::Logs => &self.logs,
            Purpose::Timestamps => &self.timestamp_authorities,
        };
        if services.all.is_empty() {
            return Ok(Vec::new());
        }
        let selector = match (purpose.selector(), services.selector) {
            (None, _) => Selector::Any,
            (Some(_), Some(selector)) => selector,
            (Some(name), None) => return Err(Error::NoSelector(name)),
        };
        let is_usable = |service: &&Service| {
            versions.contains(&service.api_version) && service.valid.covers(time)
        };
        let mut usable: Vec<&Service> = services.all.iter().filter(is_usable).collect();
        let Some(version) = usable.iter().map(|service| service.api_version).max() else {
            return Err(Error::NoneUsable {
                list,
                versions: versions.to_vec(),
            });
        };
        usable.retain(|service| service.api_version == version);
        usable.sort_by_key(|service| std::cmp::Reverse(service.valid.start));
        let mut operators = BTreeSet::new();
        usable.retain(|service| operators.insert(service.operator.as_str()));
        let wanted = match selector {
            Selector::All => return Ok(usable),
            Selector::Any => 1,
            Selector::Exact(wanted) => wanted,
        };
        let most = usize::try_from(wanted).unwrap_or(usize::MAX);
        if most > usable.len() {
            return Err(Error::TooFew {
                list,
                found: usable.len(),
                wanted,
            });
        }
        usable.truncate(most);
        Ok(usable)
    }
}

impl Purpose {
    /// The member with the services.
    fn list(self) -> &'static str {
        match self {
            Self::Certificates => "caUrls",
            Self::Logs => "rekorTlogUrls",
            Self::Timestamps => "tsaUrls",
        }
    }

    /// The member that says how many of them are to be used; nothing where it is always one.
    fn selector(self) -> Option<&'static str> {
        match self {
            Self::Certificates => None,
            Self::Logs => Some("rekorTlogConfig"),
            Self::Timestamps => Some("tsaConfig"),
        }
    }
}

fn read(config: &Object<'_>, purpose: Purpose) -> Result<Services, Error> {
    let mut all = Vec::new();
    for item in config.list(purpose.list(), MOST_OF_A_KIND)? {
        all.push(read_service(&item.object()?)?);
    }
    let selector = match purpose.selector() {
        Some(name) => config.object(name)?,
        None => None,
    };
    let selector = selector.map(|selector| read_selector(&selector));
    Ok(Services {
        all,
        selector: selector.transpose()?.flatten(),
    })
}

fn read_service(service: &Object<'_>) -> Result<Service, Error> {
    let text = |name| service.text(name, LONGEST_NAME);
    let valid = match service.object("validFor")? {
        Some(range) => {
            let valid = read_validity(&range)?;
            valid.ok_or_else(|| Error::Backwards(range.place().to_owned()))?
        }
        None => Validity::default(),
    };
    let version = service.number("majorApiVersion")?;
    Ok(Service {
        url: service.need("url", text("url")?)?.to_owned(),
        api_version: service.need("majorApiVersion", version)?,
        valid,
        operator: text("operator")?.unwrap_or_default().to_owned(),
    })
}

/// What a selector says; nothing for one that says nothing.
fn read_selector(config: &Object<'_>) -> Result<Option<Selector>, Error> {
    let count = config.number("count")?.unwrap_or_default();
    match config.text("selector", LONGEST_NAME)? {
        None | Some("SERVICE_SELECTOR_UNDEFINED") => Ok(None),
        Some("ANY") => Ok(Some(Selector::Any)),
        Some("ALL") => Ok(Some(Selector::All)),
        Some("EXACT") if count > 0 => Ok(Some(Selector::Exact(count))),
        Some("EXACT") => Err(protojson::Error::Missing(config.place_of("count")).into()),
        Some(other) => Err(Error::Selector {
            place: config.place_of("selector"),
            found: Excerpt::of(other),
        }),
    }
}

fn list_of(versions: &[u64]) -> String {
    let versions: Vec<_> = versions.iter().map(u64::to_string).collect();
    versions.join(", ")
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    match strict_json::path(place, &mut Default::default()) {
        Some([]) => &[
            "mediaType",
            "caUrls",
            "oidcUrls",
            "rekorTlogUrls",
            "rekorTlogConfig",
            "tsaUrls",
            "tsaConfig",
        ],
        Some(["caUrls" | "oidcUrls" | "rekorTlogUrls" | "tsaUrls", "[]"]) => {
            &["url", "majorApiVersion", "validFor", "operator"]
        }
        Some(
            [
                "caUrls" | "oidcUrls" | "rekorTlogUrls" | "tsaUrls",
                "[]",
                "validFor",
            ],
        ) => &["start", "end"],
        Some(["rekorTlogConfig" | "tsaConfig"]) => &["selector", "count"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// 2026-06-01.
    const NOW: i64 = 1_780_272_000;

    fn sample(name: &str) -> SigningConfig {
        let bytes = samples::file(&format!("keys/{name}.json"));
        SigningConfig::parse(&bytes).expect("cosign's")
    }

    fn urls(config: &SigningConfig, purpose: Purpose, versions: &[u64]) -> Vec<String> {
        let services = config.services(purpose, versions, NOW).expect("usable");
        services.iter().map(|one| one.url.clone()).collect()
    }

    /// A configuration with these logs (name, version, start, end, operator) and this selector.
    fn with(
        logs: &[(&str, u64, &str, &str, &str)],
        selector: &str,
    ) -> Result<SigningConfig, Error> {
        let logs = logs.iter().map(|(url, version, start, end, operator)| {
            let end = match *end {
                "" => String::new(),
                end => format!(r#","end":"{end}""#),
            };
            format!(
                r#"{{"url":"{url}","majorApiVersion":{version},"validFor":{{"start":"{start}"{end}}},"operator":"{operator}"}}"#
            )
        });
        let logs = logs.collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"mediaType":"{MEDIA_TYPE}","rekorTlogUrls":[{logs}],"rekorTlogConfig":{selector}}}"#
        );
        SigningConfig::parse(text.as_bytes())
    }

    #[test]
    fn those_that_cosign_wrote_are_read() {
        for name in ["sc-rekor1", "sc-keyless1"] {
            let logs = urls(&sample(name), Purpose::Logs, &[1, 2]);
            assert_eq!(logs, ["http://127.0.0.1:3055"], "{name}");
        }
        let config = sample("sc-rekor2-tsa");
        let logs = urls(&config, Purpose::Logs, &[1, 2]);
        assert_eq!(logs, ["http://127.0.0.1:3056"]);
        let authorities = urls(&config, Purpose::Timestamps, &[1]);
        assert_eq!(authorities, ["http://127.0.0.1:3058/api/v1/timestamp"]);
        let authorities = urls(&sample("sc-keyless1"), Purpose::Certificates, &[1]);
        assert_eq!(authorities, ["http://127.0.0.1:3057"]);
        let none = sample("sc-none");
        assert!(urls(&none, Purpose::Certificates, &[1]).is_empty());
        assert!(urls(&none, Purpose::Logs, &[1, 2]).is_empty());
        assert!(urls(&none, Purpose::Timestamps, &[1]).is_empty());
    }

    const LOGS: [(&str, u64, &str, &str, &str); 6] = [
        ("old", 1, "2020-01-01T00:00:00Z", "", "x"),
        ("first", 2, "2025-01-01T00:00:00Z", "", "x"),
        ("newest", 2, "2026-01-01T00:00:00Z", "", "x"),
        ("other", 2, "2024-01-01T00:00:00Z", "", "y"),
        (
            "over",
            2,
            "2024-01-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
            "z",
        ),
        ("unknown", 3, "2026-01-01T00:00:00Z", "", "x"),
    ];

    #[test]
    fn the_newest_of_the_highest_version_are_chosen_one_of_an_operator() {
        for (selector, wanted) in [
            (r#"{"selector":"ANY"}"#, &["newest"][..]),
            (r#"{"selector":"ALL"}"#, &["newest", "other"]),
            (r#"{"selector":"EXACT","count":1}"#, &["newest"]),
            (r#"{"selector":"EXACT","count":2}"#, &["newest", "other"]),
        ] {
            let config = with(&LOGS, selector).expect("good");
            assert_eq!(urls(&config, Purpose::Logs, &[1, 2]), wanted, "{selector}");
        }
        let config = with(&LOGS, r#"{"selector":"ALL"}"#).expect("good");
        assert_eq!(urls(&config, Purpose::Logs, &[1]), ["old"]);
    }

    #[test]
    fn what_cannot_be_had_is_an_error_and_not_fewer() {
        let config = with(&LOGS, r#"{"selector":"EXACT","count":3}"#).expect("good");
        let error = config.services(Purpose::Logs, &[1, 2], NOW);
        assert!(matches!(
            error,
            Err(Error::TooFew {
                found: 2,
                wanted: 3,
                ..
            })
        ));
        let config = with(&LOGS[4..], r#"{"selector":"ANY"}"#).expect("good");
        let error = config.services(Purpose::Logs, &[1, 2], NOW);
        let error = error.expect_err("one is over, one is unknown");
        assert_eq!(
            error.to_string(),
            "no service of rekorTlogUrls has a supported version (1, 2) and is in use now"
        );
        let config = with(&LOGS, "{}").expect("good");
        let error = config.services(Purpose::Logs, &[1, 2], NOW);
        assert!(matches!(error, Err(Error::NoSelector("rekorTlogConfig"))));
    }

    #[test]
    fn what_is_none_is_refused_by_name() {
        let refused = |text: &str| {
            SigningConfig::parse(text.as_bytes())
                .expect_err(text)
                .to_string()
        };
        assert_eq!(refused("[]"), "not a JSON object");
        assert_eq!(refused("{}"), "mediaType is missing");
        let v1 = MEDIA_TYPE.replace("v0.2", "v0.1");
        assert!(refused(&format!(r#"{{"mediaType":"{v1}"}}"#)).contains("v0.1"));
        let selector = |text: &str| with(&LOGS, text).expect_err(text).to_string();
        assert_eq!(
            selector(r#"{"selector":"EXACT"}"#),
            "rekorTlogConfig.count is missing"
        );
        assert!(selector(r#"{"selector":"SOME"}"#).starts_with("rekorTlogConfig.selector is "));
        let backwards = [("u", 1, "2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "")];
        let error = with(&backwards, "{}").expect_err("it ends before it starts");
        assert_eq!(
            error.to_string(),
            "rekorTlogUrls[0].validFor ends before it starts"
        );
        let twice = format!(r#"{{"mediaType":"{MEDIA_TYPE}","tsaUrls":[],"tsaUrls":[]}}"#);
        assert!(SigningConfig::parse(twice.as_bytes()).is_err());
        let many = vec![LOGS[0]; 65];
        assert!(with(&many, "{}").is_err());
    }
}
