//! A document with its deserialized body.

use std::collections::BTreeSet;
use std::ops::Deref;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use souk_core::{Document, StoreError};

use super::Failure;

/// When a document changed is no change by itself.
const TIMES: [&str; 2] = ["updated_at", "edited_at"];

/// A stored document whose body is a `T`. It dereferences to the `T`; the version and the counters are in `document`.
#[derive(Clone, Debug)]
pub struct Stored<T> {
    /// The deserialized body.
    pub value: T,
    /// The stored document.
    pub document: Document,
}

impl<T> Stored<T> {
    /// The version of the document.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.document.version
    }
}

impl<T: Serialize> Stored<T> {
    /// The names of the fields in which `new` differs, in alphabetical order; times of change do not count.
    pub fn changed_fields(&self, new: &T) -> Result<Vec<String>, Failure> {
        let fields = |value: &T| -> serde_json::Result<Map<String, Value>> {
            serde_json::from_value(serde_json::to_value(value)?)
        };
        let (old, new) = (fields(&self.value)?, fields(new)?);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| !TIMES.contains(&name.as_str()) && old.get(name.as_str()) != new.get(name.as_str()));
        Ok(changed.cloned().collect())
    }
}

impl<T: DeserializeOwned> Stored<T> {
    /// Deserializes the body of a document. A body that is not a `T` is an internal error.
    pub fn read(document: Document) -> Result<Self, StoreError> {
        let value = document.parse()?;
        Ok(Self { value, document })
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Serialized as the document alone, which contains the body. Results are stored in this form for an idempotency key.
impl<T> Serialize for Stored<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Document::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
