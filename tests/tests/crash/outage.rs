//! The queue cannot be reached for a while, under load: no write fails, and all events are delivered after it.
//!
//! Another process holds the lock of the queue's file, as long as `SOUK_TEST_OUTAGE` says (15 seconds).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use rusqlite::Connection;

use crate::host::{ADMIN_NAME, Server};
use crate::ledger::{self, Ledger};
use crate::votes::electorate;
use crate::{binary, moment, number, say};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_queue_costs_no_write() {
    let Some(binary) = binary() else { return };
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (began, mut known) = (moment(), BTreeSet::new());
    let server = Server::start(&binary, &data, None).await;
    server.api().sign_up_admin().await;
    let mut rng = Rng::with_seed(number("SOUK_TEST_SEED", 1));
    let voters = electorate(&server.api(), &mut rng, &mut known).await;
    let before = server.memory();

    let seconds = number("SOUK_TEST_OUTAGE", 15);
    let outage = Connection::open(data.join("queue.db")).unwrap();
    outage.busy_timeout(Duration::from_secs(10)).unwrap();
    outage.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let voting = voters.into_iter().map(|voter| tokio::spawn(voter.run(Some(end))));
    let mut voters: Vec<_> = join_all(voting).await.into_iter().map(Result::unwrap).collect();
    let after = server.memory();
    outage.execute_batch("ROLLBACK").unwrap();
    drop(outage);

    let failed: Vec<&String> = voters.iter().filter_map(|voter| voter.fault.as_ref()).collect();
    assert!(failed.is_empty(), "writes failed: {failed:#?}");
    assert!(
        voters.iter().all(|voter| voter.votes.values().all(|vote| !vote.doubt)),
        "the server is gone"
    );
    let written: usize = voters.iter().map(|voter| voter.acknowledged).sum();
    let back = Instant::now();
    let admin = server.api().sign_in(ADMIN_NAME).await;
    let mut ledger = Ledger::default();
    let faults = ledger
        .settle(&admin, &began, &BTreeMap::new(), &known, &mut voters, Some(&data))
        .await;
    assert!(faults.is_empty(), "{faults:#?}");
    let (delivered, events) = (back.elapsed(), ledger.is_whole(&admin, &began).await.unwrap());
    server.stop().await;
    let faults = ledger::in_store(&data, &voters);
    assert!(faults.is_empty(), "{faults:#?}");
    say(&format!(
        "queue away for {seconds} s: {written} writes, 0 failed, {events} events, the last one delivered {delivered:.0?} \
         after it; memory {before:?} to {after:?} MB"
    ));
}
