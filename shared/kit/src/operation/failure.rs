//! The errors that operations of all functions have in common.
//!
//! The error enum of a function wraps [`Failure`] and adds its own errors. This module does not depend on HTTP;
//! `http::Problem` maps each failure to a status.

use souk_core::{Fault, FieldError, Permission, StoreError};

use crate::limits::Verdict;

/// An error that any operation can return.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// It does not exist, or the principal may not see it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The operation requires a principal, and the request is anonymous.
    #[error("{0}")]
    Unauthenticated(String),
    /// The principal may not do this.
    #[error("{detail}")]
    Forbidden {
        /// A description of what is not allowed.
        detail: String,
        /// The input fields that require the permission.
        errors: Vec<FieldError>,
    },
    /// The principal acts for somebody else, and does not say why.
    #[error("you act for somebody else: say why in the header Souk-Reason")]
    ReasonMissing,
    /// The input is well-formed but invalid.
    #[error("some fields are not valid")]
    Invalid(Vec<FieldError>),
    /// Query parameters are invalid.
    #[error("some parameters are not valid")]
    BadParameter(Vec<FieldError>),
    /// The document is not at the version that the client requires.
    #[error("it has changed since you read it; read it again and decide again")]
    VersionMismatch,
    /// The idempotency key was used with another request.
    #[error("this key was used for another request")]
    IdempotencyKeyReused,
    /// The stored result for the idempotency key can no longer be read.
    #[error("the first result can no longer be read; use a new key")]
    IdempotentResultLost,
    /// The commit kept conflicting with other commits.
    #[error("someone else changed this at the same time; read it and try again")]
    Contention,
    /// The client has done this too often.
    #[error("too many requests; please try again in {} s", .0.seconds)]
    Limited(Verdict),
    /// The plan of the market does not allow more of this.
    #[error("the plan of this market does not allow more {0}")]
    QuotaUsedUp(&'static str),
    /// Too much expensive work waits.
    #[error("the server is busy; please try again in a moment")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug in this program.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// [`Failure::Invalid`] with one field.
    pub fn invalid(field: impl Into<String>, fault: Fault) -> Self {
        Failure::Invalid(vec![FieldError::new(field, fault)])
    }

    /// [`Failure::BadParameter`] with one parameter.
    pub fn bad_parameter(name: impl Into<String>, fault: Fault) -> Self {
        Failure::BadParameter(vec![FieldError::new(name, fault)])
    }

    /// The principal may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Failure::Forbidden {
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// The principal lacks a permission.
    #[must_use]
    pub fn lacks(permission: &Permission) -> Self {
        Self::forbidden(format!("this takes the permission {}", permission.name))
    }

    /// The principal may not do what this field requires.
    pub fn forbidden_field(detail: impl Into<String>, field: &str, why: &str) -> Self {
        Failure::Forbidden {
            detail: detail.into(),
            errors: vec![FieldError::new(field, Fault::not_permitted(why))],
        }
    }
}

impl From<serde_json::Error> for Failure {
    /// Serializing our own types cannot fail, so this is a bug.
    fn from(error: serde_json::Error) -> Self {
        Failure::Internal(error.to_string())
    }
}
