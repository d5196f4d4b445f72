//! Blame by association: among 100 messages of each lane one ends every consumer that works on it. The other 99 are done once,
//! and it becomes the only dead letter.
//!
//! Test builds of the hosts have the job (`souk_kit::testing`): `SOUK_TEST_D1` is the address of such a Worker;
//! `SOUK_TEST_STACK` (`http://localhost:PORT DYNAMODB TABLE`, with the feature `dynamodb`) is that of an emulator with the stack `souk`, of its
//! DynamoDB and its table. What is not there is skipped; with `SOUK_TEST_ALL=1` it fails.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test: a panic is how it fails, and it runs on a real machine"
)]

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use souk_core::documents::get_one;
use souk_core::{Clock as _, Consistency, Documents, Key, Lane, Message, Query, Queue};
use souk_sqlite::SystemClock;
use souk_tests::client::unique;
use souk_tests::contract::RemoteDocuments;
use souk_tests::contract::queue_worker::WorkerBench;

const COUNT: u32 = 100;
/// Which of them is bad.
const BAD: u32 = 37;
/// On a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(600);

fn message(set: &str, lane: Lane, n: u32) -> Message {
    let mut message = Message::unreadable(format!("{set}.{n:03}"), lane, String::new(), SystemClock.now());
    message.job = "test.poison".into();
    message.body = json!({ "set": set, "n": n, "is_bad": n == BAD });
    message
}

async fn partition(store: &dyn Documents, name: &str) -> Vec<souk_core::Document> {
    let mut query = Query::partition(name, 100);
    let mut all = Vec::new();
    loop {
        let page = store.query(&query, Consistency::Strong).await.unwrap();
        all.extend(page.items.into_iter().map(|item| item.document));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

async fn one_lane(host: &str, store: &dyn Documents, queue: &dyn Queue, lane: Lane) {
    let set = format!("{}-{}", unique("set"), lane.name());
    let messages: Vec<Message> = (0..COUNT).map(|n| message(&set, lane, n)).collect();
    queue.send(&messages).await.unwrap();
    let began = Instant::now();
    let mut done_after = None;
    let letter = Key::new(format!("dead/{}", lane.name()), format!("{set}.{BAD:03}"));
    loop {
        let done = partition(store, &format!("effects/{set}")).await;
        if done.len() == 99 && done_after.is_none() {
            done_after = Some(began.elapsed());
        }
        let is_dead = get_one(store, letter.clone()).await.unwrap().is_some();
        if let (Some(done_after), true) = (done_after, is_dead) {
            let (lane, all) = (lane.name(), began.elapsed());
            let report =
                format!("{host}, {lane}: 99 were done after {done_after:.0?}, the dead letter is from {all:.0?}");
            let _ = writeln!(std::io::stderr(), "{report}");
            // Version 1: its effect has happened once.
            assert!(done.iter().all(|document| document.version == 1));
            let numbers: BTreeSet<u32> = done.iter().map(|document| document.key.sk.parse().unwrap()).collect();
            assert_eq!(numbers, (0..COUNT).filter(|n| *n != BAD).collect());
            break;
        }
        let name = lane.name();
        assert!(
            began.elapsed() < PATIENCE,
            "{host}, {name}: {} done, dead: {is_dead}",
            done.len()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let letters = partition(store, &format!("dead/{}", lane.name())).await;
    let ours = letters.iter().filter(|letter| letter.key.sk.starts_with(&set));
    assert_eq!(ours.count(), 1);
}

async fn all_lanes(host: &str, store: &dyn Documents, queue: &dyn Queue) {
    futures_util::future::join_all(Lane::ALL.map(|lane| one_lane(host, store, queue, lane))).await;
}

fn skipped(what: &str) {
    assert!(std::env::var("SOUK_TEST_ALL").is_err(), "{what}");
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

#[tokio::test]
async fn one_bad_message_takes_no_other_with_it_on_workers() {
    let Ok(address) = std::env::var("SOUK_TEST_D1") else {
        return skipped("set SOUK_TEST_D1 to the address of a test Worker");
    };
    let store = RemoteDocuments::new(&address, Arc::new(SystemClock));
    all_lanes("Worker", &store, &WorkerBench::new(&address)).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn one_bad_message_takes_no_other_with_it_on_lambda() {
    use souk_aws::{DynamoDocuments, Settings, SqsQueue, SystemClock, SystemRandom};
    let Ok(stack) = std::env::var("SOUK_TEST_STACK") else {
        return skipped("set SOUK_TEST_STACK to the address of an emulator, of its DynamoDB, and a table");
    };
    let parts: Vec<&str> = stack.split(' ').collect();
    let [emulator, dynamodb, table] = parts[..] else {
        panic!("{stack}")
    };
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let store = DynamoDocuments::new(&Settings::emulator(dynamodb), table, clock.clone(), random.clone());
    let prefix = format!("{emulator}/000000000000/souk-");
    let queue = SqsQueue::new(&Settings::emulator(emulator), prefix, clock, random);
    all_lanes("Lambda", &store, &queue).await;
}
