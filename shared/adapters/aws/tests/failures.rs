//! Failures that no emulator produces: throttling, conflicting transactions, and responses that are late, lost or
//! partial.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine"
)]

mod stub;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use souk_aws::{DynamoDocuments, Settings, SystemClock, SystemRandom};
use souk_core::Consistency::{Eventual, Strong};
use souk_core::{Change, Clock, Commit, Documents, Entry, Key, Query, StoreError, Timestamp};
use stub::{Answer, Asked, run};

/// A store that talks to a stub with this script.
async fn store(script: Vec<Answer>) -> (DynamoDocuments, Asked) {
    let (settings, asked) = stub::start(script).await;
    let store = DynamoDocuments::new(&settings, "souk", Arc::new(SystemClock), Arc::new(SystemRandom));
    (store, asked)
}

fn fault(code: &str) -> Answer {
    Answer::Json(
        400,
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no" }),
    )
}

fn cancelled(reasons: &[&str]) -> Answer {
    let reasons: Vec<_> = reasons.iter().map(|code| json!({ "Code": code })).collect();
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Answer::Json(
        400,
        json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }),
    )
}

fn done() -> Answer {
    Answer::Json(200, json!({}))
}

/// A commit of three changes, which is four items because the first has an entry.
fn commit() -> Commit {
    let entries = vec![Entry::new("all", "a")];
    Commit::new(vec![
        Change::create(Key::of("thing", "a"), "{}".into(), entries),
        Change::create(Key::of("thing", "b"), "{}".into(), Vec::new()),
        Change::create(Key::of("thing", "c"), "{}".into(), Vec::new()),
    ])
}

fn tokens(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap();
    asked
        .iter()
        .map(|body| body["ClientRequestToken"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn transient_failures_are_retried_with_the_same_token() {
    run(async {
        let passing = [
            fault("ThrottlingException"),
            fault("ProvisionedThroughputExceededException"),
            fault("RequestLimitExceeded"),
            fault("TransactionInProgressException"),
            Answer::Json(500, json!({ "__type": "InternalServerError" })),
            Answer::Json(503, json!({})),
            cancelled(&["None", "None", "TransactionConflict", "None"]),
            cancelled(&["ThrottlingError", "None", "None", "None"]),
            cancelled(&["None", "ProvisionedThroughputExceeded", "None", "None"]),
            Answer::HangUp,
            Answer::Silence,
        ];
        for answer in passing {
            let (store, asked) = store(vec![answer.clone(), answer.clone(), done()]).await;
            store.commit(commit()).await.unwrap();
            let tokens = tokens(&asked);
            assert_eq!(tokens.len(), 3);
            assert!(
                tokens.iter().all(|token| *token == tokens[0] && token.len() == 36),
                "{tokens:?}"
            );
            // Another commit has another token.
            store.commit(commit()).await.unwrap();
            assert_ne!(asked.lock().unwrap()[3]["ClientRequestToken"], tokens[0].as_str());
        }
    })
    .await;
}

#[tokio::test]
async fn lasting_failures_are_unavailable_in_bounded_time() {
    run(async {
        for answer in [
            fault("ThrottlingException"),
            cancelled(&["TransactionConflict", "None", "None", "None"]),
            Answer::Silence,
            Answer::HangUp,
        ] {
            let (store, asked) = store(vec![answer]).await;
            let failed = tokio::time::timeout(Duration::from_secs(3), store.commit(commit()))
                .await
                .unwrap();
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
            assert_eq!(asked.lock().unwrap().len(), 5);
            let failed = store.get(&[Key::of("thing", "a")], Strong).await;
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
            let failed = store.query(&Query::index("all", 1), Strong).await;
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
            let failed = store.ping().await;
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_unavailable() {
    run(async {
        let settings = Settings::emulator("http://127.0.0.1:1");
        let store = DynamoDocuments::new(&settings, "souk", Arc::new(SystemClock), Arc::new(SystemRandom));
        let failed = store.commit(commit()).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    })
    .await;
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    run(async {
        for (answer, unavailable) in [
            (fault("ValidationException"), false),
            (cancelled(&["None", "ValidationError", "None", "None"]), false),
            (fault("AccessDeniedException"), true),
            (fault("ResourceNotFoundException"), true),
        ] {
            let (store, asked) = store(vec![answer]).await;
            let failed = store.commit(commit()).await.unwrap_err();
            assert_eq!(matches!(failed, StoreError::Unavailable(_)), unavailable, "{failed:?}");
            assert_eq!(matches!(failed, StoreError::Refused(_)), !unavailable, "{failed:?}");
            assert_eq!(asked.lock().unwrap().len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_conflict_names_the_change_and_takes_precedence() {
    run(async {
        for (reasons, step) in [
            (["ConditionalCheckFailed", "None", "None", "None"], 0),
            (["None", "None", "ConditionalCheckFailed", "None"], 1),
            (["None", "None", "TransactionConflict", "ConditionalCheckFailed"], 2),
        ] {
            let (store, asked) = store(vec![cancelled(&reasons)]).await;
            assert_eq!(store.commit(commit()).await, Err(StoreError::Conflict(step)));
            assert_eq!(asked.lock().unwrap().len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn unprocessed_keys_are_requested_again_for_a_bounded_time() {
    run(async {
        let item = |name: &str| {
            json!({ "pk": { "S": format!("d#thing/{name}") }, "sk": { "S": "#" }, "v": { "N": "1" },
                    "b": { "S": "{}" }, "n": { "M": {} } })
        };
        let key = |name: &str| json!({ "pk": { "S": format!("d#thing/{name}") }, "sk": { "S": "#" } });
        let half = Answer::Json(
            200,
            json!({ "Responses": { "souk": [item("a")] }, "UnprocessedKeys": { "souk": { "Keys": [key("b")] } } }),
        );
        let rest = Answer::Json(200, json!({ "Responses": { "souk": [item("b")] } }));
        let keys = [Key::of("thing", "a"), Key::of("thing", "b"), Key::of("thing", "a")];
        let (whole, asked) = store(vec![half.clone(), rest]).await;
        let found = whole.get(&keys, Strong).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|document| document.unwrap().key).collect();
        assert_eq!(found, keys);
        // No key occurs twice, which DynamoDB would reject. The second call asks only for the unprocessed keys.
        let asked: Vec<_> = asked
            .lock()
            .unwrap()
            .iter()
            .map(|body| body["RequestItems"]["souk"].clone())
            .collect();
        assert_eq!(asked[0]["Keys"].as_array().unwrap().len(), 2);
        assert_eq!(asked[1]["Keys"], json!([key("b")]));
        assert!(asked.iter().all(|request| request["ConsistentRead"] == true));

        let (starved, asked) = store(vec![half]).await;
        assert!(matches!(
            starved.get(&keys, Strong).await,
            Err(StoreError::Unavailable(_))
        ));
        assert_eq!(asked.lock().unwrap().len(), 5);
    })
    .await;
}

/// A clock that the test advances, in seconds.
#[derive(Default)]
struct Seconds(AtomicI64);
impl Clock for Seconds {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.0.load(Ordering::Relaxed)).unwrap()
    }
}

#[tokio::test]
async fn only_eventual_reads_are_eventually_consistent_and_not_just_after_a_write() {
    run(async {
        let clock = Arc::new(Seconds::default());
        let nothing = json!({ "Responses": { "souk": [] }, "Items": [] });
        let (settings, asked) = stub::start(vec![Answer::Json(200, nothing)]).await;
        let store = DynamoDocuments::new(&settings, "souk", clock.clone(), Arc::new(SystemRandom));
        let is_consistent = async |consistency| {
            store.get(&[Key::of("thing", "a")], consistency).await.unwrap();
            store.query(&Query::index("all", 1), consistency).await.unwrap();
            let asked = asked.lock().unwrap();
            let strict = |body: &Value| {
                body.get("ConsistentRead")
                    .map_or_else(|| body["RequestItems"]["souk"]["ConsistentRead"].clone(), Value::clone)
            };
            let strict: Vec<_> = asked.iter().rev().take(2).map(strict).collect();
            assert_eq!(strict[0], strict[1]);
            strict[0] == true
        };
        assert!(is_consistent(Strong).await);
        assert!(!is_consistent(Eventual).await);
        store.commit(commit()).await.unwrap();
        for (seconds, strict) in [(0, true), (4, true), (5, false)] {
            clock.0.store(seconds, Ordering::Relaxed);
            assert_eq!(is_consistent(Eventual).await, strict, "{seconds} s after a write");
            assert!(is_consistent(Strong).await);
        }
    })
    .await;
}
