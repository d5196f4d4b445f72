//! Every error as an RFC 9457 problem document.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use souk_core::{Fault, FieldError, StoreError};

use super::headers::{NO_STORE, common_headers};
use super::{ProblemType, problem_type as problems};
use crate::operation::Failure;

/// The error that caused a problem, for the log.
pub type Source = Arc<dyn Error + Send + Sync>;

/// Where each code is explained, at the anchor of its name.
const EXPLANATIONS: &str = "/docs/guides/errors";

/// How many invalid fields a problem document lists at most.
const MAX_ERRORS: usize = 50;

/// An error response. Its source is only logged.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The type of the problem: its code and HTTP status.
    pub kind: &'static ProblemType,
    /// A human-readable explanation of this occurrence.
    pub detail: String,
    /// The invalid fields.
    pub errors: Vec<FieldError>,
    /// The limits that the request is over.
    pub violated: Vec<&'static str>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The internal error. It is logged once and never sent.
    pub source: Option<Source>,
}

/// An error response (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// The URL of the explanation of the code, relative to that of the API.
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
    /// The limits that the request is over, as `RateLimit-Policy` names them.
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) violated_policies: &'a [&'a str],
}

impl Problem {
    /// A problem of this type.
    pub fn new(kind: &'static ProblemType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            violated: Vec::new(),
            retry_after: None,
            source: None,
        }
    }

    /// 400: the request is malformed.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(problems::BAD_REQUEST, detail)
    }

    /// What was read from the parameters, or the problem with the faults of all of it.
    pub fn all_of<A, B, C>(
        a: Result<A, Problem>,
        b: Result<B, Problem>,
        c: Result<C, Problem>,
    ) -> Result<(A, B, C), Problem> {
        match (a, b, c) {
            (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
            (a, b, c) => {
                let mut problems: Vec<Problem> = [a.err(), b.err(), c.err()].into_iter().flatten().collect();
                if let Some(other) = problems.iter().position(|problem| problem.errors.is_empty()) {
                    return Err(problems.swap_remove(other));
                }
                let faults = problems.into_iter().flat_map(|problem| problem.errors);
                Err(Failure::BadParameter(faults.collect()).into())
            }
        }
    }

    /// 400: a query parameter or a header is invalid.
    pub fn bad_parameter(name: impl Into<String>, fault: Fault) -> Self {
        Failure::bad_parameter(name, fault).into()
    }

    /// 403: the principal lacks the permission.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(problems::FORBIDDEN, detail)
    }

    /// 404: the resource does not exist, or the principal may not see it.
    pub fn not_found(what: &str) -> Self {
        Self::new(problems::NOT_FOUND, format!("there is no such {what}"))
    }

    /// 409: something else has the value of this field.
    pub fn taken(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(problems::TAKEN, detail).field(field, Fault::taken())
    }

    /// 422: the body is well-formed but invalid. Add the fields with [`Problem::field`].
    #[must_use]
    pub fn invalid() -> Self {
        Self::new(problems::VALIDATION_FAILED, "some fields are not valid")
    }

    /// 500: this function lacks a setting, or has one that it cannot use. `why` names it, and never its value.
    pub fn not_configured(why: impl Into<String>) -> Self {
        Self::new(problems::NOT_CONFIGURED, why)
    }

    /// The response of a host that could not start, without a request id.
    #[must_use]
    pub fn bare_response(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::from(self.document("")));
        *response.status_mut() = self.kind.status;
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
        let problem = Self::new(problems::UNAVAILABLE, "please try again in a moment");
        problem.retry_after(1).caused_by(source)
    }

    /// Whether it is [`Problem::unavailable`].
    pub(crate) fn is_unavailable(&self) -> bool {
        self.kind == problems::UNAVAILABLE
    }

    /// 500: an internal error.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "something went wrong on our side; the request id helps us find it";
        Self::new(problems::INTERNAL, detail).caused_by(source)
    }

    /// Adds an invalid field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, fault: Fault) -> Self {
        self.errors.push(FieldError::new(field, fault));
        self
    }

    /// Sets the value of `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
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
            r#type: format!("{EXPLANATIONS}#{}", self.kind.code),
            title: self.kind.status.canonical_reason().unwrap_or("Error"),
            status: self.kind.status.as_u16(),
            code: self.kind.code,
            detail: &detail,
            request_id,
            errors,
            violated_policies: &self.violated,
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
            Failure::Unauthenticated(detail) => Problem::new(problems::TOKEN_MISSING, detail),
            Failure::Forbidden { detail, errors } => Problem::forbidden(detail).fields(errors),
            Failure::ReasonMissing => {
                Problem::new(problems::REASON_MISSING, detail).field("Souk-Reason", Fault::required())
            }
            Failure::Invalid(errors) => Problem::invalid().fields(errors),
            Failure::BadParameter(errors) => Problem::bad_request(detail).fields(errors),
            Failure::VersionMismatch => Problem::new(problems::PRECONDITION_FAILED, detail),
            Failure::IdempotencyKeyReused => {
                let fault = Fault::taken().because("was used for another request");
                Problem::new(problems::IDEMPOTENCY_KEY_REUSED, detail).field("Idempotency-Key", fault)
            }
            Failure::IdempotentResultLost => Problem::new(problems::RESULT_LOST, detail),
            Failure::Contention => Problem::new(problems::CONTENTION, detail).retry_after(1),
            Failure::Limited(verdict) => {
                let mut problem = Problem::new(problems::RATE_LIMITED, detail).retry_after(verdict.seconds);
                problem.violated.push(verdict.limit.name);
                problem
            }
            Failure::QuotaUsedUp(quota) => {
                let mut problem = Problem::new(problems::QUOTA_USED_UP, detail);
                problem.violated.push(quota);
                problem
            }
            Failure::Busy => Problem::new(problems::BUSY, detail).retry_after(1),
            Failure::Store(error) => error.into(),
            Failure::Internal(why) => Problem::internal(why),
        }
    }
}

/// The `WWW-Authenticate` of a 401 (RFC 6750): it has an error only if a token was sent.
fn challenge(kind: &ProblemType) -> HeaderValue {
    HeaderValue::from_static(match kind.code {
        "token_expired" => "Bearer error=\"invalid_token\", error_description=\"the token has expired\"",
        "token_invalid" => "Bearer error=\"invalid_token\", error_description=\"the token is not valid\"",
        "session_ended" => "Bearer error=\"invalid_token\", error_description=\"the session has ended\"",
        _ => "Bearer",
    })
}

/// The problem goes into the extensions of the response. The app then writes the document, which has the request id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge(self.kind));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_code() {
        let store = |error: StoreError| Failure::Store(error);
        for (failure, code, status, retry_after) in [
            (Failure::NotFound("thing"), "not_found", 404, None),
            (Failure::Unauthenticated("sign in".into()), "token_missing", 401, None),
            (Failure::forbidden("not you"), "forbidden", 403, None),
            (Failure::invalid("a", Fault::required()), "validation_failed", 422, None),
            (Failure::bad_parameter("a", Fault::required()), "bad_request", 400, None),
            (Failure::VersionMismatch, "precondition_failed", 412, None),
            (Failure::IdempotencyKeyReused, "idempotency_key_reused", 422, None),
            (Failure::IdempotentResultLost, "result_lost", 409, None),
            (Failure::Contention, "contention", 503, Some(1)),
            (Failure::Busy, "busy", 503, Some(1)),
            (
                store(StoreError::Unavailable("off".into())),
                "unavailable",
                503,
                Some(1),
            ),
            (store(StoreError::Corrupt("odd".into())), "internal", 500, None),
            (Failure::Internal("a bug".into()), "internal", 500, None),
        ] {
            let problem = Problem::from(failure);
            assert_eq!(
                (problem.kind.code, problem.kind.status.as_u16(), problem.retry_after),
                (code, status, retry_after)
            );
            assert!(problems::ALL.contains(&problem.kind));
        }
    }

    #[test]
    fn a_401_says_what_is_wrong_with_a_token_that_was_sent() {
        for kind in problems::ALL
            .iter()
            .filter(|kind| kind.status == StatusCode::UNAUTHORIZED)
        {
            let was_sent = !["token_missing", "invalid_credentials"].contains(&kind.code);
            let response = Problem::new(kind, "").into_response();
            let challenge = response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert_eq!(challenge != "Bearer", was_sent, "{}: {challenge}", kind.code);
        }
    }

    #[test]
    fn codes_are_explained_in_sentences() {
        for kind in problems::ALL {
            assert!(kind.about().ends_with('.') && kind.about().len() > 20, "{}", kind.code);
            assert!(
                kind.status.is_client_error() || kind.status.is_server_error(),
                "{}",
                kind.code
            );
        }
    }
}
