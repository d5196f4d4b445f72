//! `kill -9` under load, on the local host: what was acknowledged is there after the restart.
//!
//! In each round 16 writers create, publish, rename and delete products and 16 voters cast and take back votes, until the
//! server is killed at a random moment. It starts again on the same data and has to show
//! - every product as its last acknowledged write left it; a write that was under way may have happened or not;
//! - under its slug what it shows under its id, and in each list exactly the products that belong there, once;
//! - to a repeat of a creation that was answered: the same answer; to one that was not: a product of the slug that its
//!   title asks for, which half a creation would be holding;
//! - in the log of events one event for each change and none besides, and counts that equal the votes (`ledger.rs`).
//!
//! The process dies and the machine lives, so this proves the order of commit and acknowledgement. The `fsync` is proved by a
//! build of the server whose files lose what was not synced (`functions/hosts/local/src/power_loss.rs`). That the test can fail
//! is shown too: once by putting back the files of before the load, once by syncing less.
//!
//! `outage.rs` takes the queue away instead of the server.
//!
//! `SOUK_BIN` names the binary (`target/debug/souk`), `SOUK_BIN_TESTING` one that was built with `--features testing`,
//! `SOUK_TEST_ROUNDS` the number of rounds (100; a fifth of it where files lose something), `SOUK_TEST_SEED` the seed of
//! kills and writes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine: a panic is how it fails"
)]

mod checks;
mod host;
mod ledger;
mod outage;
mod votes;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::{Value, json};

use checks::{check_all, check_list, check_lists, of_status};
use host::{ADMIN_NAME, Server};
use ledger::Ledger;
use votes::electorate;
use writer::{Work, Writer};

const WRITERS: usize = 16;
/// Whose products they write.
const AUTHORS: usize = 4;
/// The database: what it was, and what has been written since.
const FILES: [&str; 2] = ["souk.db", "souk.db-wal"];
const STATUSES: [&str; 4] = ["draft", "published", "sold", "archived"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost() {
    let Some(binary) = binary() else { return };
    let rounds = number("SOUK_TEST_ROUNDS", 100);
    let seed = number("SOUK_TEST_SEED", 1);
    nothing_is_missing(&binary, rounds, seed, Loss::None).await;
}

async fn nothing_is_missing(binary: &Path, rounds: u64, seed: u64, loss: Loss) {
    let tally = campaign(binary, rounds, seed, loss).await;
    say(&format!(
        "kill -9, {loss:?}: {rounds} rounds (seed {seed}), {} acknowledged writes, {} in doubt, {} events, {} lost",
        tally.acknowledged,
        tally.doubtful,
        tally.events,
        tally.lost.len()
    ));
    assert!(tally.acknowledged > 0);
    assert!(tally.lost.is_empty(), "lost: {:#?}", tally.lost);
    assert!(tally.faults.is_empty(), "{:#?}", tally.faults);
}

/// What was not synced is gone: acknowledged writes were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_of_power_takes_nothing() {
    let Some(binary) = testing_binary() else { return };
    let (rounds, seed) = (number("SOUK_TEST_ROUNDS", 100), number("SOUK_TEST_SEED", 1));
    nothing_is_missing(&binary, rounds.div_ceil(5), seed, Loss::Power("FULL")).await;
}

/// SQLite's own recommendation for its log does not sync each commit. It would not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_than_full_would_lose() {
    let Some(binary) = testing_binary() else { return };
    // A round may end while SQLite has just synced all there is, as it does now and then: the first that takes something
    // is the last. What it takes may be a vote.
    let tally = campaign(&binary, 20, 1, Loss::Power("NORMAL")).await;
    say(&format!(
        "kill -9, synchronous=NORMAL: {} acknowledged writes, {} products missed, {} faults",
        tally.acknowledged,
        tally.lost.len(),
        tally.faults.len()
    ));
    assert!(!tally.lost.is_empty() || !tally.faults.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_would_be_noticed() {
    let Some(binary) = binary() else { return };
    // On a busy machine a round may end before it has added what could be missed.
    for seed in 1..=5 {
        let tally = campaign(&binary, 1, seed, Loss::Rewind).await;
        say(&format!(
            "files of before put back: {} acknowledged writes, {} products missed",
            tally.acknowledged,
            tally.lost.len()
        ));
        if !tally.lost.is_empty() && !tally.faults.is_empty() {
            return;
        }
    }
    panic!("a loss was not noticed");
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What happens to the data between the kill and the restart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    None,
    /// All that SQLite has not synced is gone; it syncs as this says.
    Power(&'static str),
    /// The database is again what it was when the load began.
    Rewind,
}

#[derive(Default)]
struct Tally {
    acknowledged: usize,
    doubtful: usize,
    events: usize,
    /// Products that are not as their writer knows them.
    lost: Vec<String>,
    /// Lists and answers that are not as they should be.
    faults: Vec<String>,
}

async fn campaign(binary: &Path, rounds: u64, seed: u64, loss: Loss) -> Tally {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let synchronous = if let Loss::Power(level) = loss {
        Some(level)
    } else {
        None
    };
    let mut server = Server::start(binary, &data, synchronous).await;
    server.api().sign_up_admin().await;
    let mut tally = Tally::default();
    // Everything that exists, by id, and the ids of all that ever did.
    let (mut market, mut known) = (BTreeMap::new(), BTreeSet::new());
    let mut rng = Rng::with_seed(seed);
    let (mut ledger, began) = (Ledger::default(), moment());
    let mut voters = electorate(&server.api(), &mut rng, &mut known).await;
    for round in 0..rounds {
        let mut api = server.api();
        let after = if round == 0 { began.clone() } else { moment() };
        let new = json!({ "name": format!("Crash {round}") });
        let category = api.sign_in(ADMIN_NAME).await.add("/v1/categories", new).await;
        let mut authors = join_all((0..AUTHORS).map(|n| api.author(format!("author-{round}-{n}")))).await;
        if synchronous.is_some() {
            // What the load stands on is safe.
            server.stop().await;
            server = Server::start(binary, &data, synchronous).await;
            api = server.api();
            authors = authors.iter().map(|author| author.at(&api)).collect();
        }
        let read = |file| fs::read(data.join(file)).unwrap();
        let before = (loss == Loss::Rewind).then(|| FILES.map(read));
        let writers = (0..WRITERS).map(|n| {
            let writer = Writer {
                api: authors[n % AUTHORS].clone(),
                rng: rng.fork(),
                name: format!("{round}-{n}"),
                category: category["id"].as_str().unwrap().to_owned(),
                work: Work::default(),
            };
            tokio::spawn(writer.run())
        });
        let writers: Vec<_> = writers.collect();
        for (n, voter) in voters.iter_mut().enumerate() {
            voter.api = voter.api.at(&api);
            // Tokens live for ten minutes.
            if round % 20 == 19 {
                voter.api = voter.api.sign_in(&format!("voter-{n}")).await;
            }
        }
        let voting: Vec<_> = voters.into_iter().map(|voter| tokio::spawn(voter.run(None))).collect();
        tokio::time::sleep(Duration::from_millis(rng.u64(50..=800))).await;
        server.kill();
        let work: Vec<Work> = join_all(writers).await.into_iter().map(Result::unwrap).collect();
        voters = join_all(voting).await.into_iter().map(Result::unwrap).collect();

        for (file, bytes) in FILES.iter().zip(before.into_iter().flatten()) {
            fs::write(data.join(file), bytes).unwrap();
        }
        server = Server::start(binary, &data, synchronous).await;
        for done in &work {
            tally.acknowledged += done.acknowledged;
            tally.doubtful += usize::from(done.unanswered.is_some())
                + done.products.iter().filter(|product| product.doubt.is_some()).count();
            tally.faults.extend(done.fault.clone());
            known.extend(done.products.iter().map(|product| id(&product.first)));
        }
        for voter in &voters {
            tally.acknowledged += voter.acknowledged;
            tally.doubtful += voter.votes.values().filter(|vote| vote.doubt).count();
            tally.faults.extend(voter.fault.clone());
        }
        let live = check_all(&server.api(), work, &mut tally.lost).await;
        check_lists(&server.api(), &authors, &category, &live, &mut tally.faults).await;
        known.extend(live.keys().cloned());
        // What is lost has no events, however long one waits for them.
        if tally.lost.is_empty() && tally.faults.is_empty() {
            let admin = server.api().sign_in(ADMIN_NAME).await;
            let seen = synchronous.is_none().then_some(&*data);
            let unsettled = ledger.settle(&admin, &after, &live, &known, &mut voters, seen).await;
            tally.faults.extend(unsettled);
        }
        market.extend(live);
        // The first ones tell.
        if !tally.lost.is_empty() || !tally.faults.is_empty() {
            return tally;
        }
    }
    // No later round took anything from an earlier one.
    let admin = server.api().sign_in(ADMIN_NAME).await;
    for candidate in voters[0].votes.keys() {
        let shown = admin.show(&format!("/v1/products/{candidate}")).await;
        market.insert(candidate.clone(), shown.unwrap_or_default().unwrap_or_default());
    }
    for status in STATUSES {
        let expected = of_status(&market, status);
        tally
            .faults
            .extend(check_list(&admin, &format!("status={status}"), &expected).await.err());
    }
    match ledger.is_whole(&admin, &began).await {
        Ok(events) => tally.events = events,
        Err(fault) => tally.faults.push(fault),
    }
    server.stop().await;
    tally.faults.extend(ledger::in_store(&data, &voters));
    tally
}

fn id(shown: &Value) -> String {
    shown["id"].as_str().unwrap().to_owned()
}

/// This moment, less a second, as a query parameter.
fn moment() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let millis = i64::try_from(now.as_millis()).unwrap() - 1_000;
    souk_core::Timestamp::from_millisecond(millis).unwrap().to_string()
}

/// The binary that can lose what was not synced, if there is one.
fn testing_binary() -> Option<PathBuf> {
    let found = env::var("SOUK_BIN_TESTING").ok().map(PathBuf::from);
    if found.is_none() {
        let why = "set SOUK_BIN_TESTING to a local binary that was built with --features testing";
        assert!(env::var("SOUK_TEST_ALL").is_err(), "{why}");
        say(&format!("skipped: {why}"));
    }
    found
}

/// The binary, if there is one.
fn binary() -> Option<PathBuf> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/souk");
    let path = PathBuf::from(env::var("SOUK_BIN").unwrap_or_else(|_| built.into()));
    if path.exists() {
        return Some(path);
    }
    let why = format!("set SOUK_BIN to the local binary: there is none at {}", path.display());
    assert!(env::var("SOUK_TEST_ALL").is_err(), "{why}");
    say(&format!("skipped: {why}"));
    None
}

/// Not `eprintln`, which the test harness keeps to itself.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
