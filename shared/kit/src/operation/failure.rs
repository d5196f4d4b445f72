//! Why an operation did not do what it was asked to: what all functions have in common.
//!
//! A function's own error enum wraps [`Failure`] and adds what only it knows. Nothing here is about HTTP;
//! `http::Problem` says once which status each failure has.

use souk_core::{FieldError, StoreError};

/// A failure that any operation can have.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// There is none, or none that the principal may see.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The operation needs a principal, and there is none.
    #[error("{0}")]
    Unauthenticated(String),
    /// The principal may not do this.
    #[error("{detail}")]
    Forbidden {
        /// What is not allowed.
        detail: String,
        /// The fields of the input that ask for it.
        errors: Vec<FieldError>,
    },
    /// The input is understood and not valid.
    #[error("some fields are not valid")]
    Invalid(Vec<FieldError>),
    /// Parameters of a query are not valid.
    #[error("a parameter is not valid")]
    BadParameter(Vec<FieldError>),
    /// The document is not at the version that the client requires.
    #[error("it has changed since you read it; read it again and decide again")]
    VersionMismatch,
    /// The idempotency key was used for another request.
    #[error("this key was used for another request")]
    IdempotencyKeyReused,
    /// The result that is kept for the idempotency key can no longer be read.
    #[error("the first result can no longer be read; use a new key")]
    IdempotentResultLost,
    /// Others kept changing the same documents.
    #[error("someone else changed this at the same time; read it and try again")]
    Contention,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault of the program.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// One field of the input is not valid.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Failure::Invalid(vec![FieldError::new(field, detail)])
    }

    /// One parameter of a query is not valid.
    pub fn bad_parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Failure::BadParameter(vec![FieldError::new(name, detail)])
    }

    /// The principal may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Failure::Forbidden {
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// The principal may not do what this field asks for.
    pub fn forbidden_field(detail: impl Into<String>, field: &str, why: &str) -> Self {
        Failure::Forbidden {
            detail: detail.into(),
            errors: vec![FieldError::new(field, why)],
        }
    }
}

impl From<serde_json::Error> for Failure {
    /// What we write ourselves can always be written, so this is a fault of the program.
    fn from(error: serde_json::Error) -> Self {
        Failure::Internal(error.to_string())
    }
}
