//! Idempotency keys: a retry with the same key returns the result of the first request.
//!
//! The result is stored in the commit of its effect (see [`Context::commit`]), so there is no "in progress" state that
//! a crash could leave behind. The scope of a key is the account and the path; the same key with another input is
//! refused. All anonymous clients share a scope: none of them gets the result of another unless it sent the same input.
//! Only successes are stored.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use souk_core::documents::get_one;
use souk_core::{Change, Condition, Key, clock};

use super::{Context, Failure};

/// How long a result is stored, in seconds.
const KEEP_SECONDS: i64 = 24 * 3600;

/// The idempotency key of a request.
pub(crate) struct Idempotency {
    key: Key,
    /// The fingerprint of the input.
    fingerprint: String,
    was_replayed: AtomicBool,
}

#[derive(Serialize, Deserialize)]
struct Record {
    fingerprint: String,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    /// The encrypted result, if it holds secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
}

/// Distinguishes a result that is `null`, such as that of `()`, from an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

impl Idempotency {
    /// The key `name` in `scope`, for the input with this fingerprint.
    pub(crate) fn new(digest: &str, fingerprint: String) -> Self {
        Self {
            key: Key::of("idempotency", digest),
            fingerprint,
            was_replayed: AtomicBool::new(false),
        }
    }

    /// Whether the result is that of an earlier request.
    pub(crate) fn was_replayed(&self) -> bool {
        self.was_replayed.load(Ordering::Relaxed)
    }
}

impl Context {
    /// Whether the last commit returned the stored result of an earlier request with the same idempotency key.
    #[must_use]
    pub fn was_replayed(&self) -> bool {
        self.idempotency.as_ref().is_some_and(|key| key.was_replayed())
    }

    /// The stored result of an earlier request with this key.
    pub(super) async fn kept_result<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let Some(idempotency) = &self.idempotency else {
            return Ok(None);
        };
        let Some(document) = get_one(&*self.documents, idempotency.key.clone()).await? else {
            return Ok(None);
        };
        let record: Record = document.parse()?;
        if record.fingerprint != idempotency.fingerprint {
            return Err(Failure::IdempotencyKeyReused);
        }
        let opened = record.sealed.and_then(|sealed| self.keys.open(&sealed));
        let result = match (record.result, opened) {
            (Some(plain), _) => serde_json::from_str(plain.get()).ok(),
            (None, Some(opened)) => serde_json::from_slice(&opened).ok(),
            (None, None) => None,
        };
        idempotency.was_replayed.store(true, Ordering::Relaxed);
        result.map(Some).ok_or(Failure::IdempotentResultLost)
    }

    /// The change that stores the result for the idempotency key; `None` without a key.
    pub(super) fn record(&self, result: &impl Serialize, is_secret: bool) -> Result<Option<Change>, Failure> {
        let Some(idempotency) = &self.idempotency else {
            return Ok(None);
        };
        let result = serde_json::value::to_raw_value(result)?;
        let fingerprint = idempotency.fingerprint.clone();
        let record = if is_secret {
            let sealed = self.keys.seal(result.get().as_bytes(), &*self.random);
            Record {
                fingerprint,
                result: None,
                sealed: Some(sealed.ok_or_else(|| Failure::Internal("a result could not be sealed".into()))?),
            }
        } else {
            Record {
                fingerprint,
                result: Some(result),
                sealed: None,
            }
        };
        Ok(Some(Change::Put {
            key: idempotency.key.clone(),
            body: serde_json::to_string(&record)?,
            counters: Vec::new(),
            expires_at: Some(clock::after(self.clock.now(), KEEP_SECONDS)),
            condition: Condition::Absent,
            entries: Vec::new(),
            stale: Vec::new(),
        }))
    }
}
