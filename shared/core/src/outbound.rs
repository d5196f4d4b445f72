//! The `Outbound` port: HTTP calls to systems that are not ours.
//!
//! An adapter makes one attempt, within a deadline. It connects to public addresses only (checked when it connects, after
//! the name was resolved), follows no redirects and reads a bounded answer. Retries and circuit breakers are above it, in
//! `souk_http::outbound`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// How much of an answer is read, in bytes; the rest is left unread and `truncated` says so.
pub const MAX_REPLY: usize = 16 * 1024;

/// A request to another system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Such as `POST`.
    pub method: String,
    /// `https://…`; `http://` only to what the operator allows by name.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, text.
    pub body: String,
    /// How long all of it may take, from name resolution to the last byte read.
    pub timeout_ms: u32,
}

/// The answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, as text.
    pub body: String,
    /// Whether there was more.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OutboundError {
    /// Nobody was asked: the URL, or an address that it resolves to, is not one that we call.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("{0}")]
    Failed(String),
    /// Nobody was asked, because the last calls to this dependency failed.
    #[error("the circuit is open")]
    Open,
}

/// The port.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// Makes one call.
    async fn call(&self, call: Call) -> Result<Reply, OutboundError>;
}
