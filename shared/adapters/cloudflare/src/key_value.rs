//! The `KeyValue` port over Workers KV.
//!
//! KV's shortest expiration is 60 seconds, and each location caches a value for as long. So the expiry is stored with the
//! value as well, and `get` checks it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use souk_core::key_value::{KeyValueError, check, open, seal};
use souk_core::{Clock, KeyValue, Timestamp};
use worker::KvStore;
use worker::send::SendFuture;

use crate::timeout::timeout;

/// KV's shortest expiration, in seconds.
const MIN_TTL: i64 = 60;
/// How long a call may take: a slower one is no better than reading the document store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A KV namespace.
pub struct WorkersKv {
    store: KvStore,
    clock: Arc<dyn Clock>,
}

impl WorkersKv {
    /// The `KeyValue` port over the namespace `store`.
    pub fn new(store: KvStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl KeyValue for WorkersKv {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        check(key, "")?;
        let found = SendFuture::new(within_timeout(self.store.get(key).text())).await?;
        Ok(found.and_then(|sealed| open(&sealed, self.clock.now()).map(str::to_owned)))
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        check(key, value)?;
        let ttl = expires_at.as_second().saturating_sub(self.clock.now().as_second());
        let ttl = u64::try_from(ttl.saturating_add(1).max(MIN_TTL)).unwrap_or(u64::MAX);
        let put = self.store.put(key, seal(value, expires_at)).map_err(failed)?;
        SendFuture::new(within_timeout(put.expiration_ttl(ttl).execute())).await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        check(key, "")?;
        SendFuture::new(within_timeout(self.store.delete(key))).await
    }
}

async fn within_timeout<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Result<T, KeyValueError> {
    match timeout(TIMEOUT, call).await {
        Some(result) => result.map_err(failed),
        None => Err(failed("KV took too long")),
    }
}

fn failed(why: impl std::fmt::Display) -> KeyValueError {
    KeyValueError::Unavailable(why.to_string())
}
