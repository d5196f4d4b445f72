//! The requests that are sent to SQS, and failures that no emulator produces: throttling, responses that are late or
//! lost, and partly accepted batches.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine"
)]

mod stub;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use souk_aws::{Settings, SqsQueue, SystemClock, SystemRandom};
use souk_core::queue::{Backlog, QueueError};
use souk_core::{Clock, Lane, Message, Queue, Tenant, clock};
use stub::{Answer, Asked, run};

/// A queue that talks to a stub with this script.
async fn queue(script: Vec<Answer>) -> (SqsQueue, Asked) {
    let (settings, asked) = stub::start(script).await;
    (over(&settings), asked)
}

fn over(settings: &Settings) -> SqsQueue {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    SqsQueue::new(settings, "https://sqs.example/123/souk-", clock, random)
}

fn message(id: &str, lane: Lane, body: &str) -> Message {
    Message {
        id: id.into(),
        job: "test".into(),
        lane,
        body: body.into(),
        trace: None,
        created_at: SystemClock.now(),
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

fn three() -> [Message; 3] {
    ["a", "b", "c"].map(|id| message(id, Lane::High, ""))
}

fn fault(code: &str) -> Answer {
    let kind = format!("com.amazonaws.sqs#{code}");
    Answer::Json(400, json!({ "__type": kind, "message": "no" }))
}

fn done() -> Answer {
    Answer::Json(200, json!({ "Successful": [], "Failed": [] }))
}

/// SQS did not accept the messages with these positions in the batch.
fn left(places: &[&str], code: &str) -> Answer {
    let failed = places
        .iter()
        .map(|id| json!({ "Id": id, "Code": code, "Message": "no", "SenderFault": true }));
    let failed: Vec<_> = failed.collect();
    Answer::Json(200, json!({ "Successful": [], "Failed": failed }))
}

/// The ids of the messages in each call.
fn sent(asked: &Asked) -> Vec<Vec<String>> {
    let id = |entry: &Value| {
        let message: Message = serde_json::from_str(entry["MessageBody"].as_str().unwrap()).unwrap();
        message.id
    };
    let ids = |call: &Value| call["Entries"].as_array().unwrap().iter().map(id).collect();
    asked.lock().unwrap().iter().map(ids).collect()
}

async fn failed(queue: &SqsQueue) -> QueueError {
    let sent = tokio::time::timeout(Duration::from_secs(3), queue.send(&three())).await;
    sent.unwrap().unwrap_err()
}

#[tokio::test]
async fn no_batch_exceeds_the_limits_of_sqs() {
    run(async {
        let (queue, asked) = queue(vec![done()]).await;
        let large = "x".repeat(60_000);
        let messages: Vec<Message> = (0..100)
            .map(|n| {
                let body = if n % 3 == 0 { &large } else { "\u{ffff}ß\u{0}\u{fffe}" };
                message(&n.to_string(), Lane::ALL[n % 4], body)
            })
            .collect();
        queue.send(&messages).await.unwrap();
        let mut arrived = Vec::new();
        for call in asked.lock().unwrap().iter() {
            let entries = call["Entries"].as_array().unwrap();
            let bytes: usize = entries
                .iter()
                .map(|entry| entry["MessageBody"].as_str().unwrap().len())
                .sum();
            assert!(
                entries.len() <= 10 && bytes <= 256 * 1024,
                "{} entries, {bytes} bytes",
                entries.len()
            );
            for entry in entries {
                let text = entry["MessageBody"].as_str().unwrap();
                assert!(!text.contains(['\u{fffe}', '\u{ffff}', '\u{0}']));
                let message: Message = serde_json::from_str(text).unwrap();
                let url = format!("https://sqs.example/123/souk-{}", message.lane.name());
                assert_eq!(call["QueueUrl"], url);
                arrived.push(message);
            }
        }
        arrived.sort_by_key(|message| message.id.parse::<usize>().unwrap());
        // Messages are sent with moments of three decimals.
        let sent = serde_json::to_value(&messages).unwrap();
        assert_eq!(serde_json::to_value(&arrived).unwrap(), sent);
    })
    .await;
}

#[tokio::test]
async fn a_delay_is_at_most_the_limit_of_sqs() {
    run(async {
        let (queue, asked) = queue(vec![done()]).await;
        let messages = [None, Some(30), Some(-30), Some(5_000)].map(|seconds| {
            let mut message = message("a", Lane::Low, "");
            message.not_before = seconds.map(|seconds| clock::after(SystemClock.now(), seconds));
            message
        });
        queue.send(&messages).await.unwrap();
        let delays = asked.lock().unwrap()[0]["Entries"].as_array().unwrap().clone();
        let delays: Vec<i64> = delays
            .iter()
            .map(|entry| entry["DelaySeconds"].as_i64().unwrap())
            .collect();
        assert!((29..=30).contains(&delays[1]), "{delays:?}");
        assert_eq!([delays[0], delays[2], delays[3]], [0, 0, 900]);
    })
    .await;
}

#[tokio::test]
async fn transient_failures_are_retried() {
    run(async {
        for answer in [
            fault("ThrottlingException"),
            fault("RequestThrottled"),
            fault("OverLimit"),
            Answer::Json(500, json!({ "__type": "InternalFailure" })),
            Answer::Json(503, json!({})),
            Answer::HangUp,
            Answer::Silence,
        ] {
            let (queue, asked) = queue(vec![answer.clone(), answer, done()]).await;
            queue.send(&three()).await.unwrap();
            assert_eq!(sent(&asked), [["a", "b", "c"]; 3]);
        }
    })
    .await;
}

#[tokio::test]
async fn the_rest_of_a_partly_accepted_batch_is_sent_again() {
    run(async {
        let answers = vec![
            left(&["0", "2"], "InternalError"),
            left(&["2"], "InternalError"),
            done(),
        ];
        let (queue, asked) = queue(answers).await;
        queue.send(&three()).await.unwrap();
        assert_eq!(sent(&asked), [vec!["a", "b", "c"], vec!["a", "c"], vec!["c"]]);
    })
    .await;
}

#[tokio::test]
async fn lasting_failures_are_unavailable_in_bounded_time() {
    run(async {
        for answer in [
            fault("ThrottlingException"),
            left(&["1"], "InternalError"),
            left(&["1"], "KMS.DisabledException"),
            Answer::Silence,
            Answer::HangUp,
        ] {
            let (queue, asked) = queue(vec![answer]).await;
            let error = failed(&queue).await;
            assert!(matches!(error, QueueError::Unavailable(_)), "{error:?}");
            assert_eq!(asked.lock().unwrap().len(), 5);
        }
        let nobody = over(&Settings::emulator("http://127.0.0.1:1"));
        assert!(matches!(failed(&nobody).await, QueueError::Unavailable(_)));
        let backlog = nobody.backlog(Lane::High).await;
        assert!(matches!(backlog, Err(QueueError::Unavailable(_))), "{backlog:?}");
    })
    .await;
}

#[tokio::test]
async fn a_failing_lane_does_not_block_another() {
    run(async {
        // Either of the two calls may get the failure; the other one is made anyway.
        let (queue, asked) = queue(vec![fault("QueueDoesNotExist"), done()]).await;
        let messages = [message("a", Lane::High, ""), message("b", Lane::Low, "")];
        let error = queue.send(&messages).await.unwrap_err();
        assert!(matches!(error, QueueError::Unavailable(_)), "{error:?}");
        let mut sent = sent(&asked).concat();
        sent.sort();
        assert_eq!(sent, ["a", "b"]);
    })
    .await;
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    run(async {
        for (answer, refused) in [
            (fault("QueueDoesNotExist"), false),
            (fault("AccessDeniedException"), false),
            (left(&["1"], "InvalidMessageContents"), true),
        ] {
            let (queue, asked) = queue(vec![answer]).await;
            let error = failed(&queue).await;
            assert_eq!(matches!(error, QueueError::Refused(_)), refused, "{error:?}");
            assert_eq!(asked.lock().unwrap().len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn the_backlog_is_the_counts_of_sqs() {
    run(async {
        let counts = json!({ "Attributes": {
            "ApproximateNumberOfMessages": "7",
            "ApproximateNumberOfMessagesDelayed": "2",
            "ApproximateNumberOfMessagesNotVisible": "3"
        } });
        let (queue, asked) = queue(vec![Answer::Json(200, counts), done()]).await;
        let expected = Backlog {
            ready: Some(7),
            delayed: Some(5),
            oldest_seconds: None,
        };
        assert_eq!(queue.backlog(Lane::Notifications).await, Ok(expected));
        assert_eq!(
            asked.lock().unwrap()[0]["QueueUrl"],
            "https://sqs.example/123/souk-notifications"
        );
        assert_eq!(queue.backlog(Lane::Low).await, Ok(Backlog::default()));
    })
    .await;
}

#[tokio::test]
async fn deliveries_are_delayed_in_the_queue_that_they_came_from() {
    run(async {
        let (queue, asked) = queue(vec![done()]).await;
        let deliveries: Vec<(String, u32)> = (0..12).map(|n| (format!("receipt {n}"), n)).collect();
        queue.put_off("souk-low-dead", &deliveries).await.unwrap();
        queue.put_off("souk-low-dead", &[]).await.unwrap();
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0]["QueueUrl"], "https://sqs.example/123/souk-low-dead");
        let entry = &asked[1]["Entries"][1];
        assert_eq!(
            (&entry["ReceiptHandle"], &entry["VisibilityTimeout"]),
            (&json!("receipt 11"), &json!(11))
        );
    })
    .await;
}
