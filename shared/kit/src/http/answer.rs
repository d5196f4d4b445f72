//! What a handler answers when all went well.
//!
//! **Who may see it.** An answer is for the caller alone, unless its handler shares it, which takes an [`Anonymous`]: a
//! proof that the request carried no access token. So an answer made for a principal cannot reach a shared cache, whatever
//! its route says.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use souk_core::Document;

use super::{Anonymous, Problem, render};
use crate::telemetry::trace::hex;

/// A status, a JSON body and the few headers that depend on them.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    body: Bytes,
    /// The version of the document that the body shows, for `If-Match`.
    version: Option<u64>,
    location: Option<String>,
    content_type: &'static str,
    is_shared: bool,
    /// Whether it holds secrets: then it has no `ETag`.
    is_secret: bool,
}

/// Marks a response that shared caches may keep, if its route says so.
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
            is_secret: false,
        }
    }

    /// 200 with JSON that is already text.
    pub fn raw(json: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "application/json", json.into())
    }

    /// 200 with `body` as JSON.
    pub fn json(body: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self::raw(serde_json::to_vec(body)?))
    }

    /// 200 with a document as clients see it.
    #[must_use]
    pub fn document(document: &Document) -> Self {
        Self::raw(render(document)).version(document.version)
    }

    /// 200 with something that is not JSON, such as a page.
    pub fn file(content_type: &'static str, body: &'static str) -> Self {
        Self::new(StatusCode::OK, content_type, Bytes::from_static(body.as_bytes()))
    }

    /// 204 without a body.
    #[must_use]
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// Turns it into a 201 whose `Location` is this path.
    #[must_use]
    pub fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED;
        self.location = Some(location);
        self
    }

    /// Turns it into a 201 for something that has no address.
    #[must_use]
    pub fn issued(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// Turns it into a 202: a job does it, and this path tells how it is going.
    #[must_use]
    pub fn accepted(mut self, location: String) -> Self {
        self.status = StatusCode::ACCEPTED;
        self.location = Some(location);
        self
    }

    /// Names the version of the document that it shows, so that its `ETag` can be used with `If-Match`.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Lets shared caches keep it as long as its route says.
    #[must_use]
    pub(super) fn shared(mut self, _proof: &Anonymous) -> Self {
        self.is_shared = true;
        self
    }

    /// Says that it holds secrets, of which no digest may be shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// `"v3-9f86d081884c7d65"`: the document's version, for `If-Match`, and a digest of these very bytes, for
    /// `If-None-Match`, because counts and inclusions change without the version.
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
        let etag = (status.is_success() && !self.body.is_empty() && !self.is_secret).then(|| self.etag());
        let mut response = Response::new(axum::body::Body::from(self.body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // All that an answer has in the end, so that the map need not grow on the way.
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
        if self.is_shared {
            response.extensions_mut().insert(Shared);
        }
        response
    }
}
