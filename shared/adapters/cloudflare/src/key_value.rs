//! The `KeyValue` port over Workers KV.
//!
//! KV keeps a value for a minute at least, and a copy of it as long in each place that has read it; so the expiry is kept
//! in the value too, and looked at by whoever reads.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_core::key_value::{KeyValueError, check, open, seal};
use souk_core::{Clock, KeyValue, Timestamp};
use worker::KvStore;
use worker::send::SendFuture;

use crate::time::in_time;

/// What KV keeps at least, in seconds.
const SHORTEST: i64 = 60;
/// How long KV may take: no longer than it takes to read the original.
const PATIENCE: Duration = Duration::from_secs(2);

/// A KV namespace.
pub struct WorkersKv {
    store: KvStore,
    clock: Arc<dyn Clock>,
}

impl WorkersKv {
    /// Values in the namespace `store`.
    pub fn new(store: KvStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl KeyValue for WorkersKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        check(key, "")?;
        let found = SendFuture::new(answer(self.store.get(key).text())).await?;
        Ok(found.and_then(|sealed| open(&sealed, self.clock.now()).map(str::to_owned)))
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        check(key, value)?;
        let left = expires_at.as_second().saturating_sub(self.clock.now().as_second());
        let left = u64::try_from(left.saturating_add(1).max(SHORTEST)).unwrap_or(u64::MAX);
        let put = self.store.put(key, seal(value, expires_at)).map_err(failed)?;
        SendFuture::new(answer(put.expiration_ttl(left).execute())).await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        check(key, "")?;
        SendFuture::new(answer(self.store.delete(key))).await
    }
}

async fn answer<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Result<T, KeyValueError> {
    match in_time(PATIENCE, call).await {
        Some(result) => result.map_err(failed),
        None => Err(failed("KV took too long")),
    }
}

fn failed(why: impl std::fmt::Display) -> KeyValueError {
    KeyValueError::Unavailable(why.to_string())
}
