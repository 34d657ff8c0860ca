//! Where AWS is: the region, and the URL of a service in it.
//!
//! In the order of AWS's SDKs: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html>,
//! `…/feature-ss-endpoints.html`, `…/feature-endpoints.html`.

use tekseal_remote::rest::Url;
use tekseal_signing::key_ref::AwsKey;

use super::credentials::{Profile, imds};
use crate::{Context, Error};

/// A service with endpoints of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// The key management service.
    Kms,
    /// The security token service.
    Sts,
}

/// How regions of a partition begin, and what the names of its endpoints end with; the last is for services that are reached by IPv6 too.
const PARTITIONS: [(&str, &str, Option<&str>); 8] = [
    (
        "cn-",
        "amazonaws.com.cn",
        Some("api.amazonwebservices.com.cn"),
    ),
    ("us-gov-", "amazonaws.com", Some("api.aws")),
    ("eusc-", "amazonaws.eu", Some("api.amazonwebservices.eu")),
    ("us-iso-", "c2s.ic.gov", None),
    ("us-isob-", "sc2s.sgov.gov", None),
    ("eu-isoe-", "cloud.adc-e.uk", None),
    ("us-isof-", "csp.hci.ic.gov", None),
    ("", "amazonaws.com", Some("api.aws")),
];

impl Service {
    /// As it stands in names of hosts and in signatures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::Sts => "sts",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Kms => "AWS_ENDPOINT_URL_KMS",
            Self::Sts => "AWS_ENDPOINT_URL_STS",
        }
    }

    /// Its URL in a region: that of a variable, or the one that AWS gives it.
    pub(super) fn url(self, region: &str, context: &Context) -> Result<Url, Error> {
        let is_on = |name: &str| {
            let value = context.variable(name);
            value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        if !is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            for name in [self.variable(), "AWS_ENDPOINT_URL"] {
                if let Some(text) = context.variable(name) {
                    return configured(name, &text);
                }
            }
        }
        let of_region = PARTITIONS
            .into_iter()
            .find(|(prefix, ..)| region.starts_with(prefix));
        let (_, suffix, dual) = of_region.expect("the last one is for every region");
        let suffix = match is_on("AWS_USE_DUALSTACK_ENDPOINT") {
            false => suffix,
            true => dual.ok_or_else(|| Error::Setting {
                name: "AWS_USE_DUALSTACK_ENDPOINT".to_owned(),
                reason: format!("the region {region} has no such endpoints"),
            })?,
        };
        let fips = match is_on("AWS_USE_FIPS_ENDPOINT") {
            true => "-fips",
            false => "",
        };
        let url = format!("https://{}{fips}.{region}.{suffix}/", self.name());
        // Not every name of letters, digits and hyphens is one: `xn--` begins another alphabet.
        Url::parse(&url).map_err(|_| Error::Setting {
            name: format!("the region {region}"),
            reason: "no name of a host can have it".to_owned(),
        })
    }
}

/// The URL of the service that holds `key`.
pub(super) fn of_key(key: &AwsKey, region: &str, context: &Context) -> Result<Url, Error> {
    if key.endpoint.is_empty() {
        return Service::Kms.url(region, context);
    }
    // As cosign does it: always https.
    configured(
        &format!("the endpoint of {key}"),
        &format!("https://{}/", key.endpoint),
    )
}

/// The region of `key`, or of this process.
pub(super) async fn region(
    key: &AwsKey,
    profile: &Profile,
    context: &Context,
) -> Result<String, Error> {
    if let Some(region) = key.region() {
        return checked("the region of the ARN", region);
    }
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(region) = context.variable(name) {
            return checked(name, &region);
        }
    }
    if let Some(region) = profile.region() {
        return checked("the region of the profile", region);
    }
    match imds::region(context).await {
        Ok(region) => checked("the region of the instance", &region),
        Err(why) => Err(Error::Setting {
            name: "AWS_REGION".to_owned(),
            reason: format!(
                "nothing says in which region the key is: it and AWS_DEFAULT_REGION are not set, no profile has a region, {why}; set it, or give the key as \
                 an ARN"
            ),
        }),
    }
}

/// A region is a part of a host's name: it must not make another name of it.
fn checked(name: &str, region: &str) -> Result<String, Error> {
    let is_good = (1..=63).contains(&region.len())
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !region.starts_with('-')
        && !region.ends_with('-');
    match is_good {
        true => Ok(region.to_owned()),
        false => Err(Error::Setting {
            name: name.to_owned(),
            reason: "a region has small letters, digits and hyphens alone".to_owned(),
        }),
    }
}

/// A URL that somebody set.
pub(super) fn configured(name: &str, text: &str) -> Result<Url, Error> {
    let refused = |reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(text).map_err(|_| refused("it is no absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("it begins with neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it has a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has a query or a fragment"));
    }
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    match url.path().bytes().all(is_plain) {
        true => Ok(url),
        false => Err(refused(
            "its path has characters that would have to be escaped",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Settings;

    fn context(variables: &'static [(&str, &str)]) -> Context {
        let get = move |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.into())
        };
        Context::with_variables(Settings::default(), Arc::new(get))
    }

    fn url(service: Service, region: &str, variables: &'static [(&str, &str)]) -> String {
        let url = service.url(region, &context(variables));
        url.map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    #[test]
    fn each_partition_has_its_own_suffix() {
        for (region, wanted) in [
            ("eu-west-1", "https://kms.eu-west-1.amazonaws.com/"),
            ("us-gov-west-1", "https://kms.us-gov-west-1.amazonaws.com/"),
            ("cn-north-1", "https://kms.cn-north-1.amazonaws.com.cn/"),
            ("eusc-de-east-1", "https://kms.eusc-de-east-1.amazonaws.eu/"),
            ("us-iso-east-1", "https://kms.us-iso-east-1.c2s.ic.gov/"),
            (
                "us-isob-east-1",
                "https://kms.us-isob-east-1.sc2s.sgov.gov/",
            ),
        ] {
            assert_eq!(url(Service::Kms, region, &[]), wanted);
        }
        let fips = &[("AWS_USE_FIPS_ENDPOINT", "true")];
        let wanted = "https://kms-fips.us-gov-west-1.amazonaws.com/";
        assert_eq!(url(Service::Kms, "us-gov-west-1", fips), wanted);
        let dual = &[("AWS_USE_DUALSTACK_ENDPOINT", "True")];
        let wanted = "https://sts.eu-west-1.api.aws/";
        assert_eq!(url(Service::Sts, "eu-west-1", dual), wanted);
        assert!(url(Service::Kms, "us-iso-east-1", dual).contains("no such endpoints"));
        for region in ["xn--a", "xn--zz", "xn--"] {
            let said = url(Service::Kms, region, &[]);
            let is_host = said == format!("https://kms.{region}.amazonaws.com/");
            assert!(is_host || said.contains("no name of a host"), "{said}");
        }
    }

    #[test]
    fn the_url_of_one_service_goes_before_that_of_all() {
        let both = &[
            ("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1"),
            ("AWS_ENDPOINT_URL", "https://all.example/a/b"),
        ];
        assert_eq!(url(Service::Kms, "x", both), "http://127.0.0.1:1/");
        assert_eq!(url(Service::Sts, "x", both), "https://all.example/a/b");
        let ignored = &[
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ];
        let wanted = "https://kms.eu-west-1.amazonaws.com/";
        assert_eq!(url(Service::Kms, "eu-west-1", ignored), wanted);
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused_and_not_shown() {
        for (text, why) in [
            ("kms.example", "no absolute URL"),
            ("ftp://kms.example", "neither http"),
            ("https://a:hunter2@kms.example", "user name"),
            ("https://kms.example/?hunter2", "query"),
            ("https://kms.example/a%20b", "escaped"),
        ] {
            let error = configured("X", text)
                .expect_err("it is no good")
                .to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for region in ["", "eu west", "evil.example/", "-a", "a-", "EU", "é"] {
            assert!(checked("AWS_REGION", region).is_err(), "{region}");
        }
        assert!(checked("AWS_REGION", "us-east-1").is_ok());
    }
}
