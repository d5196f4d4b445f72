//! A delivery: one event for one webhook, and the log of its attempts, which is its document:
//! `deliveries/{webhook}` + `{delivery}`, kept for [`KEEP_SECONDS`].
//!
//! The ids of deliveries begin with their time, so the log is read in its order, and a range of time is a range of keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use souk_core::outbound::{OutboundError, Reply};
use souk_core::{Change, Condition, Event, Key, Lane, Message, StoreError, Timestamp, clock, id};
use souk_kit::Platform;

use crate::webhook::{Webhook, put};

/// The prefix of ids.
pub(crate) const PREFIX: &str = "dlv";
/// How long a delivery can be looked at and replayed, in seconds.
pub(crate) const KEEP_SECONDS: i64 = 30 * 24 * 3600;
/// How many attempts are remembered; only replays make more.
const MAX_ATTEMPTS: usize = 20;
/// How much of an answer is kept: characters of the body, headers, characters of each.
const MAX_EXCERPT: usize = 500;
const MAX_HEADERS: usize = 20;
const MAX_HEADER: usize = 100;
/// How large all remembered attempts may be together as JSON, in bytes. Receivers decide what they answer, and must not
/// thereby decide whether a delivery can be written.
const MAX_LOG: usize = 40 * 1024;

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryStatus)]
pub enum Status {
    /// To be attempted, for the first time or again.
    Pending,
    /// The receiver has it.
    Delivered,
    /// Given up.
    Failed,
}

/// An event for a webhook, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// `dlv_…`: the `webhook-id` of each of its attempts.
    #[schema(pattern = "^dlv_[0-9a-f]{32}$")]
    pub id: String,
    /// The webhook.
    pub webhook: String,
    /// The id of the event.
    pub event: String,
    /// The type of the event.
    #[serde(rename = "type")]
    pub name: String,
    /// How it stands.
    pub status: Status,
    /// 1, and one more with each replay.
    #[schema(minimum = 1)]
    pub round: u32,
    /// The last attempts, oldest first, of all rounds.
    pub attempts: Vec<Attempt>,
    /// Why it was given up.
    pub error: Option<String>,
    /// When the next attempt is due, at the earliest.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
    /// The body that is sent, byte for byte.
    #[schema(value_type = Payload)]
    pub payload: Box<RawValue>,
    /// The `traceparent` of the request that caused the event.
    pub trace: Option<String>,
    /// When the event was assigned to the webhook.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When something last came of it.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// What a webhook receives.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Payload<'a> {
    /// The type of the event.
    r#type: &'a str,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// The event's own id, the same for all webhooks.
    id: &'a str,
    /// The version of the shape of `data`.
    version: u32,
    /// The account that did it.
    actor: Option<&'a str>,
    /// The fact; its schema is in the catalogue of events.
    #[schema(value_type = Object)]
    data: &'a serde_json::Value,
}

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct Attempt {
    /// The round that it belongs to.
    pub round: u32,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: i64,
    /// What was sent, with the payload.
    pub request: Sent,
    /// What came back.
    pub response: Option<Received>,
    /// Why nothing came back.
    pub error: Option<String>,
}

/// The request of an attempt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Sent {
    /// Where.
    pub url: String,
    /// With which headers.
    pub headers: BTreeMap<String, String>,
}

/// The answer to an attempt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Received {
    /// Its status; 2xx means that the receiver has the event.
    pub status: u16,
    /// Its first headers.
    pub headers: BTreeMap<String, String>,
    /// The beginning of its body.
    pub body: String,
}

impl Received {
    pub(crate) fn new(reply: &Reply) -> Self {
        // What would grow when it is written as JSON is not what anyone wants to read.
        let plain = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        let cut = |text: &str, max: usize| text.chars().take(max).map(plain).collect::<String>();
        let headers = reply.headers.iter().take(MAX_HEADERS);
        Self {
            status: reply.status,
            headers: headers
                .map(|(name, value)| (cut(name, MAX_HEADER), cut(value, MAX_HEADER)))
                .collect(),
            body: cut(&reply.body, MAX_EXCERPT),
        }
    }
}

/// What a message asks for: the next attempt of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) webhook: String,
    pub(crate) delivery: String,
    pub(crate) round: u32,
    /// How many attempts of this round have failed.
    pub(crate) failed: u32,
    /// The how-manieth message of this round it is: makes its id unlike all others.
    pub(crate) number: u32,
    /// Whether its turn was given to it already.
    #[serde(default)]
    pub(crate) admitted: bool,
}

impl Step {
    /// The message that asks for it, `delay_ms` from now. The same step is always the same message.
    pub(crate) fn message(
        &self,
        platform: &Platform,
        delay_ms: i64,
        trace: Option<String>,
    ) -> Result<Message, StoreError> {
        let body = serde_json::to_value(self).map_err(|e| StoreError::Refused(e.to_string()))?;
        let mut message = platform.message(crate::deliver::JOB, Lane::Notifications, body, trace);
        message.id = format!("{}.{}.{}", self.delivery, self.round, self.number);
        if delay_ms > 0 {
            let due = platform.now().as_millisecond().saturating_add(delay_ms);
            message.not_before = Timestamp::from_millisecond(due).ok();
        }
        Ok(message)
    }
}

impl Delivery {
    /// A new one, and the message that asks for its first attempt.
    pub(crate) fn new(platform: &Platform, webhook: &Webhook, event: &Event) -> Result<(Self, Message), StoreError> {
        let payload = Payload {
            r#type: &event.name,
            timestamp: event.time,
            id: &event.id,
            version: event.version,
            actor: event.actor.as_deref(),
            data: &event.data,
        };
        let now = platform.now();
        let mut delivery = Self {
            id: id::new(PREFIX, &*platform.clock, &*platform.random),
            webhook: webhook.id.clone(),
            event: event.id.clone(),
            name: event.name.clone(),
            status: Status::Pending,
            round: 0,
            attempts: Vec::new(),
            error: None,
            next_attempt_at: None,
            payload: serde_json::value::to_raw_value(&payload).map_err(|e| StoreError::Refused(e.to_string()))?,
            trace: event.trace.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let message = delivery.begin(platform)?;
        Ok((delivery, message))
    }

    /// Begins a new round; what is left of the one before comes to nothing.
    pub(crate) fn begin(&mut self, platform: &Platform) -> Result<Message, StoreError> {
        self.round = self.round.saturating_add(1);
        self.status = Status::Pending;
        self.error = None;
        self.updated_at = platform.now();
        self.next_attempt_at = Some(self.updated_at);
        let step = Step {
            webhook: self.webhook.clone(),
            delivery: self.id.clone(),
            round: self.round,
            failed: 0,
            number: 0,
            admitted: false,
        };
        step.message(platform, 0, self.trace.clone())
    }

    /// Notes an attempt.
    pub(crate) fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let size = |attempt: &Attempt| serde_json::to_string(attempt).map_or(MAX_LOG, |text| text.len());
        let mut room = MAX_LOG;
        let kept = self.attempts.iter().rev().take(MAX_ATTEMPTS).take_while(|attempt| {
            let fits = room.checked_sub(size(attempt));
            room = fits.unwrap_or(0);
            fits.is_some()
        });
        // The last one always: it fits by what is kept of an answer.
        let kept = kept.count().max(1);
        let surplus = self.attempts.len().saturating_sub(kept);
        self.attempts.drain(..surplus);
    }

    pub(crate) fn key(webhook: &str, delivery: &str) -> Key {
        Key::new(partition(webhook), delivery)
    }

    /// The change that writes it.
    pub(crate) fn put(&self, condition: Condition) -> Result<Change, StoreError> {
        let expires_at = clock::after(self.created_at, KEEP_SECONDS);
        put(Self::key(&self.webhook, &self.id), self, condition, Some(expires_at))
    }
}

/// The log of a webhook.
pub(crate) fn partition(webhook: &str) -> String {
    format!("deliveries/{webhook}")
}

/// What sorts before every delivery made at `time` or later, and behind all earlier ones.
pub(crate) fn mark(time: Timestamp) -> String {
    format!("{PREFIX}_{:012x}", time.as_millisecond().max(0))
}

/// What a failure is called in the log.
pub(crate) fn describe(error: &OutboundError) -> String {
    error.to_string().chars().take(MAX_HEADER).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_divide_the_log_by_time() {
        struct At(i64);
        impl souk_core::Clock for At {
            fn now(&self) -> Timestamp {
                Timestamp::from_millisecond(self.0).unwrap()
            }
        }
        struct Fill(u8);
        impl souk_core::Random for Fill {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        let now = 1_800_000_000_000;
        let mark = mark(Timestamp::from_millisecond(now).unwrap());
        assert!(id::new(PREFIX, &At(now), &Fill(0)) > mark);
        assert!(id::new(PREFIX, &At(now - 1), &Fill(255)) < mark);
    }

    /// What an earlier version wrote stays readable, and the payload keeps its bytes.
    #[test]
    fn stored_forms_are_pinned() {
        let stored = r#"{"id":"dlv_1","webhook":"whk_1","event":"evt_1","type":"product.sold","status":"failed","round":2,
            "attempts":[{"round":1,"at":"2026-11-21T12:00:00Z","duration_ms":12,
            "request":{"url":"https://a.example/","headers":{"webhook-id":"dlv_1"}},
            "response":{"status":500,"headers":{"x":"y"},"body":"oops"},"error":null}],
            "error":"x","next_attempt_at":null,"payload":{"z":1, "a":2},"trace":null,
            "created_at":"2026-11-21T12:00:00Z","updated_at":"2026-11-21T12:00:00Z"}"#;
        let delivery: Delivery = serde_json::from_str(stored).unwrap();
        assert_eq!(
            (delivery.status, delivery.payload.get()),
            (Status::Failed, r#"{"z":1, "a":2}"#)
        );
        let step = r#"{"webhook":"whk_1","delivery":"dlv_1","round":1,"failed":2,"number":3}"#;
        assert!(!serde_json::from_str::<Step>(step).unwrap().admitted);
    }
}
