//! The `Queue` port: lanes of messages, each message a piece of work for one job.
//!
//! **Delivery.** What `send` has acknowledged is delivered at least once: perhaps twice, late, and in any order. A
//! message that the consumer neither finishes nor gives back, because it died, comes again after a while. Who consumes
//! is the host: it hands what its queue delivers to `souk_kit::App::work` and tells the queue what came of it.
//!
//! **Lanes** are queues of their own with consumers of their own, so that no lane waits for another. When the backlog is
//! full, `low` is shed first; only work that may be lost goes there.
//!
//! **Retries** are not the queue's: a job that fails is sent again as a new message with its history and a delay, and
//! rests as a dead letter among the documents when its attempts are used up. The queue's own redelivery and its own
//! dead-letter queue are for consumers that crash.

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// How large a message may be as JSON, in bytes (the smallest of all platforms' limits is 128 KB for a batch of one).
pub const MAX_MESSAGE: usize = 64 * 1024;
/// How many messages one `send` takes.
pub const MAX_SEND: usize = 100;
/// The longest delay that every platform keeps, in seconds (SQS: 15 minutes). A message that is due later comes early, and
/// its consumer sends it on.
pub const MAX_DELAY_SECONDS: i64 = 900;

/// A lane, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// What someone waits for.
    High,
    /// What keeps the market consistent.
    Default,
    /// What goes to other systems and people; slow, and no concern of the other lanes.
    Notifications,
    /// What may be lost when there is too much of it.
    Low,
}

impl Lane {
    /// All of them, most urgent first.
    pub const ALL: [Lane; 4] = [Lane::High, Lane::Default, Lane::Notifications, Lane::Low];

    /// As in the names of queues and in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lane::High => "high",
            Lane::Default => "default",
            Lane::Notifications => "notifications",
            Lane::Low => "low",
        }
    }

    /// The lane of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Lane> {
        Self::ALL.into_iter().find(|lane| lane.name() == name)
    }
}

/// A piece of work for one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same in every copy, attempt and replay of the same work: effects happen once per id.
    pub id: String,
    /// The name of the job that does it.
    pub job: String,
    /// Where it waits.
    pub lane: Lane,
    /// What the job needs to know: an event, or arguments of its own.
    pub body: Value,
    /// The `traceparent` of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not to be done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not worth doing from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The attempts that failed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Whether a job document of this id tells how it goes (`/v1/jobs/{id}`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tracked: bool,
}

/// The payload of a job's messages: it says which job a message is for, and in which lane it waits.
pub trait Payload: Serialize + DeserializeOwned {
    /// The name of the job: `function.task`.
    const JOB: &'static str;
    /// The lane.
    const LANE: Lane = Lane::Default;
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attempt {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    pub error: String,
}

impl Message {
    /// How long it should wait from `now` on, in whole seconds, at most [`MAX_DELAY_SECONDS`].
    #[must_use]
    pub fn delay_seconds(&self, now: Timestamp) -> i64 {
        let millis = self
            .not_before
            .map_or(0, |due| due.as_millisecond().saturating_sub(now.as_millisecond()));
        millis.saturating_add(999).div_euclid(1000).clamp(0, MAX_DELAY_SECONDS)
    }
}

/// A message as the queue delivers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How many times the queue has delivered it, this time included.
    pub deliveries: u32,
}

/// What the host tells the queue of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is dealt with; never deliver it again.
    Done,
    /// Deliver it again, after this many seconds at the earliest.
    Retry(
        /// Seconds.
        u32,
    ),
}

/// How much waits in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Backlog {
    /// Messages that could be done now, where the platform tells.
    pub ready: Option<u64>,
    /// Messages that wait for their time or are being worked on, where the platform tells.
    pub delayed: Option<u64>,
    /// How long the oldest that could be done waits already, in seconds, where the platform tells.
    pub oldest_seconds: Option<u64>,
}

/// Why a queue did not take messages. Some of them may have been taken: sending all of them again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum QueueError {
    /// Out of reach, throttled or full.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// Not something that every queue could take; a fault of the caller.
    #[error("the queue refuses: {0}")]
    Refused(String),
}

/// The sending side of the queues.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes all the messages, durably, each into its lane: at most [`MAX_SEND`], none larger than [`MAX_MESSAGE`].
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError>;

    /// How much waits in a lane.
    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError>;
}

/// Refuses what not every queue could take; every adapter calls it first. Gives the messages as JSON.
pub fn check(messages: &[Message]) -> Result<Vec<String>, QueueError> {
    if messages.is_empty() || messages.len() > MAX_SEND {
        return Err(QueueError::Refused("send 1 to 100 messages".into()));
    }
    messages
        .iter()
        .map(|message| {
            let text = serde_json::to_string(message).map_err(|e| QueueError::Refused(e.to_string()))?;
            if text.len() > MAX_MESSAGE {
                return Err(QueueError::Refused("a message is at most 64 KB".into()));
            }
            Ok(text)
        })
        .collect()
}
