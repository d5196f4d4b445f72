//! Events: typed and versioned data about what has happened, for other functions and programs to act on.
//!
//! A function commits its events together with the change that they announce, so neither exists without the other.
//! Every event is delivered at least once, possibly late and out of order; its `id` identifies duplicates. An event is
//! never edited. Data whose shape changes gets a new version, and [`EventData::upgrade`] keeps old versions readable.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};

use crate::{Clock, Random, StoreError, Timestamp, id};

/// A type of event, as the catalog lists it.
#[derive(Clone)]
pub struct EventType {
    /// The name, such as `order.placed`.
    pub name: &'static str,
    /// The current version of the shape of `data`.
    pub version: u32,
    /// What has happened, in one sentence.
    pub summary: &'static str,
    /// The schema of `data`.
    pub schema: RefOr<Schema>,
}

impl EventType {
    /// The event types whose data is `D`.
    pub fn of<D: EventData>() -> impl Iterator<Item = EventType> {
        D::TYPES.iter().map(|(name, summary)| EventType {
            name,
            version: D::VERSION,
            summary,
            schema: D::schema(),
        })
    }
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// `evt_…`; the same in every copy.
    #[schema(pattern = "^evt_[0-9a-f]{32}$")]
    pub id: String,
    /// What has happened, such as `order.placed`.
    #[serde(rename = "type")]
    pub name: String,
    /// The version of the shape of `data`.
    #[schema(minimum = 1)]
    pub version: u32,
    /// When it happened.
    // Events were stored with `time` before.
    #[serde(alias = "time")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// The id of the account that did it; `null` for what the market does by itself.
    #[schema(required = true)]
    pub actor: Option<String>,
    /// The `traceparent` of the request that caused it.
    #[schema(required = true)]
    pub trace: Option<String>,
    /// What is known of it; the schema is in the catalog of events.
    #[schema(value_type = HashMap<String, Value>)]
    pub data: Value,
}

/// The shape of the `data` of one or more event types.
pub trait EventData: Serialize + DeserializeOwned + utoipa::PartialSchema {
    /// The names of the types with this shape, each with its summary.
    const TYPES: &'static [(&'static str, &'static str)];
    /// The version of the shape. Increase it when a reader of the old shape could not read the new one.
    const VERSION: u32 = 1;

    /// Converts the data of an older version to the current shape; `None` if the version never existed.
    #[must_use]
    fn upgrade(_version: u32, _data: Value) -> Option<Value> {
        None
    }
}

/// The origin of an event.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    /// The account that caused it.
    pub actor: Option<String>,
    /// The `traceparent` of the request.
    pub trace: Option<String>,
}

impl Event {
    /// The event of type `name` with this data.
    pub fn new<D: EventData>(
        name: &str,
        data: &D,
        cause: &Cause,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, StoreError> {
        let refused = |why: String| StoreError::Refused(format!("event {name}: {why}"));
        if !D::TYPES.iter().any(|(known, _)| *known == name) {
            return Err(refused("not a type of this data".into()));
        }
        let now = clock.now();
        Ok(Self {
            id: id::new("evt", clock, random),
            name: name.to_owned(),
            version: D::VERSION,
            timestamp: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
            actor: cause.actor.clone(),
            trace: cause.trace.clone(),
            data: serde_json::to_value(data).map_err(|e| refused(e.to_string()))?,
        })
    }

    /// The data; `None` if the event is of a type with another shape. Old versions are upgraded.
    pub fn read<D: EventData>(&self) -> Result<Option<D>, StoreError> {
        if !D::TYPES.iter().any(|(known, _)| *known == self.name) {
            return Ok(None);
        }
        let damaged = |why: String| StoreError::Corrupt(format!("event {}: {why}", self.id));
        let data = if self.version == D::VERSION {
            self.data.clone()
        } else {
            D::upgrade(self.version, self.data.clone())
                .ok_or_else(|| damaged(format!("{} has no version {}", self.name, self.version)))?
        };
        serde_json::from_value(data)
            .map(Some)
            .map_err(|e| damaged(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The current shape. In version 1 it was a number.
    #[derive(Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
    struct Bell {
        tones: Vec<String>,
    }

    impl EventData for Bell {
        const TYPES: &'static [(&'static str, &'static str)] = &[("bell.rung", "A bell was rung.")];
        const VERSION: u32 = 2;

        fn upgrade(version: u32, data: Value) -> Option<Value> {
            (version == 1).then(|| json!({ "tones": [data["tone"].to_string()] }))
        }
    }

    fn event(name: &str, version: u32, data: Value) -> Event {
        let stored = json!({
            "id": "evt_0194bbd7e6007abc8def0123456789ab", "type": name, "version": version,
            "timestamp": "2025-01-31T12:00:00.000Z", "actor": "acc_1", "trace": null, "data": data,
        });
        let read: Event = serde_json::from_value(stored.clone()).unwrap();
        // The stored event stays unchanged.
        assert_eq!(serde_json::to_value(&read).unwrap(), stored);
        // Earlier versions wrote this name, and no decimals.
        let mut old = stored;
        let fields = old.as_object_mut().unwrap();
        fields.remove("timestamp");
        fields.insert("time".into(), "2025-01-31T12:00:00Z".into());
        assert_eq!(serde_json::from_value::<Event>(old).unwrap(), read);
        read
    }

    #[test]
    fn old_versions_stay_readable() {
        let bell = |tones: &[&str]| Bell {
            tones: tones.iter().map(|&tone| tone.to_owned()).collect(),
        };
        let now = event("bell.rung", 2, json!({ "tones": ["c", "e"] }));
        assert_eq!(now.read::<Bell>().unwrap(), Some(bell(&["c", "e"])));
        let old = event("bell.rung", 1, json!({ "tone": 440 }));
        assert_eq!(old.read::<Bell>().unwrap(), Some(bell(&["440"])));
        let other = event("door.opened", 1, json!({}));
        assert_eq!(other.read::<Bell>().unwrap(), None);
        for never in [
            event("bell.rung", 3, json!({})),
            event("bell.rung", 2, json!({ "tone": 440 })),
        ] {
            assert!(matches!(never.read::<Bell>(), Err(StoreError::Corrupt(_))));
        }
    }
}
