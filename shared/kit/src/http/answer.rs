//! The successful response of a handler.
//!
//! **Shared caches.** A response is private unless its handler shares it, which takes an [`Anonymous`]: the proof that
//! the request had no access token. A response for a principal therefore cannot enter a shared cache, whatever cache
//! policy its route has.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri, header};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde::Serialize;
use souk_core::Document;

use super::cookie::{SameOrigin, set_cookie};
use super::{Anonymous, Problem, render};
use crate::telemetry::trace::hex;

/// A status, a body and the headers that depend on them.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    body: Bytes,
    /// The version of the document in the body, for `If-Match`.
    version: Option<u64>,
    location: Option<String>,
    content_type: &'static str,
    is_shared: bool,
    cookie: Option<HeaderValue>,
}

/// A resource is at another URL.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Redirect)]
pub struct Moved {
    /// Where it is, as in the header `Location`.
    location: String,
}

/// Response extension: shared caches may store the response, if its route has a public cache policy.
#[derive(Clone, Copy)]
pub(crate) struct Shared;

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self {
            status,
            body,
            version: None,
            location: None,
            content_type,
            is_shared: false,
            cookie: None,
        }
    }

    /// 200 with a body that is serialized JSON.
    pub fn raw(json: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "application/json", json.into())
    }

    /// 200 with `body` as JSON.
    pub fn json(body: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self::raw(serde_json::to_vec(body)?))
    }

    /// 200 with a document in its public form.
    #[must_use]
    pub fn document(document: &Document) -> Self {
        Self::raw(render(document)).version(document.version)
    }

    /// 200 with a body of another media type, such as HTML.
    pub fn file(content_type: &'static str, body: Cow<'static, [u8]>) -> Self {
        let body = match body {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        Self::new(StatusCode::OK, content_type, body)
    }

    /// 204 without a body.
    #[must_use]
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// 301: the resource is at this URL, whatever the method of the request was.
    pub fn moved(location: &str) -> Result<Self, Problem> {
        Self::redirect(StatusCode::MOVED_PERMANENTLY, location)
    }

    /// 308: the resource, which is the last part of the path of this request, has the name `name` now. The query is kept.
    pub fn renamed(uri: &Uri, name: &str) -> Result<Self, Problem> {
        let (parent, _) = uri.path().rsplit_once('/').unwrap_or_default();
        let location = match uri.query() {
            Some(query) => format!("{parent}/{name}?{query}"),
            None => format!("{parent}/{name}"),
        };
        Self::redirect(StatusCode::PERMANENT_REDIRECT, &location)
    }

    fn redirect(status: StatusCode, location: &str) -> Result<Self, Problem> {
        // A header is ASCII, a name need not be.
        let location = utf8_percent_encode(location, CONTROLS).to_string();
        let mut answer = Self::json(&Moved {
            location: location.clone(),
        })?;
        (answer.status, answer.location) = (status, Some(location));
        Ok(answer)
    }

    /// Changes the status to 201 and sets `Location` to this path.
    #[must_use]
    pub fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(location);
        self
    }

    /// Changes the status to 201, without a `Location`: for resources without a URL.
    #[must_use]
    pub fn issued(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// Changes the status to 202; `Location` is this path, where a client polls the job.
    #[must_use]
    pub fn accepted(mut self, location: String) -> Self {
        self.status = StatusCode::ACCEPTED;
        self.location = Some(location);
        self
    }

    /// Sets the version of the document in the body, so that clients can use the `ETag` with `If-Match`.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets the cookie of a session for so many seconds. The proof is that a page of the same origin asked for it.
    #[must_use]
    pub fn session_cookie(mut self, value: &str, seconds: i64, _proof: SameOrigin) -> Self {
        self.cookie = set_cookie(value, seconds);
        self
    }

    /// Removes the cookie of a session.
    #[must_use]
    pub fn without_session_cookie(mut self) -> Self {
        self.cookie = set_cookie("", 0);
        self
    }

    /// Allows shared caches to store the response, as the cache policy of its route says.
    #[must_use]
    pub(super) fn shared(mut self, _proof: &Anonymous) -> Self {
        self.is_shared = true;
        self
    }

    /// The `ETag`, such as `"v3-9f86d081884c7d65"`: the version of the document, for `If-Match`, and a digest of the
    /// body, for `If-None-Match`, because counters and included documents change without a new version.
    fn etag(&self) -> String {
        let mut tag = String::with_capacity(40);
        tag.push('"');
        if let Some(version) = self.version {
            tag.push('v');
            tag.push_str(&version.to_string());
            tag.push('-');
        }
        hex(&xxhash_rust::xxh3::xxh3_64(&self.body).to_be_bytes(), &mut tag);
        tag.push('"');
        tag
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = self.status;
        let etag = (status.is_success() && !self.body.is_empty()).then(|| self.etag());
        let mut response = Response::new(axum::body::Body::from(self.body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // Reserve space for all headers of the final response, so that the map is allocated once.
        headers.reserve(16);
        if !self.content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if let Some(value) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            headers.insert(header::ETAG, value);
        }
        if let Some(value) = self.location.and_then(|path| HeaderValue::from_str(&path).ok()) {
            headers.insert(header::LOCATION, value);
        }
        if let Some(cookie) = self.cookie {
            headers.insert(header::SET_COOKIE, cookie);
        }
        if self.is_shared {
            response.extensions_mut().insert(Shared);
        }
        response
    }
}
