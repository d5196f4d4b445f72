//! Fetching the file of an import from its URL: bounded in size, time and redirects; each URL on the way passes the rules of
//! outbound calls.

use souk_core::outbound::{Call, OutboundError, Reply};
use souk_kit::Context;

use crate::import::{Import, MAX_FILE};

/// How long a server may take to send a file, redirects included, in milliseconds.
const FETCH_MS: i64 = 25_000;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// Why there is no file.
pub(crate) enum NoFile {
    /// This may be otherwise in a moment.
    Failed(String),
    /// It was not asked for; this is no attempt.
    NotNow(String),
    /// This will not change.
    Never(String),
}

/// The file at a URL.
pub(crate) async fn file_at(cx: &Context, import: &Import, mut url: String) -> Result<Vec<u8>, NoFile> {
    let end = cx.now().as_millisecond().saturating_add(FETCH_MS);
    for _ in 0..=MAX_REDIRECTS {
        // URLs may hold secrets, and this is logged.
        let host = host_of(&url).to_owned();
        let left = end.saturating_sub(cx.now().as_millisecond());
        let call = Call {
            method: "GET".into(),
            url: url.clone(),
            headers: vec![("user-agent".into(), "Souk-Imports/1".into())],
            body: String::new(),
            timeout_ms: u32::try_from(left).unwrap_or_default(),
            max_reply: MAX_FILE,
        };
        let reply = match cx.outbound.call_for(&import.owner, &import.id, call).await {
            Ok(reply) => reply,
            // Others are called for this account: the file waits.
            Err(error @ (OutboundError::Busy | OutboundError::Open)) => {
                return Err(NoFile::NotNow(format!("{host}: {error}")));
            }
            Err(error @ OutboundError::Refused(_)) => return Err(NoFile::Never(format!("{host}: {error}"))),
            Err(error) => return Err(NoFile::Failed(format!("{host}: {error}"))),
        };
        match (reply.status, location(&reply)) {
            (200, _) if reply.truncated => {
                let limit = MAX_FILE / 1024 / 1024;
                return Err(NoFile::Never(format!("the file is larger than {limit} MB")));
            }
            (200, _) => return Ok(reply.body),
            (301 | 302 | 303 | 307 | 308, Some(location)) => url = resolved(&url, location),
            (status @ (429 | 500..), _) => return Err(NoFile::Failed(format!("{host}: the status is {status}"))),
            (status, _) => return Err(NoFile::Never(format!("{host}: the status is {status}"))),
        }
    }
    Err(NoFile::Never("there are too many redirects".into()))
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

/// Where a redirect from a URL leads.
fn resolved(url: &str, location: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    let location = location.split('#').next().unwrap_or(location);
    match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{}{location}", host_of(url)),
        _ if location.starts_with('?') => format!("{scheme}://{path}{location}"),
        _ if location
            .split(['/', '?'])
            .next()
            .is_some_and(|start| start.ends_with(':')) =>
        {
            location.to_owned()
        }
        _ => {
            let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
            format!("{scheme}://{folder}/{location}")
        }
    }
}

fn location(reply: &Reply) -> Option<&str> {
    let header = reply.headers.iter().find(|(name, _)| name == "location");
    header.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_from_where_they_are() {
        let url = "https://a.example/feeds/all.csv?x=1#y";
        for (location, expected) in [
            ("https://b.example/z", "https://b.example/z"),
            ("//b.example/z#f", "https://b.example/z"),
            (
                "/dl?next=https://x.example/",
                "https://a.example/dl?next=https://x.example/",
            ),
            ("HTTP://b.example", "HTTP://b.example"),
            ("/z?q", "https://a.example/z?q"),
            ("z.csv", "https://a.example/feeds/z.csv"),
            ("?page=2", "https://a.example/feeds/all.csv?page=2"),
        ] {
            assert_eq!(resolved(url, location), expected);
        }
        assert_eq!(resolved("https://a.example", "z"), "https://a.example/z");
        assert_eq!(host_of("https://a.example:8443?x"), "a.example:8443");
    }
}
