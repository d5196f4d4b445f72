//! The `Queue` port: lanes of messages. Each message is work for one job.
//!
//! **Delivery.** A message that `send` has acknowledged is delivered at least once: possibly twice, late, and out of
//! order. If a consumer dies before it finishes a message or gives it back, the message is delivered again after a
//! while. The host consumes: it passes the queue's deliveries to `souk_kit::App::work` and reports their outcome to the
//! queue.
//!
//! **Lanes** are separate queues with separate consumers, so that no lane waits for another. When the backlog is full,
//! `low` is shed first, so only work that may be lost belongs there.
//!
//! **Retries** are not the queue's: a failed job is sent again as a new message with its history and a delay. When its
//! attempts are used up, it becomes a dead letter among the documents. The queue's own redelivery and dead-letter queue
//! only handle consumers that crash.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Tenant, Timestamp, clock};

/// The largest message as JSON, in bytes (the smallest of all platforms' limits is 128 KB for a batch of one).
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The maximum number of messages of one `send`.
pub const MAX_SEND: usize = 100;
/// How far the clocks of two machines may differ, in seconds.
const CLOCK_SKEW_SECONDS: i64 = 60;
/// The longest delay that every platform supports, in seconds (SQS: 15 minutes). A message that is due later is
/// delivered early, and its consumer sends it again.
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
    /// All lanes, most urgent first.
    pub const ALL: [Lane; 4] = [Lane::High, Lane::Default, Lane::Notifications, Lane::Low];

    /// The name, as in queue names and URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Lane::High => "high",
            Lane::Default => "default",
            Lane::Notifications => "notifications",
            Lane::Low => "low",
        }
    }

    /// The lane with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Lane> {
        Self::ALL.into_iter().find(|lane| lane.name() == name)
    }
}

/// Work for one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same in every copy, attempt and replay of the work: its effects happen once per id.
    pub id: String,
    /// The name of the job.
    pub job: String,
    /// The lane that it is sent to.
    pub lane: Lane,
    /// The job's input: an event, or arguments of its own.
    pub body: Value,
    /// The `traceparent` of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The job must not start before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When that was decided: a moment that has not come yet is one of a wrong clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_at: Option<Timestamp>,
    /// From then on the message expires: the job is not worth doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The failed attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Whether a job document with this id shows the progress (`/v1/jobs/{id}`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tracked: bool,
    /// The account whose share of the lane it takes: the one that caused it, or the one that it is sent for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The market that it is work of.
    #[serde(default = "Tenant::main", skip_serializing_if = "Tenant::is_main")]
    pub tenant: Tenant,
    /// What shows that it is: see `souk_kit`. Set when it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// The payload of a job's messages. It determines the job and the lane.
pub trait Payload: Serialize + DeserializeOwned {
    /// The name of the job: `function.task`.
    const JOB: &'static str;
    /// The lane.
    const LANE: Lane = Lane::Default;
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = FailedAttempt)]
pub struct Attempt {
    /// When the attempt failed.
    // It was stored as `at` before.
    #[serde(alias = "at")]
    #[schema(value_type = String, format = DateTime)]
    pub failed_at: Timestamp,
    /// Why.
    pub error: String,
}

impl Message {
    /// Puts the job off by this time, in milliseconds.
    pub fn delay(&mut self, now: Timestamp, millis: i64) {
        self.not_before = Timestamp::from_millisecond(now.as_millisecond().saturating_add(millis)).ok();
        self.delayed_at = Some(now);
    }

    /// When the job may start, unless the clock was wrong when that was decided.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.not_before.filter(|_| {
            self.delayed_at
                .is_none_or(|at| at <= clock::after(now, CLOCK_SKEW_SECONDS))
        })
    }

    /// The delay that the queue should apply at `now`, in whole seconds, at most [`MAX_DELAY_SECONDS`].
    #[must_use]
    pub fn delay_seconds(&self, now: Timestamp) -> i64 {
        let millis = self
            .due(now)
            .map_or(0, |due| due.as_millisecond().saturating_sub(now.as_millisecond()));
        millis.saturating_add(999).div_euclid(1000).clamp(0, MAX_DELAY_SECONDS)
    }
}

impl Message {
    /// A message for what a queue delivers and nobody can read. It has no job, so it becomes a dead letter.
    #[must_use]
    pub fn unreadable(id: String, lane: Lane, body: String, created_at: Timestamp) -> Self {
        Self {
            id,
            job: String::new(),
            lane,
            body: Value::String(body),
            trace: None,
            created_at,
            not_before: None,
            delayed_at: None,
            expires_at: None,
            attempts: Vec::new(),
            tracked: false,
            account: None,
            tenant: Tenant::main(),
            seal: None,
        }
    }
}

/// The rate above which an account's messages queue behind those of others, as the interval between two, in milliseconds.
const SHARE_INTERVAL_MS: i64 = 20;
/// How far behind an account's messages may queue, in milliseconds.
pub const MAX_TURN_MS: i64 = 3_600_000;
/// How many accounts are remembered.
const MAX_SHARES: usize = 10_000;

/// The fair order of a lane's messages (virtual clock scheduling): a message's *turn* is when it was sent, or later if its
/// account sends more than 50 messages a second. A lane that works in the order of turns serves an account that floods it
/// after the others, and is never idle for it.
#[derive(Debug, Default)]
pub struct Shares {
    last: HashMap<(Lane, String), i64>,
}

impl Shares {
    /// The turn of a message that is sent now, in milliseconds since 1970.
    pub fn turn(&mut self, message: &Message, now: Timestamp) -> i64 {
        let now = now.as_millisecond();
        let Some(account) = &message.account else {
            return now;
        };
        if self.last.len() >= MAX_SHARES {
            self.last.retain(|_, last| *last > now);
            if self.last.len() >= MAX_SHARES {
                self.last.clear();
            }
        }
        let last = self.last.entry((message.lane, account.clone())).or_default();
        // A turn that is further ahead is one of a clock that was wrong.
        let is_plausible = *last <= now.saturating_add(MAX_TURN_MS);
        let next = if is_plausible {
            last.saturating_add(SHARE_INTERVAL_MS)
        } else {
            now
        };
        *last = next.clamp(now, now.saturating_add(MAX_TURN_MS));
        *last
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

/// The outcome of a delivery, which the host reports to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The message is finished; delete it.
    Done,
    /// Redeliver the message, after this many seconds at the earliest.
    Retry(
        /// Seconds.
        u32,
    ),
}

/// How much waits in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LaneBacklog)]
pub struct Backlog {
    /// Messages that could be done now, where the platform tells.
    #[schema(required = true)]
    pub ready: Option<u64>,
    /// Messages that wait for their time or are being worked on, where the platform tells.
    #[schema(required = true)]
    pub delayed: Option<u64>,
    /// How long the oldest that could be done waits already, in seconds, where the platform tells.
    #[schema(required = true)]
    pub oldest_seconds: Option<u64>,
}

/// Why a send failed. The queue may have accepted some of the messages; sending all of them again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum QueueError {
    /// The queue is out of reach, throttled or full.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// Some queue could not accept this; the caller's fault.
    #[error("the queue refuses: {0}")]
    Refused(String),
}

/// The sending side of the queues.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Durably sends each message to its lane. Accepts at most [`MAX_SEND`] messages, none larger than [`MAX_MESSAGE`].
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError>;

    /// The backlog of a lane.
    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError>;
}

/// Refuses messages that some queue could not accept. Every adapter calls it first. Returns the messages as JSON.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(account: Option<&str>) -> Message {
        let mut message = Message::unreadable("msg_1".into(), Lane::Default, String::new(), Timestamp::UNIX_EPOCH);
        message.account = account.map(str::to_owned);
        message
    }

    #[test]
    fn who_floods_a_lane_queues_behind_the_others() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut shares = Shares::default();
        let mut turn = |account, now: Timestamp| shares.turn(&message(account), now) - now.as_millisecond();
        let flood: Vec<i64> = (0..1000).map(|_| turn(Some("acc_a"), now)).collect();
        assert_eq!(flood.first().copied(), Some(0));
        assert_eq!(flood.last().copied(), Some(999 * SHARE_INTERVAL_MS));
        assert_eq!((turn(Some("acc_b"), now), turn(None, now), turn(None, now)), (0, 0, 0));
        // It has its turn at once again when it has paid for what it sent.
        assert_eq!(turn(Some("acc_a"), clock::after(now, 60)), 0);
        // A clock that ran ahead puts nothing off.
        assert_eq!(turn(Some("acc_a"), clock::after(now, 86_400)), 0);
        assert_eq!(turn(Some("acc_a"), now), 0);
    }

    #[test]
    fn the_memory_of_shares_is_bounded() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut shares = Shares::default();
        for n in 0..3 * MAX_SHARES {
            for _ in 0..2 {
                shares.turn(&message(Some(&n.to_string())), now);
            }
        }
        assert!(shares.last.len() <= MAX_SHARES);
    }
}
