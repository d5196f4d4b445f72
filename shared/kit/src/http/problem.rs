//! Every error as an RFC 9457 problem document.

use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use souk_core::{FieldError, StoreError};

use crate::operation::Failure;

/// The error behind a problem.
pub type Source = Arc<dyn Error + Send + Sync>;

/// A failure, as the client sees it; its source is for the log alone.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What kind of failure, for programs: stable, such as `not_found`.
    pub code: &'static str,
    /// What went wrong this time, for people.
    pub detail: String,
    /// Which fields are at fault.
    pub errors: Vec<FieldError>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
    /// What happened inside. Logged once, never sent.
    pub source: Option<Source>,
}

/// A problem document, as it goes out.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// A URI for the kind of problem: `urn:souk:problem:` and the code.
    pub(crate) r#type: String,
    /// The status, in words.
    pub(crate) title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// What kind of failure, for programs.
    pub(crate) code: &'a str,
    /// What went wrong this time, for people.
    pub(crate) detail: &'a str,
    /// Which request it was: quote it when you ask for help.
    pub(crate) request_id: &'a str,
    /// Every field that is at fault.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) errors: &'a [FieldError],
}

impl Problem {
    /// A problem of this status and code.
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

    /// 400: it cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 400: a query parameter or a header does not fit.
    pub fn bad_parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::bad_request("a parameter is not valid").field(name, detail)
    }

    /// 401: no valid credential.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: known, and not allowed.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is none, or none that the caller may see.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 409: it does not fit the present state.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: understood, and not valid. Name the fields with [`Problem::field`].
    #[must_use]
    pub fn invalid() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "some fields are not valid",
        )
    }

    /// 503: ask again in a moment.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "please try again in a moment",
        );
        problem.retry_after = Some(1);
        problem.caused_by(source)
    }

    /// 500: a fault of ours.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "something went wrong on our side; the request id helps us find it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).caused_by(source)
    }

    /// Names one more field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            field: field.into(),
            detail: detail.into(),
        });
        self
    }

    /// Keeps the error behind it, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// 400 or 422 with these fields.
    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The document, for one request.
    pub(crate) fn document(&self, request_id: &str) -> Vec<u8> {
        let document = ProblemDocument {
            r#type: format!("urn:souk:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            request_id,
            errors: &self.errors,
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
    /// What we write ourselves can always be written, so this is a fault of the program.
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
            Failure::Contention => Problem::conflict("conflict", detail),
            Failure::Store(error) => error.into(),
            Failure::Internal(why) => Problem::internal(why),
        }
    }
}

/// Handlers answer with the problem itself in the extensions; the app writes the document, which names the request.
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
