//! What a handler answers when all went well.
//!
//! **Who may see it.** An answer is for the caller alone, unless its handler calls [`Answer::shared`], which asks for an
//! [`Anonymous`]: a proof, made only by the [`Viewer`](crate::Viewer) extractor, that the request carried no credential.
//! So an answer made for a principal cannot reach a shared cache, whatever its route says.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::trace::hex;
use crate::{Anonymous, Problem};

/// A status, a JSON body and the few headers that depend on them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    pub(crate) status: u16,
    #[serde(with = "text")]
    pub(crate) body: Bytes,
    /// The version of the document that the body shows, for `If-Match`.
    pub(crate) version: Option<u64>,
    pub(crate) location: Option<String>,
    pub(crate) content_type: Cow<'static, str>,
    #[serde(skip)]
    pub(crate) shared: bool,
    /// Whether it holds secrets, which are sealed where it is kept.
    pub(crate) secret: bool,
    #[serde(skip)]
    pub(crate) replayed: bool,
}

/// Bodies are text, and are kept as such.
mod text {
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(body))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(Bytes::from)
    }
}

/// Marks a response that shared caches may keep, if its route says so.
#[derive(Clone, Copy)]
pub(crate) struct Shared;

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self {
            status: status.as_u16(),
            body,
            version: None,
            location: None,
            content_type: content_type.into(),
            shared: false,
            secret: false,
            replayed: false,
        }
    }

    /// 200 with JSON that is already text.
    pub fn raw(json: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, "application/json", json.into())
    }

    /// 200 with `body` as JSON.
    pub fn json(body: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_vec(body)
            .map(Self::raw)
            .map_err(|e| Problem::internal(e.to_string()))
    }

    /// 200 with something that is not JSON, such as a page.
    pub fn file(content_type: &'static str, body: &'static str) -> Self {
        Self::new(StatusCode::OK, content_type, Bytes::from_static(body.as_bytes()))
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self::new(StatusCode::NO_CONTENT, "", Bytes::new())
    }

    /// Whether it was given before, to an earlier request with the same `Idempotency-Key`.
    #[must_use]
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// Turns it into a 201 whose `Location` is this path.
    #[must_use]
    pub fn created(mut self, location: String) -> Self {
        self.status = StatusCode::CREATED.as_u16();
        self.location = Some(location);
        self
    }

    /// Turns it into a 201 for something that has no address.
    #[must_use]
    pub fn issued(mut self) -> Self {
        self.status = StatusCode::CREATED.as_u16();
        self
    }

    /// Turns it into a 202: it is under way, and this path tells how it goes.
    #[must_use]
    pub fn accepted(mut self, location: String) -> Self {
        self.status = StatusCode::ACCEPTED.as_u16();
        self.location = Some(location);
        self
    }

    /// Says which version of the document it shows, so that the `ETag` serves `If-Match`.
    #[must_use]
    pub fn version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Lets shared caches keep it as long as its route says.
    #[must_use]
    pub fn shared(mut self, _proof: &Anonymous) -> Self {
        self.shared = true;
        self
    }

    /// Says that it holds tokens: where it is kept for `Idempotency-Key`, it is encrypted.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
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
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let etag = (status.is_success() && !self.body.is_empty() && !self.secret).then(|| self.etag());
        let mut response = Response::new(axum::body::Body::from(self.body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // All that an answer has in the end, so that the map need not grow on the way.
        headers.reserve(16);
        match &*self.content_type {
            "" => {}
            "application/json" => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            other => {
                HeaderValue::from_str(other)
                    .ok()
                    .and_then(|value| headers.insert(header::CONTENT_TYPE, value));
            }
        }
        if let Some(value) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            headers.insert(header::ETAG, value);
        }
        if let Some(value) = self.location.and_then(|path| HeaderValue::from_str(&path).ok()) {
            headers.insert(header::LOCATION, value);
        }
        if self.replayed {
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        if self.shared {
            response.extensions_mut().insert(Shared);
        }
        response
    }
}
