//! The `Queue` port over Cloudflare Queues, one queue per lane, and the messages of a consumer's batch.
//!
//! **Sending.** A message is sent as a JSON text, which every tool can show. One `send` makes one or more `sendBatch` calls,
//! each atomic. If one fails, the messages of the earlier ones stay sent, as the port allows.
//!
//! **Fair shares.** Cloudflare delivers in no order that a sender could choose, so messages whose turn ([`Shares`]) is later
//! are delayed, for half a minute at most.
//!
//! **Consuming.** Cloudflare passes batches to the Worker's `queue` handler. When the handler succeeds, messages that it
//! neither acknowledged nor retried count as acknowledged, so it must decide for every message. When it fails (the isolate
//! died), the whole batch is redelivered and each message's `attempts` grows by one. After `max_retries` (`wrangler.toml`)
//! a message moves to its lane's dead-letter queue.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use souk_core::queue::{Backlog, Delivery, MAX_SEND, Outcome, QueueError, Shares, check};
use souk_core::{Clock as _, Lane, Message, Queue, Timestamp};
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Date, Function, Object, Promise, Reflect};
use worker::send::SendFuture;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{Env, QueueContentType, RawMessageBuilder, SendMessage, worker_sys};

use crate::SystemClock;
use crate::timeout::timeout;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest batch in bytes: Cloudflare allows 256 KB.
const MAX_BATCH: usize = 250_000;
/// What Cloudflare adds to a message in bytes: "up to about 100".
const OVERHEAD: usize = 128;
/// The longest delay of a message whose account sends too many, in seconds.
const MAX_TURN_SECONDS: i64 = 30;

/// The queue bindings of the lanes.
pub struct CloudflareQueue {
    lanes: [worker::Queue; Lane::ALL.len()],
    shares: Mutex<Shares>,
}

impl CloudflareQueue {
    /// Opens the bindings `QUEUE_HIGH`, `QUEUE_DEFAULT`, `QUEUE_NOTIFICATIONS` and `QUEUE_LOW`.
    pub fn open(env: &Env) -> Result<Self, String> {
        let bind = |name: &str| env.queue(name).map_err(|why| format!("{name}: {why}"));
        Ok(Self {
            lanes: [
                bind("QUEUE_HIGH")?,
                bind("QUEUE_DEFAULT")?,
                bind("QUEUE_NOTIFICATIONS")?,
                bind("QUEUE_LOW")?,
            ],
            shares: Mutex::default(),
        })
    }

    fn lane(&self, lane: Lane) -> &worker::Queue {
        let [high, default, notifications, low] = &self.lanes;
        match lane {
            Lane::High => high,
            Lane::Default => default,
            Lane::Notifications => notifications,
            Lane::Low => low,
        }
    }
}

#[async_trait]
impl Queue for CloudflareQueue {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        let texts = check(messages)?;
        let now = SystemClock.now();
        SendFuture::new(async {
            for lane in Lane::ALL {
                let (mut batch, mut bytes) = (Vec::new(), 0);
                for (message, text) in messages.iter().zip(&texts).filter(|(message, _)| message.lane == lane) {
                    let size = text.len() + OVERHEAD;
                    if bytes + size > MAX_BATCH || batch.len() == MAX_SEND {
                        self.send_batch(lane, std::mem::take(&mut batch)).await?;
                        bytes = 0;
                    }
                    bytes += size;
                    let delay = message.delay_seconds(now).max(self.turn_seconds(message, now));
                    let delay = u32::try_from(delay).unwrap_or(0);
                    let raw = RawMessageBuilder::new(JsValue::from_str(text)).delay_seconds(delay);
                    batch.push(raw.build_with_content_type(QueueContentType::Text));
                }
                if !batch.is_empty() {
                    self.send_batch(lane, batch).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Cloudflare's estimate: it may lag by seconds and does not count delayed messages.
    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError> {
        SendFuture::new(async {
            let metrics = within_timeout(lane, metrics(self.lane(lane))).await?;
            let ready = number(&metrics, "backlogCount").map(|count| count as u64);
            let oldest = Reflect::get(&metrics, &"oldestMessageTimestamp".into()).unwrap_or_default();
            let age = oldest.dyn_ref::<Date>().map(|sent| Date::now() - sent.get_time());
            Ok(Backlog {
                ready,
                delayed: None,
                oldest_seconds: age
                    .filter(|_| ready.is_some_and(|ready| ready > 0))
                    .map(|ms| (ms / 1000.0) as u64),
            })
        })
        .await
    }
}

impl CloudflareQueue {
    /// The seconds until the turn of a message.
    fn turn_seconds(&self, message: &Message, now: Timestamp) -> i64 {
        let turn = self
            .shares
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .turn(message, now);
        let wait = turn.saturating_sub(now.as_millisecond());
        (wait / 1000).clamp(0, MAX_TURN_SECONDS)
    }

    async fn send_batch(&self, lane: Lane, batch: Vec<SendMessage<JsValue>>) -> Result<(), QueueError> {
        within_timeout(lane, self.lane(lane).send_raw_batch(batch)).await
    }
}

/// `Queue.metrics()`, which the worker crate does not wrap.
async fn metrics(queue: &worker::Queue) -> worker::Result<JsValue> {
    let queue: &JsValue = queue.as_ref();
    let method: Function = Reflect::get(queue, &"metrics".into())?.dyn_into()?;
    let promise: Promise = method.call0(queue)?.dyn_into()?;
    Ok(JsFuture::from(promise).await?)
}

async fn within_timeout<T>(lane: Lane, call: impl Future<Output = worker::Result<T>>) -> Result<T, QueueError> {
    let failed = |why: String| QueueError::Unavailable(format!("{}: {why}", lane.name()));
    match timeout(TIMEOUT, call).await {
        Some(result) => result.map_err(|error| failed(error.to_string())),
        None => Err(failed("it took too long".into())),
    }
}

fn number(object: &JsValue, name: &str) -> Option<f64> {
    Reflect::get(object, &name.into()).ok()?.as_f64()
}

/// A message of a consumer's batch.
pub struct ReceivedMessage(worker_sys::Message);

/// The messages of a batch. The consumer must acknowledge or retry each: otherwise it counts as acknowledged.
#[must_use]
pub fn received(batch: &worker_sys::MessageBatch) -> Vec<ReceivedMessage> {
    // The getters of Cloudflare's objects do not throw.
    let messages = batch.messages().unwrap_or_default();
    messages
        .iter()
        .map(|message| ReceivedMessage(message.unchecked_into()))
        .collect()
}

impl ReceivedMessage {
    /// Parses the message of the queue of this lane. What was not sent by [`CloudflareQueue`] is a message without a job.
    pub fn read(&self, lane: Lane) -> Delivery {
        let body = self.0.body().unwrap_or_default();
        let text = body
            .as_string()
            .or_else(|| worker::js_sys::JSON::stringify(&body).ok()?.as_string());
        let text = text.unwrap_or_default();
        let message = serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::error!(%error, lane = lane.name(), "a message cannot be parsed");
            let id = self.0.id().map(String::from).unwrap_or_default();
            Message::unreadable(id, lane, text, SystemClock.now())
        });
        // The worker crate does not wrap `attempts`, which starts at 1.
        let deliveries = number(self.0.as_ref(), "attempts").map_or(1, |attempts| attempts as u32);
        Delivery { message, deliveries }
    }

    /// Acknowledges the message or asks for a retry.
    pub fn ack_or_retry(&self, outcome: Outcome) {
        // Neither throws while the `queue` handler runs.
        let _ = match outcome {
            Outcome::Done => self.0.ack(),
            Outcome::Retry(seconds) => {
                let options = Object::new();
                let _ = Reflect::set(&options, &"delaySeconds".into(), &seconds.into());
                self.0.retry(options.into())
            }
        };
    }

    /// Asks for a retry after the queue's `retry_delay`, as if the consumer had died.
    pub fn fail(&self) {
        let _ = self.0.retry(JsValue::UNDEFINED);
    }
}
