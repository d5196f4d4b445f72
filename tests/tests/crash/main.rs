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
//! build of the server whose files lose what was not synced (`functions/souk/src/power_loss.rs`). That the test can fail
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
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use host::{ADMIN, Api, Server};
use ledger::Ledger;
use votes::{Known, Voter};
use writer::{Creation, Tracked, Work, Writer};

const WRITERS: usize = 16;
const VOTERS: usize = 16;
/// For how many products they vote.
const CANDIDATES: usize = 8;
/// Whose products they write.
const AUTHORS: usize = 4;
/// How many checks are under way at once.
const AT_ONCE: usize = 16;
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
    let tally = campaign(&binary, 1, 1, Loss::Power("NORMAL")).await;
    say(&format!(
        "kill -9, synchronous=NORMAL: {} acknowledged writes, {} products missed",
        tally.acknowledged,
        tally.lost.len()
    ));
    assert!(!tally.lost.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_would_be_noticed() {
    let Some(binary) = binary() else { return };
    let tally = campaign(&binary, 1, 1, Loss::Rewind).await;
    say(&format!(
        "files of before put back: {} acknowledged writes, {} products missed",
        tally.acknowledged,
        tally.lost.len()
    ));
    assert!(!tally.lost.is_empty() && !tally.faults.is_empty());
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
    server.api().sign_up(ADMIN, "keeper").await;
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
        let category = api.sign_in(ADMIN).await.add("/v1/categories", new).await;
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
                voter.api = voter.api.sign_in(&format!("voter-{n}@crash.test")).await;
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
            let admin = server.api().sign_in(ADMIN).await;
            let unsettled = ledger.settle(&admin, &after, &live, &known, &mut voters).await;
            tally.faults.extend(unsettled);
        }
        market.extend(live);
        // The first ones tell.
        if !tally.lost.is_empty() || !tally.faults.is_empty() {
            return tally;
        }
    }
    // No later round took anything from an earlier one.
    let admin = server.api().sign_in(ADMIN).await;
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

/// Those who vote, and whom they vote for.
async fn electorate(api: &Api, rng: &mut Rng, known: &mut BTreeSet<String>) -> Vec<Voter> {
    let new = json!({ "name": "Candidates" });
    let category = api.sign_in(ADMIN).await.add("/v1/categories", new).await;
    let author = api.author("candidate".into()).await;
    let mut votes = BTreeMap::new();
    for n in 0..CANDIDATES {
        let product = json!({
            "title": format!("Candidate {n}"), "category": category["id"], "price": { "amount": 1, "currency": "EUR" },
        });
        let product = author.add("/v1/products", product).await;
        let path = format!("/v1/products/{}/publish", id(&product));
        author
            .send(Method::POST, &path, None, None)
            .await
            .unwrap()
            .expect(200)
            .unwrap();
        known.insert(id(&product));
        votes.insert(id(&product), Known::default());
    }
    let mut voters = Vec::new();
    for n in 0..VOTERS {
        voters.push(Voter {
            api: api.author(format!("voter-{n}")).await,
            rng: rng.fork(),
            votes: votes.clone(),
            acknowledged: 0,
            fault: None,
        });
    }
    voters
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

/// Checks every product of a round and answers with those that live, by id.
async fn check_all(api: &Api, work: Vec<Work>, lost: &mut Vec<String>) -> BTreeMap<String, Value> {
    let (mut products, mut unanswered) = (Vec::new(), Vec::new());
    for done in work {
        products.extend(done.products);
        unanswered.extend(done.unanswered);
    }
    let known = stream::iter(&products).map(async |product: &Tracked| {
        let found = product.check(api).await;
        found.map_err(|fault| format!("{} {fault}", product.first["id"]))
    });
    let unknown = stream::iter(&unanswered).map(async |creation: &Creation| {
        let (_, shown) = creation
            .again(api)
            .await
            .map_err(|fault| format!("{}: {fault}", creation.key))?;
        let again = creation.again(api).await?;
        if again == (true, shown.clone()) && shown["slug"] == creation.slug().as_str() {
            return Ok(Some(shown));
        }
        Err(format!(
            "{}: half of it was there, or it happens twice: {shown}, {again:?}",
            creation.key
        ))
    });
    let mut found: Vec<Result<Option<Value>, String>> = known.buffer_unordered(AT_ONCE).collect().await;
    found.extend(unknown.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    let mut live = BTreeMap::new();
    for result in found {
        match result {
            Ok(Some(shown)) => drop(live.insert(shown["id"].as_str().unwrap().to_owned(), shown)),
            Ok(None) => {}
            Err(fault) => lost.push(fault),
        }
    }
    live
}

/// Checks every list that the products of a round can stand in.
async fn check_lists(
    api: &Api,
    authors: &[Api],
    category: &Value,
    live: &BTreeMap<String, Value>,
    faults: &mut Vec<String>,
) {
    for status in STATUSES {
        let expected = of_status(live, status);
        for author in authors {
            let own: Vec<_> = expected
                .iter()
                .copied()
                .filter(|product| product["author"] == author.id.as_str())
                .collect();
            for sort in ["newest", "price"] {
                let query = format!("status={status}&author={}&sort={sort}", author.id);
                faults.extend(check_list(&author.at(api), &query, &own).await.err());
            }
        }
        if ["published", "sold"].contains(&status) {
            let query = format!("status={status}&category={}", category["slug"].as_str().unwrap());
            faults.extend(check_list(api, &query, &expected).await.err());
        }
    }
}

fn of_status<'a>(products: &'a BTreeMap<String, Value>, status: &str) -> Vec<&'a Value> {
    products
        .values()
        .filter(|product| product["status"] == status)
        .collect()
}

/// A list holds exactly these products, each once and as it is.
async fn check_list(api: &Api, query: &str, expected: &[&Value]) -> Result<(), String> {
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/products?{query}&limit=100{cursor}");
        let mut page = api
            .send(Method::GET, &path, None, None)
            .await
            .ok_or("no answer")?
            .expect(200)?;
        listed.append(page["items"].as_array_mut().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    if listed.iter().eq(expected.iter().copied()) {
        return Ok(());
    }
    let ids =
        |of: &mut dyn Iterator<Item = &Value>| of.map(|item| item["id"].to_string()).collect::<Vec<_>>().join(" ");
    let (listed, expected) = (ids(&mut listed.iter()), ids(&mut expected.iter().copied()));
    Err(format!(
        "the list {query} is not what it should be: {listed} instead of {expected}"
    ))
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
