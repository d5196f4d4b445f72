//! Response headers: those of every response, and those that depend on the request.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response};
use http_body_util::BodyExt as _;

use super::CachePolicy;
use super::selection::decimal;
use crate::Platform;
use crate::cache::{CacheStatus, CachedResponse};
use crate::limits::{Verdict, policies, states};
use crate::telemetry::Trace;
use crate::telemetry::trace::{REQUEST_ID, TRACEPARENT};

const EXPOSED: &str = "etag, location, retry-after, ratelimit, ratelimit-policy, www-authenticate, idempotency-replayed, x-request-id, traceparent, cache-status, server-timing, age, deprecation, sunset, link";
// `HeaderValue` constants are validated at compile time instead of for each response.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
const VARY: HeaderValue = HeaderValue::from_static("origin, authorization, cookie, souk-host, souk-tenant");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// For HTML pages of this API: only resources of the same origin.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

impl CacheStatus {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            CacheStatus::Hit => "Souk; hit; detail=memory",
            CacheStatus::Stale => "Souk; hit; detail=stale",
            CacheStatus::Stored => "Souk; fwd=miss; stored",
            CacheStatus::Collapsed => "Souk; fwd=miss; collapsed",
            CacheStatus::Miss => "Souk; fwd=miss",
            CacheStatus::Bypass => "Souk; fwd=bypass",
        })
    }

    /// The `Server-Timing` value. `micros` is the processing time, which is left out for cache hits.
    fn timing(self, micros: i64) -> HeaderValue {
        match self {
            CacheStatus::Hit | CacheStatus::Stale => HeaderValue::from_static("cache;desc=\"memory\""),
            CacheStatus::Stored | CacheStatus::Collapsed | CacheStatus::Miss | CacheStatus::Bypass => {
                let tenths = u64::try_from(micros / 100).unwrap_or(0);
                let mut text = b"app;dur=".to_vec();
                decimal(tenths / 10, &mut text);
                text.push(b'.');
                decimal(tenths % 10, &mut text);
                HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("app"))
            }
        }
    }
}

/// The parts of a request, beside its target and body, that affect the headers of its response.
pub(crate) struct RequestContext {
    pub(crate) trace: Trace,
    /// The `If-None-Match` header lines.
    pub(crate) etags: Vec<HeaderValue>,
    /// The `Origin`, if CORS allows it.
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) is_head: bool,
}

/// Adds the headers of every response that do not depend on the request.
pub(crate) fn common_headers(headers: &mut HeaderMap, cache: HeaderValue, https: bool) {
    headers.insert(header::CACHE_CONTROL, cache);
    headers.insert(header::VARY, VARY);
    let page = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    for (name, value) in SECURITY {
        headers.insert(name, value);
    }
    let policy = if page { PAGE_POLICY } else { DATA_POLICY };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    if https {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=63072000"),
        );
    }
}

/// The headers and the body of a response as stored in the cache. Headers that depend on the request are present and
/// empty, so that a hit does not reallocate the map.
pub(crate) async fn to_cache(
    parts: response::Parts,
    body: Body,
    cache: CachePolicy,
    platform: &Platform,
) -> (HeaderMap, Bytes) {
    let (mut headers, body) = (parts.headers, collect(body).await);
    common_headers(
        &mut headers,
        cache_control(cache, parts.status, platform.settings.cache.edge, false),
        platform.is_https(),
    );
    for name in [REQUEST_ID, TRACEPARENT, CACHE_STATUS, SERVER_TIMING, header::AGE] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    (headers, body)
}

pub(crate) async fn collect(mut body: Body) -> Bytes {
    // Nearly every body is a single frame that is already in memory.
    let first = match body.frame().await {
        Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        Some(Err(_)) | None => return Bytes::new(),
    };
    if body.is_end_stream() {
        return first;
    }
    match body.collect().await {
        Ok(rest) => [first, rest.to_bytes()].concat().into(),
        Err(_) => Bytes::new(),
    }
}

/// Response extension: send this cached response instead.
#[derive(Clone)]
pub(crate) struct FromCache(pub(crate) Arc<CachedResponse>, pub(crate) CacheStatus);

impl IntoResponse for FromCache {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

impl RequestContext {
    /// Builds the response to this request from a cached response, at `now` (milliseconds since 1970).
    pub(crate) fn answer(
        &self,
        cached: &CachedResponse,
        status: CacheStatus,
        now: i64,
        micros: i64,
    ) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        let mut headers = cached.headers.clone();
        if matches!(status, CacheStatus::Hit | CacheStatus::Stale) {
            headers.insert(header::AGE, age(now.saturating_sub(cached.made_at) / 1000));
        } else {
            headers.remove(header::AGE);
        }
        *response.headers_mut() = headers;
        *response.body_mut() = cached.body.clone();
        self.respond(&mut response, status, micros);
        response
    }

    /// Completes a response for this request: 304, HEAD, CORS, trace, `Cache-Status` and `Server-Timing`.
    pub(crate) fn respond(&self, response: &mut http::Response<Bytes>, status: CacheStatus, micros: i64) {
        if !self.etags.is_empty()
            && let Some(own) = response.headers().get(header::ETAG)
            && response.status() == StatusCode::OK
            && self.etags.iter().any(|sent| matches(sent, own))
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Bytes::new();
            // Keep the other headers: a client updates its stored response with them (RFC 9111).
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        if self.is_head {
            // The hosts set `Content-Length` from the body, which is empty here.
            let length = std::mem::take(response.body_mut()).len();
            if response.status() != StatusCode::NOT_MODIFIED {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
        }
        let headers = response.headers_mut();
        if let Some(origin) = &self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        self.trace.write(headers);
        headers.insert(CACHE_STATUS, status.header());
        headers.insert(SERVER_TIMING, status.timing(micros));
    }
}

/// The `Age` of a cached response in seconds (RFC 9111), so that caches in front of the host do not keep it longer than
/// allowed. The most frequent values are static.
fn age(seconds: i64) -> HeaderValue {
    const YOUNG: [&str; 16] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
    ];
    let seconds = seconds.max(0);
    match usize::try_from(seconds).ok().and_then(|n| YOUNG.get(n)) {
        Some(text) => HeaderValue::from_static(text),
        None => seconds.into(),
    }
}

/// The `Cache-Control` value of a response. If its route allows caching: public if the handler shared it, and, if it is a success
/// for a request with a credential, for the client's own cache, which revalidates each time. Else `no-store`.
pub(crate) fn cache_control(cache: CachePolicy, status: StatusCode, shared: bool, credential: bool) -> HeaderValue {
    match cache {
        CachePolicy::Public { s_maxage, stale } if shared => {
            let text = format!("public, max-age=0, s-maxage={s_maxage}, stale-while-revalidate={stale}");
            HeaderValue::from_str(&text).unwrap_or(NO_STORE)
        }
        CachePolicy::Public { .. } if credential && (status.is_success() || status.is_redirection()) => {
            HeaderValue::from_static("private, no-cache")
        }
        _ if credential => HeaderValue::from_static("private, no-store"),
        _ => NO_STORE,
    }
}

/// Adds what limits said of a request (draft-ietf-httpapi-ratelimit-headers-11).
pub(super) fn limits(headers: &mut HeaderMap, verdicts: &[Verdict]) {
    let fields = [
        ("ratelimit-policy", policies(verdicts)),
        ("ratelimit", states(verdicts)),
    ];
    for (name, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Evaluates `If-None-Match` with weak comparison (RFC 9110).
fn matches(sent: &HeaderValue, own: &HeaderValue) -> bool {
    let (sent, own) = (sent.to_str().unwrap_or(""), own.to_str().unwrap_or(""));
    let mut tags = sent.split(',').map(str::trim);
    sent.trim() == "*" || tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == own)
}
