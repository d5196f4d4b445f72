//! Request headers that are inputs of operations.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use percent_encoding::percent_decode;
use souk_core::Fault;
use souk_core::check::normal_line;

use super::Problem;
use super::body::Payload;
use crate::operation::Idempotency;
use crate::{IfMatch, Platform};

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let lines = parts.headers.get_all(header::IF_MATCH).into_iter();
        let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or_default().trim()).collect();
        if lines.is_empty() || lines.contains(&"*") {
            return Ok(Self::default());
        }
        // Compare versions rather than bytes: a changed counter must not make an edit fail, nor a proxy that compresses
        // responses and therefore weakens their tags.
        let versions = lines.iter().flat_map(|line| line.split(',')).filter_map(|tag| {
            let tag = tag.trim();
            let tag = tag
                .strip_prefix("W/")
                .unwrap_or(tag)
                .strip_prefix("\"v")?
                .strip_suffix('"')?;
            tag.split('-').next()?.parse().ok()
        });
        Ok(Self::versions(versions.collect()))
    }
}

/// How much of a `User-Agent` is kept, in characters.
const MAX_AGENT: usize = 200;

/// The `User-Agent`, as much of it as anybody looks at. `None` if it is blank, or no text.
pub(super) fn agent(parts: &Parts) -> Option<String> {
    let text = parts.headers.get(header::USER_AGENT)?.to_str().ok()?;
    let text: String = text.trim().chars().take(MAX_AGENT).collect();
    Some(text).filter(|text| !text.is_empty())
}

/// How long a reason may be, in characters.
const MAX_REASON: usize = 500;

/// The `Souk-Reason`: why somebody changes what is somebody else's, for the audit log. `None` if it is blank.
pub(super) fn reason(parts: &Parts) -> Result<Option<String>, Problem> {
    let Some(header) = parts.headers.get("souk-reason") else {
        return Ok(None);
    };
    let fault = |fault| Problem::bad_parameter("Souk-Reason", fault);
    // Browsers send no letters beyond Latin-1, so the text may be percent-encoded.
    let text = percent_decode(header.as_bytes()).decode_utf8();
    let text = text.map_err(|_| fault(Fault::format("must be UTF-8, and may be percent-encoded")))?;
    if text.chars().count() > MAX_REASON {
        return Err(fault(Fault::too_long(MAX_REASON)));
    }
    Ok(Some(normal_line(&text)).filter(|text| !text.is_empty()))
}

/// The `Idempotency-Key` of a POST. Its scope is the account and the path; its fingerprint is of the target and the
/// body.
pub(super) fn idempotency(
    parts: &Parts,
    account: Option<&str>,
    platform: &Platform,
) -> Result<Option<Idempotency>, Problem> {
    let Some(header) = parts.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default().trim().trim_matches('"');
    if !(1..=255).contains(&text.len()) || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        let fault = Fault::format("must be 1 to 255 printable ASCII characters");
        return Err(Problem::bad_parameter("Idempotency-Key", fault));
    }
    let body = parts.extensions.get::<Payload>();
    let body = body.map(|payload| payload.0.clone()).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let fingerprint = platform.keys.digest(&[target.as_bytes(), b"\n", &body].concat());
    let scope = account.unwrap_or_default();
    let name = format!("{scope}\n{}\n{text}", parts.uri.path());
    Ok(Some(Idempotency::new(
        &platform.keys.digest(name.as_bytes()),
        fingerprint,
    )))
}
