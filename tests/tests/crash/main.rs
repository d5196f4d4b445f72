//! `kill -9` under load, on the local host: what was acknowledged is there after the restart.
//!
//! In each round sixteen writers create, publish, rename and delete products until the server is killed at a random
//! moment. It starts again on the same data and has to show
//! - every product as its last acknowledged write left it; a write that was under way may have happened or not;
//! - under its slug what it shows under its id, and in each list exactly the products that belong there, once;
//! - to a repeat of a creation that was answered: the same answer; to one that was not: a product of the slug that its
//!   title asks for, which half a creation would be holding.
//!
//! The process dies and the machine lives, so this proves the order of commit and acknowledgement, not the `fsync`.
//! That the test can fail is a test of its own: it puts back the files of before the load, and is noticed.
//!
//! `SOUK_BIN` names the binary (`target/debug/souk`), `SOUK_TEST_ROUNDS` the number of rounds (50), `SOUK_TEST_SEED` the
//! seed of kills and writes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine: a panic is how it fails"
)]

mod host;
mod writer;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use fastrand::Rng;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use host::{ADMIN, Api, Server};
use writer::{Creation, Tracked, Work, Writer};

const WRITERS: usize = 16;
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
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let rounds = number("SOUK_TEST_ROUNDS", 50);
    let seed = number("SOUK_TEST_SEED", 1);
    let tally = campaign(&binary, rounds, seed, Loss::None).await;
    say(&format!(
        "kill -9: {rounds} rounds (seed {seed}), {} acknowledged writes, {} in doubt, {} lost",
        tally.acknowledged,
        tally.doubtful,
        tally.lost.len()
    ));
    assert!(tally.acknowledged > 0);
    assert!(tally.lost.is_empty(), "lost: {:#?}", tally.lost);
    assert!(tally.faults.is_empty(), "{:#?}", tally.faults);
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

/// What happens to the data between the kill and the restart.
#[derive(Clone, Copy, PartialEq)]
enum Loss {
    None,
    /// The database is again what it was when the load began.
    Rewind,
}

#[derive(Default)]
struct Tally {
    acknowledged: usize,
    doubtful: usize,
    /// Products that are not as their writer knows them.
    lost: Vec<String>,
    /// Lists and answers that are not as they should be.
    faults: Vec<String>,
}

async fn campaign(binary: &Path, rounds: u64, seed: u64, loss: Loss) -> Tally {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = Server::start(binary, &data).await;
    server.api().sign_up(ADMIN, "keeper").await;
    let mut tally = Tally::default();
    // Everything that exists, by id.
    let mut market = BTreeMap::new();
    let mut rng = Rng::with_seed(seed);
    for round in 0..rounds {
        let api = server.api();
        let new = json!({ "name": format!("Crash {round}") });
        let category = api.sign_in(ADMIN).await.add("/v1/categories", new).await;
        let authors = join_all((0..AUTHORS).map(|n| api.author(format!("author-{round}-{n}")))).await;
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
        tokio::time::sleep(Duration::from_millis(rng.u64(50..=400))).await;
        server.kill();
        let work: Vec<Work> = join_all(writers).await.into_iter().map(Result::unwrap).collect();

        for (file, bytes) in FILES.iter().zip(before.into_iter().flatten()) {
            fs::write(data.join(file), bytes).unwrap();
        }
        server = Server::start(binary, &data).await;
        for done in &work {
            tally.acknowledged += done.acknowledged;
            tally.doubtful += usize::from(done.unanswered.is_some())
                + done.products.iter().filter(|product| product.doubt.is_some()).count();
            tally.faults.extend(done.fault.clone());
        }
        let live = check_all(&server.api(), work, &mut tally.lost).await;
        check_lists(&server.api(), &authors, &category, &live, &mut tally.faults).await;
        market.extend(live);
        // The first ones tell.
        if tally.lost.len() + tally.faults.len() > 20 {
            return tally;
        }
    }
    // No later round took anything from an earlier one.
    let admin = server.api().sign_in(ADMIN).await;
    for status in STATUSES {
        let expected = of_status(&market, status);
        tally
            .faults
            .extend(check_list(&admin, &format!("status={status}"), &expected).await.err());
    }
    tally
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
