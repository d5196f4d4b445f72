//! The worker's events: batches of messages from SQS, of a lane or of its dead-letter queue, and EventBridge's every minute.
//!
//! SQS deletes the messages of a batch that the response does not list as failed. It delivers the others again when
//! their visibility timeout ends, which [`SqsQueue::put_off`] shortens; if that call fails, they come later. If the worker dies
//! before it responds, SQS delivers the whole batch again, and the inbox knows which messages are done.

use lambda_http::Error;
use serde::Deserialize;
use serde_json::{Value, json};
use souk_aws::SqsQueue;
use souk_core::queue::{Delivery, Outcome};
use souk_core::{Lane, Message, Timestamp};
use souk_kit::App;

/// The suffix of the names of dead-letter queues.
const DEAD: &str = "-dead";
/// When messages that may have ended a consumer come again if they end this one, in seconds: as long as the worker may run.
const SUSPECTS_SECONDS: u32 = 60;

/// A message of a batch, as SQS delivers it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    message_id: String,
    receipt_handle: String,
    body: String,
    attributes: Attributes,
    #[serde(rename = "eventSourceARN")]
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    approximate_receive_count: String,
    sent_timestamp: String,
}

/// Handles an event and returns the response to it.
pub(crate) async fn handle(app: &App, queue: &SqsQueue, mut event: Value) -> Result<Value, Error> {
    if event.get("detail-type").is_some_and(|kind| kind == "Scheduled Event") {
        app.tick().await;
        return Ok(Value::Null);
    }
    let records = event.get_mut("Records").map(Value::take).unwrap_or_default();
    let records: Vec<Record> =
        serde_json::from_value(records).map_err(|e| format!("neither a batch of SQS nor a scheduled event: {e}"))?;
    let Some(source) = records.first().map(|record| queue_name(&record.source).to_owned()) else {
        return Ok(Value::Null);
    };
    let suspects: Vec<_> = records
        .iter()
        .filter(|record| deliveries(record) > 1)
        .map(|record| (record.receipt_handle.clone(), SUSPECTS_SECONDS))
        .collect();
    if let Err(error) = queue.put_off(&source, &suspects).await {
        tracing::warn!(%error, queue = source, "messages keep their visibility timeout");
    }
    let Batch { response, retries } = batch(app, records).await;
    if let Err(error) = queue.put_off(&source, &retries).await {
        tracing::warn!(%error, queue = source, "messages are retried only when their visibility timeout ends");
    }
    Ok(response)
}

/// The outcome of a batch.
struct Batch {
    /// Names the messages that SQS must not delete.
    response: Value,
    /// The receipt handles of these messages, and after how many seconds to deliver them again.
    retries: Vec<(String, u32)>,
}

/// Processes a batch, whose messages are all of one queue.
async fn batch(app: &App, records: Vec<Record>) -> Batch {
    let is_dead = records.first().is_some_and(|record| record.source.ends_with(DEAD));
    let deliveries = records.iter().map(delivery).collect();
    let outcomes = if is_dead {
        app.dead_letter(deliveries).await
    } else {
        app.work(deliveries).await
    };
    let (mut failures, mut retries) = (Vec::new(), Vec::new());
    for (record, outcome) in records.into_iter().zip(outcomes) {
        if let Outcome::Retry(seconds) = outcome {
            failures.push(json!({ "itemIdentifier": record.message_id }));
            retries.push((record.receipt_handle, seconds));
        }
    }
    Batch {
        response: json!({ "batchItemFailures": failures }),
        retries,
    }
}

/// The name of the queue with this ARN.
fn queue_name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

/// The message in a record. A body that cannot be parsed becomes a message without a job, which the runner keeps as a dead
/// letter.
fn delivery(record: &Record) -> Delivery {
    let message = serde_json::from_str(&record.body).unwrap_or_else(|error| {
        tracing::error!(%error, sqs_id = record.message_id, "a message cannot be parsed");
        let queue = queue_name(&record.source);
        let lane = queue.strip_suffix(DEAD).unwrap_or(queue).rsplit('-').next();
        let sent = record.attributes.sent_timestamp.parse().ok();
        let sent = sent
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or_default();
        let lane = lane.and_then(Lane::parse).unwrap_or(Lane::Default);
        Message::unreadable(record.message_id.clone(), lane, record.body.clone(), sent)
    });
    Delivery {
        message,
        deliveries: deliveries(record),
    }
}

fn deliveries(record: &Record) -> u32 {
    record.attributes.approximate_receive_count.parse().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::{Deserialize, Serialize};
    use souk_core::documents::get_one;
    use souk_core::queue::Payload;
    use souk_core::{Change, Commit, Condition, Key, Queue};
    use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, dead_letters};
    use souk_kit::{Function, Keys, PasswordCost, Platform, Ports, Registry, Settings};
    use souk_sqlite::{SqliteQueue, SystemClock, SystemRandom};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Text(String);

    impl Payload for Text {
        const JOB: &'static str = "test";
        const LANE: Lane = Lane::High;
    }

    /// An app over SQLite with one job, which fails for the body `poison`.
    fn app() -> (App, Arc<Platform>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let queue: Arc<dyn Queue> =
            Arc::new(SqliteQueue::open(&folder.path().join("queue.db"), clock.clone()).unwrap());
        let ports = Ports {
            documents: Arc::new(souk_sqlite::open(&folder.path().join("souk.db"), clock.clone()).unwrap()),
            queue,
            search: Arc::new(souk_core::search::NoSearch(None)),
            outbound: Arc::new(crate::NoOutbound),
            principals: souk_market::principals(),
            clock,
            random,
        };
        let keys = Keys::parse(&Keys::generate(&SystemRandom)).unwrap();
        let settings = Settings::from_lookup(|_| None, PasswordCost::SERVER).unwrap();
        let platform = Arc::new(Platform::new(ports, keys, settings, Registry::default()));
        let job = Job::single("", |tx: JobTransaction, Text(text), message: Message| async move {
            if text == "poison" {
                return Err(JobError::Fatal("it is poison".into()));
            }
            tx.create(Key::of("done", &message.id), json!({})).or_retry();
            Ok(JobOutput::default())
        });
        let function = Function {
            jobs: vec![job],
            ..Function::default()
        };
        (App::new(platform.clone(), [function]), platform, folder)
    }

    fn message(platform: &Platform, id: &str, body: &str) -> Message {
        let mut message = platform.message("test", Lane::High, body.into(), None);
        message.id = id.into();
        message
    }

    /// An event as SQS sends it.
    fn event(queue: &str, bodies: &[String]) -> Value {
        let record = |(n, body): (usize, &String)| {
            json!({
                "messageId": format!("059f36b4-87a3-44ab-83d2-66197504000{n}"),
                "receiptHandle": format!("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a.{n}"),
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "2",
                    "SentTimestamp": "1773342238000",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1773342238001"
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{queue}"),
                "awsRegion": "eu-central-1"
            })
        };
        json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
    }

    fn records(event: &Value) -> Vec<Record> {
        serde_json::from_value(event["Records"].clone()).unwrap()
    }

    async fn dead_letter(platform: &Platform, id: &str) -> Option<dead_letters::DeadLetter> {
        let found = get_one(&**platform.documents(), dead_letters::key(Lane::High, id))
            .await
            .unwrap();
        found.map(|document| document.parse().unwrap())
    }

    #[tokio::test]
    async fn a_batch_is_processed_and_poison_becomes_a_dead_letter() {
        let (app, platform, _folder) = app();
        let texts = [
            message(&platform, "job_good", "good"),
            message(&platform, "job_bad", "poison"),
        ]
        .map(|message| serde_json::to_string(&message).unwrap());
        let [good, bad] = texts;
        let event = event("souk-high", &[good, "not a message".into(), bad]);
        assert_eq!(delivery(&records(&event)[0]).deliveries, 2);
        let done = batch(&app, records(&event)).await;
        assert_eq!(done.response, json!({ "batchItemFailures": [] }));
        assert!(done.retries.is_empty());
        let letter = dead_letter(&platform, "job_bad").await.unwrap();
        assert_eq!((letter.error.as_str(), letter.attempts.len()), ("it is poison", 1));
        // What cannot be parsed is kept too, under the id that SQS gave it.
        let letter = dead_letter(&platform, "059f36b4-87a3-44ab-83d2-661975040001")
            .await
            .unwrap();
        assert_eq!(letter.message.body, "not a message");
        assert_eq!(letter.message.created_at.as_millisecond(), 1_773_342_238_000);
        let mark = get_one(&**platform.documents(), Key::of("inbox", "job_good"))
            .await
            .unwrap();
        assert!(mark.is_some());
    }

    #[tokio::test]
    async fn messages_of_a_dead_letter_queue_become_dead_letters() {
        let (app, platform, _folder) = app();
        let text = serde_json::to_string(&message(&platform, "job_1", "good")).unwrap();
        let trial = Change::Put {
            key: Key::of("trial", "job_1"),
            body: r#"{"runs":3}"#.into(),
            counters: Vec::new(),
            expires_at: None,
            condition: Condition::Absent,
            entries: Vec::new(),
            stale: Vec::new(),
        };
        platform.documents().commit(Commit::new(vec![trial])).await.unwrap();
        let done = batch(&app, records(&event("souk-high-dead", &[text, "?".into()]))).await;
        assert_eq!(done.response, json!({ "batchItemFailures": [] }));
        let letter = dead_letter(&platform, "job_1").await.unwrap();
        assert!(letter.error.contains("gave it up"), "{}", letter.error);
        assert!(
            dead_letter(&platform, "059f36b4-87a3-44ab-83d2-661975040001")
                .await
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_dead_letter_that_cannot_be_stored_is_retried() {
        let (app, platform, _folder) = app();
        // The second one is larger than a document may be: its beginning is kept.
        let mut event = event("souk-high-dead", &["?".into(), "x".repeat(500_000)]);
        // Longer than a key may be.
        let id = "m".repeat(2_000);
        event["Records"][0]["messageId"] = json!(id);
        let done = batch(&app, records(&event)).await;
        assert_eq!(
            done.response,
            json!({ "batchItemFailures": [{ "itemIdentifier": id }] })
        );
        assert_eq!(done.retries[0].0, "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a.0");
        assert_eq!(done.retries.len(), 1);
        let letter = dead_letter(&platform, "059f36b4-87a3-44ab-83d2-661975040001").await;
        assert!(letter.unwrap().message.body.as_str().unwrap().starts_with("\"xxx"));
    }

    #[tokio::test]
    async fn a_scheduled_event_is_a_tick_and_an_unknown_one_an_error() {
        let (app, _, _folder) = app();
        let settings = souk_aws::Settings::emulator("http://127.0.0.1:1");
        let (clock, random) = (Arc::new(souk_aws::SystemClock), Arc::new(souk_aws::SystemRandom));
        let queue = SqsQueue::new(&settings, "http://127.0.0.1:1/0/souk-", clock, random);
        let event = json!({
            "version": "0",
            "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "123456789012",
            "time": "2026-10-08T16:53:06Z",
            "region": "eu-central-1",
            "resources": ["arn:aws:events:eu-central-1:123456789012:rule/souk-WorkerFunctionMinute-1"],
            "detail": {}
        });
        assert_eq!(handle(&app, &queue, event).await.unwrap(), Value::Null);
        for event in [
            Value::Null,
            json!({}),
            json!({ "rawPath": "/" }),
            json!({ "Records": [{ "s3": {} }] }),
        ] {
            assert!(handle(&app, &queue, event.clone()).await.is_err(), "{event}");
        }
    }
}
