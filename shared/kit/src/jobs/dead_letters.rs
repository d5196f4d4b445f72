//! Dead letters: messages whose attempts are used up, with the reason. Documents, so that every host can list and replay
//! them alike: partition `dead/{lane}`, sorted by the message's id.

use serde::{Deserialize, Serialize};
use souk_core::queue::Attempt;
use souk_core::{Change, Condition, Key, Lane, Message, StoreError, Timestamp};

/// A message whose attempts are used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// The message's id.
    pub id: String,
    /// The lane it came from.
    pub lane: Lane,
    /// The job that could not do it.
    pub job: String,
    /// Why the last attempt failed.
    pub error: String,
    /// Every attempt that failed.
    pub attempts: Vec<Attempt>,
    /// The `traceparent` of the request that caused it.
    pub trace: Option<String>,
    /// When the last attempt failed.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
    /// The whole message.
    #[schema(value_type = Object)]
    pub message: Message,
}

/// The partition of a lane's dead letters.
#[must_use]
pub fn partition(lane: Lane) -> String {
    format!("dead/{}", lane.name())
}

/// Where the dead letter of this message is.
#[must_use]
pub fn key(lane: Lane, id: &str) -> Key {
    Key::new(partition(lane), id)
}

/// The change that makes a message a dead letter.
pub(super) fn record(message: &Message, error: &str, died_at: Timestamp) -> Result<Change, StoreError> {
    let letter = DeadLetter {
        id: message.id.clone(),
        lane: message.lane,
        job: message.job.clone(),
        error: error.to_owned(),
        attempts: message.attempts.clone(),
        trace: message.trace.clone(),
        died_at,
        message: message.clone(),
    };
    Ok(Change::Put {
        key: key(message.lane, &message.id),
        body: serde_json::to_string(&letter).map_err(|e| StoreError::Refused(e.to_string()))?,
        counters: Vec::new(),
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    })
}
