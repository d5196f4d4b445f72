//! Dead letters: messages whose attempts are used up, with the last error. They are stored as documents, so that every
//! host lists and replays them in the same way: partition `dead/{lane}`, sorted by message id.

use serde::{Deserialize, Serialize};
use souk_core::queue::{Attempt, MAX_MESSAGE};
use souk_core::{Change, Condition, Key, Lane, Message, StoreError, Timestamp};

/// A message whose attempts are used up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLetter {
    /// The id of the message.
    pub id: String,
    /// The queue lane that delivered the message.
    pub lane: Lane,
    /// The job that failed.
    pub job: String,
    /// The error of the last attempt.
    pub error: String,
    /// The failed attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The `traceparent` of the request that sent the message.
    #[schema(required = true)]
    pub trace: Option<String>,
    /// When the message became a dead letter.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
    /// The message with its payload.
    #[schema(value_type = HashMap<String, serde_json::Value>)]
    pub message: Message,
}

/// Of a body that is longer than a message may be, this many characters are kept, as text. JSON may write each in six bytes.
const KEPT_CHARACTERS: usize = 8 * 1024;

/// The partition of a lane's dead letters.
#[must_use]
pub fn partition(lane: Lane) -> String {
    format!("dead/{}", lane.name())
}

/// The document key of the dead letter of this message.
#[must_use]
pub fn key(lane: Lane, id: &str) -> Key {
    Key::new(partition(lane), id)
}

/// The change that stores a message as a dead letter.
pub(super) fn record(message: &Message, error: &str, died_at: Timestamp) -> Result<Change, StoreError> {
    let mut message = message.clone();
    let body = message.body.to_string();
    if body.len() > MAX_MESSAGE {
        message.body = body.chars().take(KEPT_CHARACTERS).collect::<String>().into();
    }
    let letter = DeadLetter {
        id: message.id.clone(),
        lane: message.lane,
        job: message.job.clone(),
        error: error.to_owned(),
        attempts: message.attempts.clone(),
        trace: message.trace.clone(),
        died_at,
        message,
    };
    Ok(Change::Put {
        key: key(letter.lane, &letter.id),
        body: serde_json::to_string(&letter).map_err(|e| StoreError::Refused(e.to_string()))?,
        counters: Vec::new(),
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    })
}
