//! The `KeyValue` port: replicated copies of data that is read often and rarely changes, close to the reader.
//!
//! **Consistency.** Eventual, without guarantees. Other readers may see a put or delete up to a minute late, either of
//! two concurrent puts may win, and any value may disappear at any time. So every value must also be stored elsewhere,
//! and no security decision may depend on one. The only guarantees: a value that `get` returns was put under its key as
//! a whole, and has not expired.
//!
//! `tests/src/contract/values.rs` checks this for every adapter.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The longest key, in bytes (Workers KV).
pub const MAX_KEY: usize = 512;
/// The largest value, in bytes.
pub const MAX_VALUE: usize = 256 * 1024;

/// Why a call failed. Readers treat it like an absent value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum KeyValueError {
    /// The store is out of reach or throttled.
    #[error("the key-value store is unavailable: {0}")]
    Unavailable(String),
    /// The key is empty or too long, or the value too large; the caller's fault.
    #[error("the key-value store refuses: {0}")]
    Refused(String),
}

/// The key-value port.
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The value at `key`.
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError>;

    /// Stores a value that expires at `expires_at`: from that millisecond on it is absent.
    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError>;

    /// Removes the value at `key`, if there is one.
    async fn delete(&self, key: &str) -> Result<(), KeyValueError>;
}

/// Rejects keys and values that some platform would reject.
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

/// Stores a value and its expiry as one text, for stores whose own expiry is late or coarse.
#[must_use]
pub fn seal(value: &str, expires_at: Timestamp) -> String {
    format!("{}\n{value}", expires_at.as_millisecond())
}

/// The value of a [sealed](seal) text; `None` if it has expired at `now` or the text is malformed.
#[must_use]
pub fn open(sealed: &str, now: Timestamp) -> Option<&str> {
    let (expires_at, value) = sealed.split_once('\n')?;
    (expires_at.parse::<i64>().ok()? > now.as_millisecond()).then_some(value)
}
