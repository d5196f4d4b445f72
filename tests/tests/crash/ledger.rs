//! What the log of events says, held against what is there: a change has its event, an event has its change, and a count
//! equals its votes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::host::Api;
use crate::votes::{Known, Voter};

/// How long events may be under way: what a dead queue left behind is swept up each minute, when it is half a minute old.
const PATIENCE: Duration = Duration::from_secs(240);

/// All events so far, by id.
#[derive(Default)]
pub(crate) struct Ledger {
    events: BTreeMap<String, Value>,
}

/// What an event says of a product at one of its versions.
type History<'a> = BTreeMap<u64, Vec<&'a Value>>;

impl Ledger {
    /// Reads what was logged from a moment on.
    async fn read(&mut self, admin: &Api, after: &str) -> Result<(), String> {
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/events?after={after}&limit=100{cursor}");
            let mut page = admin.show(&path).await?.ok_or("no events")?;
            for event in page["items"].as_array_mut().unwrap() {
                self.events
                    .insert(event["id"].as_str().unwrap().to_owned(), event.take());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(()),
            }
        }
    }

    /// Waits until the log fits what is there, and says what does not if it never does. `live` are products of this
    /// round by id, `known` all that ever were, `data` the folder if its files are what the server sees in them.
    pub(crate) async fn settle(
        &mut self,
        admin: &Api,
        after: &str,
        live: &BTreeMap<String, Value>,
        known: &BTreeSet<String>,
        voters: &mut [Voter],
        data: Option<&Path>,
    ) -> Vec<String> {
        let (end, mut fits) = (Instant::now() + PATIENCE, false);
        loop {
            // In the order in which events go: what is under way may be anywhere behind.
            let mut faults = data.map(left_in_outbox).unwrap_or_default();
            faults.extend(idle(admin).await.err());
            faults.extend(self.read(admin, after).await.err());
            if faults.is_empty() {
                faults.extend(self.products(live, known));
                faults.extend(self.votes(admin, voters, fits).await);
            }
            // Twice: what was under way at the first look would be too much at the second.
            if (faults.is_empty() && fits) || Instant::now() > end {
                return faults;
            }
            fits = faults.is_empty();
            tokio::time::sleep(Duration::from_millis(if fits { 300 } else { 50 })).await;
        }
    }

    /// Every version of a product has one event, and no event is of anything else.
    fn products(&self, live: &BTreeMap<String, Value>, known: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut histories: BTreeMap<&str, History> = BTreeMap::new();
        let mut deleted: BTreeMap<&str, u64> = BTreeMap::new();
        for event in self.events.values().filter(|event| is(event, "product.")) {
            let id = event["data"]["product"].as_str().unwrap();
            let version = event["data"]["version"].as_u64().unwrap();
            if !known.contains(id) {
                faults.push(format!("an event of a product that never was: {event}"));
            }
            if event["type"] == "product.deleted" {
                if deleted.insert(id, version).is_some() {
                    faults.push(format!("{id} was deleted twice"));
                }
            } else {
                histories.entry(id).or_default().entry(version).or_default().push(event);
            }
        }
        for (id, history) in &histories {
            let last = history.keys().last().copied().unwrap_or(0);
            let versions: Vec<u64> = history.keys().copied().collect();
            if versions != (1..=last).collect::<Vec<_>>() || history.values().any(|events| events.len() != 1) {
                faults.push(format!("{id} has events of the versions {history:?}"));
            }
            if deleted.get(id).is_some_and(|version| *version != last) {
                faults.push(format!("{id} was deleted at another version than {last}"));
            }
            if history
                .get(&1)
                .is_some_and(|events| events[0]["type"] != "product.created")
            {
                faults.push(format!("{id} begins otherwise than created"));
            }
        }
        for (id, shown) in live {
            let last = histories.get(id.as_str()).and_then(|history| history.last_key_value());
            let told = last.map(|(version, events)| (*version, &events[0]["data"]));
            let fits = told.is_some_and(|(version, data)| {
                let same = |field: &str| data[field] == shown[field];
                shown["version"] == version && same("status") && same("title") && same("slug")
            });
            if !fits || deleted.contains_key(id.as_str()) {
                faults.push(format!("{id} is {shown}, its last event says {told:?}"));
            }
        }
        // Those that were deleted are known and do not live; what is known and has no events at all is a loss.
        for id in known {
            if !histories.contains_key(id.as_str()) {
                faults.push(format!("{id} has no events"));
            }
        }
        faults
    }

    /// Every change of a vote has one event; counts equal the votes that stand. If `settled`, what was in doubt is known
    /// from then on.
    async fn votes(&self, admin: &Api, voters: &mut [Voter], settled: bool) -> Vec<String> {
        let mut told: BTreeMap<(&str, &str), Known> = BTreeMap::new();
        for event in self.events.values().filter(|event| is(event, "upvote.")) {
            let field = |name: &str| event["data"][name].as_str().unwrap();
            let known = told.entry((field("account"), field("product"))).or_default();
            if event["type"] == "upvote.added" {
                known.cast += 1;
            } else {
                known.taken_back += 1;
            }
        }
        let mut faults = Vec::new();
        let mut standing: BTreeMap<String, u64> = BTreeMap::new();
        for voter in voters {
            for (product, known) in &mut voter.votes {
                let told = told.remove(&(voter.api.id.as_str(), product)).unwrap_or_default();
                let unchanged = Known { doubt: false, ..*known };
                let fits = told == unchanged || (known.doubt && told == known.changed());
                if !fits {
                    faults.push(format!(
                        "{} for {product}: {known:?}, events say {told:?}",
                        voter.api.id
                    ));
                }
                *standing.entry(product.clone()).or_default() += u64::from(told.stands());
                if fits && settled {
                    *known = told;
                }
            }
        }
        faults.extend(
            told.keys()
                .map(|vote| format!("events of a vote that never was: {vote:?}")),
        );
        for (product, count) in standing {
            match admin.show(&format!("/v1/products/{product}")).await {
                Ok(Some(shown)) if shown["upvote_count"] == count => {}
                other => faults.push(format!("{product} has {count} votes and is {other:?}")),
            }
        }
        faults
    }

    /// No later round took an event from an earlier one.
    pub(crate) async fn is_whole(&self, admin: &Api, after: &str) -> Result<usize, String> {
        let mut again = Self::default();
        again.read(admin, after).await?;
        if again.events == self.events {
            Ok(self.events.len())
        } else {
            Err(format!(
                "{} events were logged, {} are left",
                self.events.len(),
                again.events.len()
            ))
        }
    }
}

fn is(event: &Value, beginning: &str) -> bool {
    event["type"].as_str().is_some_and(|name| name.starts_with(beginning))
}

/// Whether nothing waits in any lane but what has its time yet to come, such as a second look at what was removed.
async fn idle(admin: &Api) -> Result<(), String> {
    let lanes = admin.show("/v1/lanes").await?.ok_or("no lanes")?;
    for lane in lanes["items"].as_array().unwrap() {
        if lane["backlog"]["ready"] != 0 {
            return Err(format!("messages wait: {lane}"));
        }
        if lane["last_60_minutes"]["dead"] != 0 {
            return Err(format!("messages died: {lane}"));
        }
    }
    Ok(())
}

/// The votes in the database of a server that was stopped, held against what their voters know; and nothing is left
/// in the outbox.
pub(crate) fn in_store(data: &Path, voters: &[Voter]) -> Vec<String> {
    let store = Connection::open_with_flags(data.join("souk.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut votes = store
        .prepare("SELECT substr(pk, 9), sk FROM documents WHERE pk LIKE 'upvotes/%'")
        .unwrap();
    let rows = votes.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let stored: BTreeSet<(String, String)> = rows.map(Result::unwrap).collect();
    let mut known = BTreeSet::new();
    for voter in voters {
        let standing = voter.votes.iter().filter(|(_, known)| known.stands());
        known.extend(standing.map(|(product, _)| (product.clone(), voter.api.id.clone())));
    }
    let mut faults = Vec::new();
    if stored != known {
        faults.push(format!(
            "votes in the store that nobody cast, or the reverse: {:?}",
            &stored ^ &known
        ));
    }
    faults.extend(left_in_outbox(data));
    faults
}

fn left_in_outbox(data: &Path) -> Vec<String> {
    let store = Connection::open_with_flags(data.join("souk.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let left = "SELECT count(*) FROM documents WHERE pk LIKE 'outbox/%'";
    let left: i64 = store.query_row(left, [], |row| row.get(0)).unwrap();
    let fault = (left != 0).then(|| format!("{left} commits are left in the outbox"));
    fault.into_iter().collect()
}
