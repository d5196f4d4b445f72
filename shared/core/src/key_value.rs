//! The `KeyValue` port: copies of what is read everywhere and changes seldom, near to whoever reads it.
//!
//! **Consistency.** None worth relying on. What was put or deleted is seen elsewhere up to a minute later, of two puts
//! either may stay, and any value may be gone at any time. So nothing is kept here that is not kept elsewhere too, and no
//! decision about security is ever made from it. Only this is certain: a value is one that was put under its key, whole,
//! and from the millisecond of its expiry on it is absent.
//!
//! Checked of every adapter by `tests/src/contract/values.rs`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How long a key may be, in bytes (Workers KV).
pub const MAX_KEY: usize = 512;
/// How large a value may be, in bytes.
pub const MAX_VALUE: usize = 256 * 1024;

/// Why a call failed. For a reader it is as if the value were absent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum KeyValueError {
    /// Out of reach or throttled.
    #[error("the key-value store is unavailable: {0}")]
    Unavailable(String),
    /// An empty or too long key, or too large a value; a fault of the caller.
    #[error("the key-value store refuses: {0}")]
    Refused(String),
}

/// The port.
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value at `key`.
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError>;

    /// Puts a value that is absent from `expires_at` on.
    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError>;

    /// Removes the value at `key`, if there is one.
    async fn delete(&self, key: &str) -> Result<(), KeyValueError>;
}

/// Refuses what some platform would.
pub fn check(key: &str, value: &str) -> Result<(), KeyValueError> {
    if key.is_empty() || key.len() > MAX_KEY || matches!(key, "." | "..") {
        return Err(KeyValueError::Refused(
            "a key has 1 to 512 bytes, and is not . or ..".into(),
        ));
    }
    if value.len() > MAX_VALUE {
        return Err(KeyValueError::Refused("a value has at most 256 KB".into()));
    }
    Ok(())
}

/// A value with its expiry, as one text, for stores whose own expiry is late or coarse.
#[must_use]
pub fn seal(value: &str, expires_at: Timestamp) -> String {
    format!("{}\n{value}", expires_at.as_millisecond())
}

/// The value of a [sealed](seal) text, unless its time is over at `now`, or it is none.
#[must_use]
pub fn open(sealed: &str, now: Timestamp) -> Option<&str> {
    let (expires_at, value) = sealed.split_once('\n')?;
    (expires_at.parse::<i64>().ok()? > now.as_millisecond()).then_some(value)
}
