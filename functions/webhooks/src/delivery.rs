//! A delivery: one event for one webhook, and the log of its attempts. Its document is `deliveries/{webhook}` +
//! `{delivery}`, kept for [`KEEP_SECONDS`].
//!
//! The ids of deliveries start with their time: the log is sorted by time, and a time range is a key range.

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use souk_core::outbound::{OutboundError, Reply};
use souk_core::{Event, Fault, Key, Random, Timestamp, clock, id};

use crate::webhook::Webhook;

/// The prefix of ids.
pub(crate) const PREFIX: &str = "dlv";
/// How long a delivery is kept and can be replayed, in seconds.
const KEEP_SECONDS: i64 = 30 * 24 * 3600;
/// How many attempts are kept; only replays lead to more attempts.
const MAX_ATTEMPTS: usize = 20;
/// The limits for a stored response: characters of the body, number of headers, characters of each name and value.
const MAX_EXCERPT: usize = 500;
const MAX_HEADERS: usize = 20;
const MAX_HEADER: usize = 100;
/// The maximum total size of the kept attempts as JSON, in bytes, so that large responses of a receiver cannot make the
/// delivery exceed the limit of a document.
const MAX_LOG: usize = 40 * 1024;

/// Status of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DeliveryStatus)]
pub enum Status {
    /// An attempt is scheduled or in progress.
    Pending,
    /// The receiver has accepted the event.
    Delivered,
    /// No further attempt will be made.
    Failed,
}

/// Delivery of an event to a webhook, with its attempts.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// The id, `dlv_…`: the `webhook-id` of every attempt.
    #[schema(pattern = "^dlv_[0-9a-f]{32}$")]
    pub id: String,
    /// The id of the webhook.
    pub webhook: String,
    /// The id of the event.
    pub event: String,
    /// Type of the event.
    #[serde(rename = "type")]
    pub name: String,
    /// Status.
    pub status: Status,
    /// Number of the round of attempts; it starts at 1 and increases by one with every replay.
    #[schema(minimum = 1)]
    pub round: u32,
    /// The latest attempts of all rounds, oldest first.
    pub attempts: Vec<Attempt>,
    /// Why the delivery failed.
    #[schema(required = true)]
    pub error: Option<String>,
    /// Earliest time of the next attempt.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub next_attempt_at: Option<Timestamp>,
    /// Request body, byte for byte.
    #[schema(value_type = Payload)]
    pub payload: Box<RawValue>,
    /// The `traceparent` of the request that caused the event.
    #[schema(required = true)]
    pub trace: Option<String>,
    /// When the delivery was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the latest round started or the latest attempt ended.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The body of a request to a webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WebhookEvent)]
pub(crate) struct Payload<'a> {
    /// Type of the event.
    r#type: &'a str,
    /// When the event happened.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// The id of the event, the same for all webhooks.
    id: &'a str,
    /// Version of the schema of `data`.
    version: u32,
    /// The id of the account that caused the event; `null` for events of the system.
    #[schema(required = true)]
    actor: Option<&'a str>,
    /// Data of the event; its schema is in the catalog of events.
    #[schema(value_type = HashMap<String, Value>)]
    data: &'a Value,
    /// If the webhook asks for it: the product, vendor, category or comment that the event is about, in the form of the API, as
    /// it is when the delivery is made, soon after the event; its `version` says which state that is. `null` if there is none,
    /// if it is larger than 32 KB, or if it is not public and belongs neither to the account nor to the vendor of the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<HashMap<String, Value>>)]
    snapshot: Option<Value>,
}

/// One request to the receiver.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DeliveryAttempt)]
pub struct Attempt {
    /// Number of the round that the attempt belongs to.
    pub round: u32,
    /// When the attempt started.
    // It was stored as `at` before.
    #[serde(alias = "at")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Duration in milliseconds.
    pub duration_ms: i64,
    /// Request, without the body, which is the `payload` of the delivery.
    pub request: Sent,
    /// Response, if there was one.
    #[schema(required = true)]
    pub response: Option<Received>,
    /// Why there was no response.
    #[schema(required = true)]
    pub error: Option<String>,
}

/// The request of an attempt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DeliveryRequest)]
pub struct Sent {
    /// URL.
    pub url: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
}

/// The response to an attempt.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DeliveryResponse)]
pub struct Received {
    /// HTTP status; 2xx means that the receiver has accepted the event.
    pub status: u16,
    /// The first response headers.
    pub headers: BTreeMap<String, String>,
    /// The start of the body.
    pub body: String,
}

/// The deliveries to replay.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDeliveryReplay)]
pub struct NewReplay {
    /// Earliest `created_at` of the deliveries.
    #[garde(custom(given))]
    #[serde(default)]
    #[schema(value_type = String, format = DateTime, required = true)]
    pub from: Option<Timestamp>,
    /// End of the range: all deliveries have an earlier `created_at`.
    #[garde(custom(given), custom(|to: &Option<Timestamp>, _: &()| after(*to, self.from)))]
    #[serde(default)]
    #[schema(value_type = String, format = DateTime, required = true)]
    pub to: Option<Timestamp>,
    /// Only deliveries with this status: `delivered` or `failed`. Both if absent; pending deliveries need no replay.
    #[garde(skip)]
    #[serde(default)]
    pub status: Option<Status>,
}

fn given<T, C>(value: &Option<T>, _: &C) -> garde::Result {
    match value {
        Some(_) => Ok(()),
        None => Err(Fault::required().into()),
    }
}

fn after(to: Option<Timestamp>, from: Option<Timestamp>) -> garde::Result {
    match (to, from) {
        (Some(to), Some(from)) if to <= from => Err(Fault::inconsistent("from", "must be later than from").into()),
        _ => Ok(()),
    }
}

impl Received {
    pub(crate) fn new(reply: &Reply) -> Self {
        // Replace control characters, because JSON escapes make them longer.
        let plain = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        let cut = |text: &str, max: usize| text.chars().take(max).map(plain).collect::<String>();
        let headers = reply.headers.iter().take(MAX_HEADERS);
        Self {
            status: reply.status,
            headers: headers
                .map(|(name, value)| (cut(name, MAX_HEADER), cut(value, MAX_HEADER)))
                .collect(),
            body: cut(&reply.text(), MAX_EXCERPT),
        }
    }
}

impl Delivery {
    /// A delivery of an event, perhaps with a snapshot of what it is about, to a webhook, before its first round.
    pub(crate) fn new(
        webhook: &Webhook,
        event: &Event,
        snapshot: Option<Value>,
        now: Timestamp,
        random: &dyn Random,
    ) -> serde_json::Result<Self> {
        let payload = Payload {
            r#type: &event.name,
            timestamp: event.timestamp,
            id: &event.id,
            version: event.version,
            actor: event.actor.as_deref(),
            data: &event.data,
            snapshot,
        };
        Ok(Self {
            // From the same reading of the clock as `created_at`: a replay finds by the id what its range has.
            id: id::at(PREFIX, now, random),
            webhook: webhook.id.clone(),
            event: event.id.clone(),
            name: event.name.clone(),
            status: Status::Pending,
            round: 0,
            attempts: Vec::new(),
            error: None,
            next_attempt_at: None,
            payload: serde_json::value::to_raw_value(&payload)?,
            trace: event.trace.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    /// Adds an attempt, and removes the oldest ones if there are too many.
    pub(crate) fn note(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        let size = |attempt: &Attempt| serde_json::to_string(attempt).map_or(MAX_LOG, |text| text.len());
        let mut room = MAX_LOG;
        let kept = self.attempts.iter().rev().take(MAX_ATTEMPTS).take_while(|attempt| {
            let fits = room.checked_sub(size(attempt));
            room = fits.unwrap_or(0);
            fits.is_some()
        });
        // The latest attempt always fits, because only the start of a response is kept.
        let kept = kept.count().max(1);
        let surplus = self.attempts.len().saturating_sub(kept);
        self.attempts.drain(..surplus);
    }

    pub(crate) fn key(webhook: &str, delivery: &str) -> Key {
        Key::new(partition(webhook), delivery)
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        clock::after(self.created_at, KEEP_SECONDS)
    }
}

/// The partition of a webhook's deliveries.
pub(crate) fn partition(webhook: &str) -> String {
    format!("deliveries/{webhook}")
}

/// A sort key before those of all deliveries made at `time` or later, and after those of all earlier ones.
pub(crate) fn mark(time: Timestamp) -> String {
    format!("{PREFIX}_{:012x}", time.as_millisecond().max(0))
}

/// The text of a failed request in the log.
pub(crate) fn describe(error: &OutboundError) -> String {
    error.to_string().chars().take(MAX_HEADER).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::deliver::Step;

    #[test]
    fn marks_divide_the_log_by_time() {
        struct Fill(u8);
        impl souk_core::Random for Fill {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let now = 1_800_000_000_000;
        assert!(id::at(PREFIX, at(now), &Fill(0)) > mark(at(now)));
        assert!(id::at(PREFIX, at(now - 1), &Fill(255)) < mark(at(now)));
    }

    /// A body written by an earlier version stays readable, and the payload keeps its bytes.
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
