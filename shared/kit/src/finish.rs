//! From what a handler answers to what goes out: the headers that every answer has, and those that belong to a request.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response};
use http_body_util::BodyExt as _;

use crate::Platform;
use crate::cache::Ready;
use crate::route::Cache;
use crate::trace::Trace;
use crate::view::decimal;

const EXPOSED: &str =
    "etag, location, retry-after, idempotency-replayed, x-request-id, traceparent, cache-status, server-timing, age";
// Values in constants are checked when this is compiled, and not for each answer.
const SECURITY: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
const VARY: HeaderValue = HeaderValue::from_static("origin, authorization, cookie");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// For our own pages: their own files, and nothing from anywhere else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How an answer came about, for `Cache-Status` (RFC 9211) and `Server-Timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was there.
    Hit,
    /// It was there, and is being made anew.
    Stale,
    /// It was made, and kept.
    Stored,
    /// It was made for another request at the same time.
    Collapsed,
    /// It was made; something changed meanwhile, or ends by itself, so it was not kept.
    Passed,
    /// The cache has no part in it.
    Bypass,
}

impl Way {
    fn status(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Way::Hit => "Souk; hit; detail=memory",
            Way::Stale => "Souk; hit; detail=stale",
            Way::Stored => "Souk; fwd=miss; stored",
            Way::Collapsed => "Souk; fwd=miss; collapsed",
            Way::Passed => "Souk; fwd=miss",
            Way::Bypass => "Souk; fwd=bypass",
        })
    }

    /// `micros` is how long it took; who waits for a hit need not know.
    fn timing(self, micros: i64) -> HeaderValue {
        match self {
            Way::Hit | Way::Stale => HeaderValue::from_static("cache;desc=\"memory\""),
            Way::Stored | Way::Collapsed | Way::Passed | Way::Bypass => {
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

/// What an answer depends on beside what was asked for.
pub(crate) struct Asker {
    pub(crate) trace: Trace,
    /// `If-None-Match`, each line of it.
    pub(crate) etags: Vec<HeaderValue>,
    /// Its `Origin`, if its pages may call us.
    pub(crate) origin: Option<HeaderValue>,
    pub(crate) is_head: bool,
}

/// The headers of every answer that follow from the answer itself.
pub(crate) fn settle(headers: &mut HeaderMap, cache: HeaderValue, https: bool) {
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

/// The headers and the body of an answer to keep. Where each request has a header of its own there is an empty one, so
/// that a hit need not make room.
pub(crate) async fn ready(parts: response::Parts, body: Body, cache: Cache, platform: &Platform) -> (HeaderMap, Bytes) {
    let (mut headers, body) = (parts.headers, collect(body).await);
    settle(
        &mut headers,
        cache_control(cache, platform.settings.cache.edge, false),
        platform.is_https(),
    );
    for name in [
        crate::trace::REQUEST_ID,
        crate::trace::TRACEPARENT,
        CACHE_STATUS,
        SERVER_TIMING,
        header::AGE,
    ] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    (headers, body)
}

pub(crate) async fn collect(mut body: Body) -> Bytes {
    // Nearly every body is one piece that is there.
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

/// In the extensions of a response that stands for one of the cache.
#[derive(Clone)]
pub(crate) struct Served(pub(crate) Arc<Ready>, pub(crate) Way);

impl IntoResponse for Served {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

impl Asker {
    /// What goes out to them of an answer that everyone is given, at `now` (milliseconds since 1970).
    pub(crate) fn answer(&self, ready: &Ready, way: Way, now: i64, micros: i64) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        let mut headers = ready.headers.clone();
        if matches!(way, Way::Hit | Way::Stale) {
            headers.insert(header::AGE, age(now.saturating_sub(ready.made_at) / 1000));
        } else {
            headers.remove(header::AGE);
        }
        *response.headers_mut() = headers;
        *response.body_mut() = ready.body.clone();
        self.finish(&mut response, way, micros);
        response
    }

    /// What goes out to them of an answer that is complete but for what is theirs.
    pub(crate) fn finish(&self, response: &mut http::Response<Bytes>, way: Way, micros: i64) {
        if !self.etags.is_empty()
            && let Some(own) = response.headers().get(header::ETAG)
            && response.status() == StatusCode::OK
            && self.etags.iter().any(|sent| matches(sent, own))
        {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Bytes::new();
            // The others stay: a browser takes them over for the page that it has.
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        if self.is_head {
            // The hosts count every body but this.
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
        headers.insert(CACHE_STATUS, way.status());
        headers.insert(SERVER_TIMING, way.timing(micros));
    }
}

/// How long ago an answer was made (RFC 9111), so that caches in front keep it no longer than they should: in whole
/// seconds. What most hits are is there already.
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

/// `no-store` unless the answer is shared, its route allows it, and the request carried no credential.
pub(crate) fn cache_control(cache: Cache, shared: bool, credential: bool) -> HeaderValue {
    match cache {
        Cache::Public { s_maxage, stale } if shared => {
            let text = format!("public, max-age=0, s-maxage={s_maxage}, stale-while-revalidate={stale}");
            HeaderValue::from_str(&text).unwrap_or(NO_STORE)
        }
        _ if credential => HeaderValue::from_static("private, no-store"),
        _ => NO_STORE,
    }
}

/// `If-None-Match`, by weak comparison as RFC 9110 says.
fn matches(sent: &HeaderValue, own: &HeaderValue) -> bool {
    let (sent, own) = (sent.to_str().unwrap_or(""), own.to_str().unwrap_or(""));
    let mut tags = sent.split(',').map(str::trim);
    sent.trim() == "*" || tags.any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == own)
}
