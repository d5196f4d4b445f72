//! [`SqsQueue`]: the `Queue` port over one SQS queue per lane.
//!
//! **Sending.** One `send` makes as many `SendMessageBatch` calls as SQS's limits require, a few concurrently. SQS may
//! accept a part of a batch; the rest is sent again. If some messages are never accepted, the whole `send` fails,
//! although SQS may have the others. A call whose response is lost is retried, so SQS may have its messages twice. The
//! port allows both.
//!
//! **Fair shares.** The account of a message is its group, so SQS delays the messages of an account that floods a lane
//! rather than those of others (fair queues).

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName, SendMessageBatchRequestEntry};
use futures_util::{StreamExt as _, stream};
use souk_core::queue::{Backlog, QueueError, check};
use souk_core::{Clock, Lane, Message, Queue, Random, StoreError};

use crate::Settings;
use crate::call::{Failure, failure, patiently};

/// How many messages one call may carry, and how many bytes.
const MAX_ENTRIES: usize = 10;
const MAX_BYTES: usize = 256 * 1024;
/// How many calls of one `send` run concurrently.
const AT_ONCE: usize = 5;

/// The lanes as SQS queues.
pub struct SqsQueue {
    client: Client,
    prefix: String,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl SqsQueue {
    /// The queues whose URLs are `prefix` followed by the name of a lane, such as
    /// `https://sqs.eu-central-1.amazonaws.com/123456789012/souk-`. Sends nothing yet.
    pub fn new(settings: &Settings, prefix: impl Into<String>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            client: settings.sqs(),
            prefix: prefix.into(),
            clock,
            random,
        }
    }

    fn url(&self, lane: Lane) -> String {
        format!("{}{}", self.prefix, lane.name())
    }

    /// Changes the visibility timeout of the deliveries with these receipts to so many seconds from now. `queue` is the
    /// name of the queue that they came from: a lane's or its dead-letter queue.
    pub async fn put_off(&self, queue: &str, deliveries: &[(String, u32)]) -> Result<(), QueueError> {
        let root = self.prefix.rsplit_once('/').map_or("", |(root, _)| root);
        for some in deliveries.chunks(MAX_ENTRIES) {
            let entries = some.iter().enumerate().map(|(place, (receipt, seconds))| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(place.to_string())
                    .receipt_handle(receipt)
                    .visibility_timeout(i32::try_from(*seconds).unwrap_or(i32::MAX))
                    .build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(unbuilt)?;
            let call = self
                .client
                .change_message_visibility_batch()
                .queue_url(format!("{root}/{queue}"))
                .set_entries(Some(entries));
            let answer = patiently(&*self.random, || {
                let call = call.clone();
                async { call.send().await.map_err(failure) }
            });
            if let Some(left) = answer.await.map_err(unavailable)?.failed.first() {
                return Err(QueueError::Unavailable(left.code.clone()));
            }
        }
        Ok(())
    }

    /// Sends one batch, and repeats it for the messages that SQS did not accept. Returns the reason if SQS rejects one
    /// for good.
    async fn send_batch(
        &self,
        lane: Lane,
        entries: Vec<SendMessageBatchRequestEntry>,
    ) -> Result<Option<String>, Failure> {
        let url = self.url(lane);
        let left = Mutex::new(entries);
        let left = || left.lock().unwrap_or_else(PoisonError::into_inner);
        patiently(&*self.random, || async {
            let entries = left().clone();
            let call = self.client.send_message_batch().queue_url(&url);
            let failed = call.set_entries(Some(entries)).send().await.map_err(failure)?.failed;
            let Some(first) = failed.first() else {
                return Ok(None);
            };
            // The only error that is the message's own fault. SQS reports others as sender faults too, such as denied
            // access to a KMS key; those are the deployment's, and no message may be discarded for them.
            if let Some(refused) = failed
                .iter()
                .find(|entry| entry.code.ends_with("InvalidMessageContents"))
            {
                return Ok(Some(refused.message.clone().unwrap_or_default()));
            }
            let why = format!("{} of a batch were left: {}", failed.len(), first.code);
            left().retain(|entry| failed.iter().any(|failed| failed.id == entry.id));
            Err(Failure::Passing(why))
        })
        .await
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, messages: &[Message]) -> Result<(), QueueError> {
        let batches = batches(messages, check(messages)?, &*self.clock)?;
        let sent = stream::iter(batches).map(|(lane, entries)| self.send_batch(lane, entries));
        let sent: Vec<_> = sent.buffer_unordered(AT_ONCE).collect().await;
        for result in sent {
            if let Some(why) = result.map_err(unavailable)? {
                return Err(QueueError::Refused(why));
            }
        }
        Ok(())
    }

    async fn backlog(&self, lane: Lane) -> Result<Backlog, QueueError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Ready, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as Leased,
        };
        let call = self
            .client
            .get_queue_attributes()
            .queue_url(self.url(lane))
            .set_attribute_names(Some(vec![Ready, Delayed, Leased]));
        let answer = patiently(&*self.random, || {
            let call = call.clone();
            async { call.send().await.map_err(failure) }
        });
        let counts = answer.await.map_err(unavailable)?.attributes.unwrap_or_default();
        let count = |name| counts.get(&name)?.parse::<u64>().ok();
        Ok(Backlog {
            ready: count(Ready),
            delayed: count(Delayed).zip(count(Leased)).map(|(a, b)| a.saturating_add(b)),
            oldest_seconds: None,
        })
    }
}

/// The messages, whose JSON is `texts`, in batches within SQS's limits.
fn batches(
    messages: &[Message],
    texts: Vec<String>,
    clock: &dyn Clock,
) -> Result<Vec<(Lane, Vec<SendMessageBatchRequestEntry>)>, QueueError> {
    let now = clock.now();
    let texts: Vec<String> = texts.into_iter().map(plain).collect();
    let mut batches = Vec::new();
    for lane in Lane::ALL {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (message, text) in messages.iter().zip(&texts).filter(|(message, _)| message.lane == lane) {
            if entries.len() == MAX_ENTRIES || bytes + text.len() > MAX_BYTES {
                batches.push((lane, std::mem::take(&mut entries)));
                bytes = 0;
            }
            bytes += text.len();
            let entry = SendMessageBatchRequestEntry::builder()
                .id(entries.len().to_string())
                .message_body(text)
                .delay_seconds(i32::try_from(message.delay_seconds(now)).unwrap_or(0))
                .set_message_group_id(message.account.clone())
                .build();
            entries.push(entry.map_err(unbuilt)?);
        }
        if !entries.is_empty() {
            batches.push((lane, entries));
        }
    }
    Ok(batches)
}

/// Escapes the two characters that JSON allows and SQS rejects.
fn plain(json: String) -> String {
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        json
    }
}

/// Converts a failure to the port's error.
fn unavailable(failure: Failure) -> QueueError {
    QueueError::Unavailable(match failure {
        Failure::Lasting(StoreError::Unavailable(why) | StoreError::Refused(why)) | Failure::Passing(why) => why,
        Failure::Lasting(other) => other.to_string(),
        Failure::Conditions(_) => "a condition failed where there is none".into(),
    })
}

/// Converts an error of the SDK's builders, which check for required fields. The fields are always set.
fn unbuilt(error: BuildError) -> QueueError {
    QueueError::Refused(error.to_string())
}
