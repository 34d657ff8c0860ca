//! Reads the list of referrers (distribution-spec, «Listing Referrers»), all pages of it.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tekseal_core::Repository;

use crate::error::{Cause, shown};
use crate::exchange::{Call, Exchange, Target};
use crate::registry::media_type;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// More pages than this make no list that anybody wrote.
const MOST_PAGES: usize = 100;

/// The part of an index that pages have to be joined by; the descriptors stay as they are.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    manifests: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Whole {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    #[serde(rename = "mediaType")]
    media_type: &'static str,
    manifests: Vec<Box<RawValue>>,
}

/// The index at `path`; `None` if the registry has no such API. All pages together have at most `limit` bytes.
pub(crate) async fn read(
    exchange: &Exchange,
    repository: &Repository,
    path: String,
    limit: u64,
) -> Result<Option<Vec<u8>>, Cause> {
    let mut call = Call::new(Method::GET, Target::Path(path));
    call.accept = Some(INDEX_TYPE);
    // Registries without the API say so in different ways.
    call.answers = &[400, 404, 405, 406];
    call.limit = limit;
    let mut first = None;
    let mut manifests = Vec::new();
    for _ in 0..MOST_PAGES {
        let answer = exchange.perform(repository, &call).await?;
        if answer.status != 200 || media_type(&answer.headers) != INDEX_TYPE {
            if first.is_none() {
                return Ok(None);
            }
            return Err(Cause::Status {
                url: shown(&answer.url),
                status: answer.status,
                detail: Default::default(),
                retry_after: None,
            });
        }
        let next = next_page(&answer.headers, &answer.url);
        call.limit -= answer.body.len() as u64;
        let is_only = first.is_none() && next.is_none();
        if is_only {
            return Ok(Some(answer.body));
        }
        let page: Page = serde_json::from_slice(&answer.body).map_err(|source| Cause::Index {
            url: shown(&answer.url),
            source,
        })?;
        manifests.extend(page.manifests);
        first.get_or_insert_with(|| shown(&answer.url));
        let Some(next) = next else {
            let whole = Whole {
                schema_version: 2,
                media_type: INDEX_TYPE,
                manifests,
            };
            let bytes = serde_json::to_vec(&whole).map_err(|source| Cause::Index {
                url: shown(&answer.url),
                source,
            })?;
            return Ok(Some(bytes));
        };
        call.target = Target::Url(next);
    }
    Err(Cause::TooLarge {
        url: first.unwrap_or_default(),
        limit,
    })
}

/// `Link: <url>; rel="next"` (RFC 8288), on the same server only.
fn next_page(headers: &HeaderMap, url: &Url) -> Option<Url> {
    let links = headers
        .get_all(LINK)
        .into_iter()
        .filter_map(|link| link.to_str().ok());
    let next = links.flat_map(|links| links.split(',')).find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| url.join(target).ok()).flatten()
    })?;
    (next.origin() == url.origin()).then_some(next)
}
