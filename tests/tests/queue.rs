//! The contract of `Queue`, one line per adapter.
//!
//! What needs a server runs where an environment variable says where that is: `SOUK_TEST_D1` (a test build of the Worker,
//! as for documents), `SOUK_TEST_SQS` (an emulator, with the feature `dynamodb`). What is not there is reported and skipped;
//! with `SOUK_TEST_ALL=1` it fails.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::{Lane, Queue};
use souk_sqlite::{SqliteQueue, SystemClock};
use souk_tests::contract::queue::{Made, QueueBench, Seen, act, now};
use souk_tests::contract::queue_worker::WorkerBench;
use souk_tests::queue_contract;

queue_contract!(sqlite, make_sqlite);
queue_contract!(worker, make_worker);
queue_contract!(sqs, make_sqs);

struct Sqlite {
    queue: SqliteQueue,
    _directory: tempfile::TempDir,
}

async fn make_sqlite() -> Made {
    let directory = tempfile::tempdir().unwrap();
    let queue = SqliteQueue::open(&directory.path().join("queue.db"), Arc::new(SystemClock)).unwrap();
    Made::Ready(Box::new(Sqlite {
        queue,
        _directory: directory,
    }))
}

#[async_trait]
impl QueueBench for Sqlite {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    async fn drain(&self, lane: Lane) -> Vec<Seen> {
        let (mut seen, mut settled) = (Vec::new(), Vec::new());
        for leased in self.queue.receive(lane, 40, 1).await.unwrap() {
            seen.push(Seen {
                delivery: leased.delivery.clone(),
                at: now(),
            });
            settled.extend(act(&leased.delivery).map(|outcome| (leased, outcome)));
        }
        self.queue.settle(&settled).await.unwrap();
        seen
    }
}

async fn make_worker() -> Made {
    match std::env::var("SOUK_TEST_D1") {
        Ok(address) => Made::Ready(Box::new(WorkerBench::new(address))),
        Err(_) => Made::Missing("Cloudflare Queues: set SOUK_TEST_D1 to the address of a test Worker"),
    }
}

#[cfg(feature = "dynamodb")]
async fn make_sqs() -> Made {
    match std::env::var("SOUK_TEST_SQS") {
        Ok(address) => Made::Ready(Box::new(
            souk_tests::contract::queue_sqs::SqsBench::create(address).await,
        )),
        Err(_) => Made::Missing("SQS: set SOUK_TEST_SQS to the address of an emulator"),
    }
}

#[cfg(not(feature = "dynamodb"))]
async fn make_sqs() -> Made {
    Made::Missing("SQS: use --features dynamodb")
}
