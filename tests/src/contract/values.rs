//! The contract of the `KeyValue` port. It promises little; all of that is here. Every emulator shows a write at once, so
//! the cases ask for it, though the port promises it to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use souk_core::key_value::{KeyValueError, MAX_KEY, MAX_VALUE};
use souk_core::{KeyValue, Timestamp};

use super::bench::{TestClock, unique};
use super::remote::TestRoutes;

/// Runs all cases on a store that lives by `clock`.
pub async fn agree(store: &dyn KeyValue, clock: &TestClock) {
    let prefix = unique();
    let key = |name: &str| format!("{prefix}/{name}");
    let hour = || clock.ahead(3_600_000);

    // What was put is there, whole, until something else is put or it is deleted.
    let largest = "ß".repeat(MAX_VALUE / 2);
    let longest = format!("{prefix}{}", "k".repeat(MAX_KEY - prefix.len()));
    let values = BTreeMap::from([
        (key("empty"), ""),
        (key("lines"), "1\n2\n"),
        (key("json"), r#"{"a":"\u0000 ünï👍"}"#),
        (key("strange ?&#%2F/../ö"), "strange"),
        (longest, "long"),
        (key("large"), &largest),
    ]);
    for (key, value) in &values {
        assert_eq!(store.get(key).await.unwrap(), None, "{key}");
        store.put(key, value, hour()).await.unwrap();
    }
    for (key, value) in &values {
        assert_eq!(store.get(key).await.unwrap().as_deref(), Some(*value), "{key}");
    }
    for key in values.keys() {
        store.put(key, "other", hour()).await.unwrap();
        assert_eq!(store.get(key).await.unwrap().as_deref(), Some("other"), "{key}");
        for _ in 0..2 {
            store.delete(key).await.unwrap();
            assert_eq!(store.get(key).await.unwrap(), None, "{key}");
        }
    }

    // Expiry is exact, and a later put gives a new one.
    let (soon, late) = (key("soon"), key("late"));
    store.put(&soon, "soon", clock.ahead(61_000)).await.unwrap();
    store.put(&late, "soon", clock.ahead(61_000)).await.unwrap();
    store.put(&late, "late", clock.ahead(90_000)).await.unwrap();
    store.put(&key("past"), "past", clock.ahead(0)).await.unwrap();
    assert_eq!(store.get(&key("past")).await.unwrap(), None);
    clock.advance(60_999);
    assert_eq!(store.get(&soon).await.unwrap().as_deref(), Some("soon"));
    clock.advance(1);
    assert_eq!(store.get(&soon).await.unwrap(), None);
    assert_eq!(store.get(&late).await.unwrap().as_deref(), Some("late"));
    store.put(&soon, "again", hour()).await.unwrap();
    assert_eq!(store.get(&soon).await.unwrap().as_deref(), Some("again"));

    // What some platform would refuse is refused by all.
    let too_long = "k".repeat(MAX_KEY + 1);
    for bad in ["", ".", "..", &too_long] {
        let refused = |result: &Result<_, KeyValueError>| matches!(result, Err(KeyValueError::Refused(_)));
        assert!(refused(&store.put(bad, "", hour()).await), "{bad}");
        assert!(refused(&store.delete(bad).await), "{bad}");
        assert!(matches!(store.get(bad).await, Err(KeyValueError::Refused(_))), "{bad}");
    }
    let too_large = "v".repeat(MAX_VALUE + 1);
    let refused = store.put(&soon, &too_large, hour()).await;
    assert!(matches!(refused, Err(KeyValueError::Refused(_))));
    assert_eq!(store.get(&soon).await.unwrap().as_deref(), Some("again"));

    // Of many writers one stays, whole.
    let values: Vec<String> = (0..10_u8)
        .map(|n| char::from(b'a' + n).to_string().repeat(10_000))
        .collect();
    let puts = values.iter().map(|value| store.put(&late, value, hour()));
    for done in futures_util::future::join_all(puts).await {
        done.unwrap();
    }
    assert!(values.contains(&store.get(&late).await.unwrap().unwrap()));
}

/// A store behind a Worker's test routes: `POST /__test/values/{get,put,delete}` with the arguments as a JSON array.
pub struct RemoteKeyValue(TestRoutes);

impl RemoteKeyValue {
    /// The store at `base_url`, which shall live by this clock.
    pub fn new(base_url: impl Into<String>, clock: Arc<TestClock>) -> Self {
        Self(TestRoutes::new(base_url, "values", clock))
    }
}

#[async_trait]
impl KeyValue for RemoteKeyValue {
    async fn get(&self, key: &str) -> Result<Option<String>, KeyValueError> {
        self.0.call("get", &key).await
    }

    async fn put(&self, key: &str, value: &str, expires_at: Timestamp) -> Result<(), KeyValueError> {
        self.0.call("put", &(key, value, expires_at)).await
    }

    async fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        self.0.call("delete", &key).await
    }
}
