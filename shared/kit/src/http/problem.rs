//! Every error as an RFC 9457 problem document.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use souk_core::{FieldError, StoreError};

use super::headers::{NO_STORE, common_headers};
use crate::operation::Failure;

/// The error that caused a problem, for the log.
pub type Source = Arc<dyn Error + Send + Sync>;

/// How many invalid fields a problem document lists at most.
const MAX_ERRORS: usize = 50;

/// The code of a 503 because a store does not answer.
const UNAVAILABLE: &str = "unavailable";

/// An error response. Its source is only logged.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The error code, such as `not_found`. Codes are stable.
    pub code: &'static str,
    /// A human-readable explanation of this occurrence.
    pub detail: String,
    /// The invalid fields.
    pub errors: Vec<FieldError>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The internal error. It is logged once and never sent.
    pub source: Option<Source>,
}

/// An error response (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// A URI that identifies the problem type: `urn:souk:problem:` and the code.
    pub(crate) r#type: String,
    /// The reason phrase of the status.
    pub(crate) title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// The error code, such as `not_found`. Codes are stable.
    pub(crate) code: &'a str,
    /// A human-readable explanation of this occurrence.
    pub(crate) detail: &'a str,
    /// The request id. Quote it when you contact support.
    pub(crate) request_id: &'a str,
    /// The invalid fields of the body, or the invalid parameters or headers.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) errors: &'a [FieldError],
}

impl Problem {
    /// A problem with this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            source: None,
        }
    }

    /// 400: the request is malformed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 400: a query parameter or a header is invalid.
    pub fn bad_parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::bad_request("a parameter is not valid").field(name, detail)
    }

    /// 401: the request has no valid credential.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: the principal lacks the permission.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: the resource does not exist, or the principal may not see it.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 409: the request conflicts with the current state of the resource.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: the body is well-formed but invalid. Add the fields with [`Problem::field`].
    #[must_use]
    pub fn invalid() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "some fields are not valid",
        )
    }

    /// 500: this function lacks a setting, or has one that it cannot use. `why` names it, and never its value.
    pub fn not_configured(why: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not_configured", why)
    }

    /// The response of a host that could not start, without a request id.
    #[must_use]
    pub fn bare_response(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::from(self.document("")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        common_headers(headers, NO_STORE, false);
        response
    }

    /// 503: temporarily unavailable. `Retry-After` grows while it lasts.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            UNAVAILABLE,
            "please try again in a moment",
        );
        problem.retry_after = Some(1);
        problem.caused_by(source)
    }

    /// Whether it is [`Problem::unavailable`].
    pub(crate) fn is_unavailable(&self) -> bool {
        self.code == UNAVAILABLE
    }

    /// 500: an internal error.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "something went wrong on our side; the request id helps us find it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).caused_by(source)
    }

    /// Adds an invalid field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            field: field.into(),
            detail: detail.into(),
        });
        self
    }

    /// Sets the error that caused the problem, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// Sets the invalid fields of a 400 or 422.
    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The problem document for one request.
    pub(crate) fn document(&self, request_id: &str) -> Vec<u8> {
        let (errors, detail) = match self.errors.split_at_checked(MAX_ERRORS) {
            Some((listed, more)) if !more.is_empty() => {
                let detail = format!(
                    "{}; the first {MAX_ERRORS} are listed, {} more are not",
                    self.detail,
                    more.len()
                );
                (listed, Cow::from(detail))
            }
            _ => (self.errors.as_slice(), Cow::from(&self.detail)),
        };
        let document = ProblemDocument {
            r#type: format!("urn:souk:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &detail,
            request_id,
            errors,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict(_) => Failure::Contention.into(),
            StoreError::Unavailable(_) => Problem::unavailable(error),
            StoreError::Refused(_) | StoreError::Corrupt(_) => Problem::internal(error),
        }
    }
}

impl From<serde_json::Error> for Problem {
    /// Serializing our own types cannot fail, so this is a bug.
    fn from(error: serde_json::Error) -> Self {
        Problem::internal(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::NotFound(what) => Problem::not_found(what),
            Failure::Unauthenticated(detail) => Problem::unauthorized(detail),
            Failure::Forbidden { detail, errors } => Problem::forbidden(detail).fields(errors),
            Failure::Invalid(errors) => Problem::invalid().fields(errors),
            Failure::BadParameter(errors) => Problem::bad_request(detail).fields(errors),
            Failure::VersionMismatch => Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail),
            Failure::IdempotencyKeyReused => Problem::invalid().field("Idempotency-Key", detail),
            Failure::IdempotentResultLost => Problem::conflict("gone", detail),
            Failure::Contention => {
                let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "contention", detail);
                problem.retry_after = Some(1);
                problem
            }
            Failure::Busy => {
                let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail);
                problem.retry_after = Some(1);
                problem
            }
            Failure::Store(error) => error.into(),
            Failure::Internal(why) => Problem::internal(why),
        }
    }
}

/// The problem goes into the extensions of the response. The app then writes the document, which has the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
