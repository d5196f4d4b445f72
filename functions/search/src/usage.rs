//! What people look for (VN-20), counted by day: searches, those without results, clicks, how long it took, and the
//! queries themselves. Nobody who searches is in it.
//!
//! **It costs a request next to nothing.** An instance adds up in memory. The first request ten seconds or more after the
//! last time hands it all over as one message, after its answer; so does one that finds the memory full. What an instance
//! has in memory when it ends is lost, what the queue sheds is too, and what a shared cache answers never gets here: these
//! are figures to learn from, not to account by.
//!
//! A job folds the messages into `search-usage/{day}`, one document of bounded size: the queries that are asked least make
//! room for others, and begin anew if they come back. What people found something with is told to the index, which
//! completes what others type by it, by a message of its own: that is not part of the commit, and may be told twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::documents::get_one;
use souk_core::search::Word;
use souk_core::{Change, Condition, Key, Lane, Message, StoreError, Timestamp, clock};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError, cause_of};

use crate::index::failed;

/// The job that folds.
pub(crate) const JOB: &str = "search.usage";
/// The job that tells the index.
pub(crate) const USED: &str = "search.used";
/// How many messages are folded.
pub(crate) const BATCH: usize = 40;
/// How often an instance hands over, in milliseconds.
const EVERY: i64 = 10_000;
/// How many queries and clicked queries an instance keeps, which fit into one message.
const MAX_KEPT: usize = 200;
/// How long a query may be that is kept, in bytes; what is longer is cut off.
const MAX_TEXT: usize = 100;
/// How large a day's document may be, in bytes.
const MAX_DAY: usize = 80 * 1024;
/// How long a day is kept, in seconds.
const KEEP_SECONDS: i64 = 90 * 86_400;
/// How long a message is worth folding, in seconds.
const WORTH_SECONDS: i64 = 86_400;
/// The upper ends of the ranges that durations are counted in, in milliseconds; one more range has no end.
pub(crate) const RANGES: [i64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// What was asked, how often, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// As somebody wrote it; empty if only clicks are known yet.
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) searches: u64,
    #[serde(default)]
    pub(crate) without_results: u64,
    #[serde(default)]
    pub(crate) clicks: u64,
}

/// A day, or some part of it. As it is stored, and in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    #[serde(default)]
    pub(crate) searches: u64,
    #[serde(default)]
    pub(crate) without_results: u64,
    #[serde(default)]
    pub(crate) clicks: u64,
    /// How many searches took how long, by [`RANGES`].
    #[serde(default)]
    pub(crate) durations: Vec<u64>,
    /// By the ids of the queries.
    #[serde(default)]
    pub(crate) queries: BTreeMap<String, Asked>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        let plus = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        plus(&mut self.searches, other.searches);
        plus(&mut self.without_results, other.without_results);
        plus(&mut self.clicks, other.clicks);
        self.durations.resize(RANGES.len() + 1, 0);
        for (sum, more) in self.durations.iter_mut().zip(other.durations) {
            plus(sum, more);
        }
        for (id, more) in other.queries {
            let asked = self.queries.entry(id).or_default();
            if asked.text.is_empty() {
                asked.text = more.text;
            }
            plus(&mut asked.searches, more.searches);
            plus(&mut asked.without_results, more.without_results);
            plus(&mut asked.clicks, more.clicks);
        }
    }

    /// As it is stored: without the queries that are asked least, if there are too many.
    fn body(&mut self) -> Result<String, StoreError> {
        loop {
            let body = serde_json::to_string(self).map_err(|e| StoreError::Refused(e.to_string()))?;
            if body.len() <= MAX_DAY || self.queries.is_empty() {
                return Ok(body);
            }
            let mut by_use: Vec<(u64, String)> = self
                .queries
                .iter()
                .map(|(id, asked)| (asked.searches, id.clone()))
                .collect();
            by_use.sort_unstable();
            let spare = by_use.len().div_ceil(5);
            for (_, id) in by_use.into_iter().take(spare) {
                self.queries.remove(&id);
            }
        }
    }
}

/// `2026-01-31`
pub(crate) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Which query of which day: what a click names. The same for whoever asks the same, and it does not say what that is.
pub(crate) fn query_id(platform: &Platform, day: &str, asked: &[Word]) -> String {
    let plain: Vec<&str> = asked.iter().map(|word| word.plain.as_str()).collect();
    let digest = platform
        .keys
        .digest(format!("query\n{day}\n{}", plain.join(" ")).as_bytes());
    let date = day.chars().filter(char::is_ascii_digit);
    date.chain(['-']).chain(digest.chars().take(12)).collect()
}

/// The day of a query's id, if it is of today or yesterday.
pub(crate) fn day_of(id: &str, now: Timestamp) -> Option<String> {
    let (date, digest) = id.split_once('-')?;
    let is_sign = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if digest.len() != 12 || !digest.bytes().all(is_sign) {
        return None;
    }
    [now, clock::after(now, -86_400)]
        .map(day)
        .into_iter()
        .find(|day| day.chars().filter(char::is_ascii_digit).eq(date.chars()))
}

/// What was typed, as others may see it: on one line, and without signs that cannot be seen or turn others around.
fn tidy(text: &str) -> String {
    let is_unseen = |c: char| matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control() || is_unseen(c))
        .filter(|w| !w.is_empty())
        .collect();
    let mut tidy = String::new();
    for sign in words.join(" ").chars().flat_map(char::to_lowercase) {
        if tidy.len() + sign.len_utf8() > MAX_TEXT {
            break;
        }
        tidy.push(sign);
    }
    tidy
}

/// What an instance has seen since it last handed over.
#[derive(Default)]
pub(crate) struct Usage(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    days: BTreeMap<String, Tally>,
    handed_over_at: i64,
}

impl Usage {
    /// Notes a search of this id.
    pub(crate) fn searched(&self, platform: &Platform, day: String, id: &str, text: &str, found: bool, ms: i64) {
        self.note(platform, day, |tally| {
            tally.searches += 1;
            tally.without_results += u64::from(!found);
            tally.durations.resize(RANGES.len() + 1, 0);
            let range = RANGES.partition_point(|end| *end < ms);
            if let Some(count) = tally.durations.get_mut(range) {
                *count += 1;
            }
            let asked = tally.queries.entry(id.to_owned()).or_default();
            if asked.text.is_empty() {
                asked.text = tidy(text);
            }
            asked.searches += 1;
            asked.without_results += u64::from(!found);
        });
    }

    /// Notes that something that a query found was looked at.
    pub(crate) fn clicked(&self, platform: &Platform, day: String, id: &str) {
        self.note(platform, day, |tally| {
            tally.clicks += 1;
            tally.queries.entry(id.to_owned()).or_default().clicks += 1;
        });
    }

    fn note(&self, platform: &Platform, day: String, note: impl FnOnce(&mut Tally)) {
        let now = platform.clock.now().as_millisecond();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(seen.days.entry(day).or_default());
        let kept: usize = seen.days.values().map(|tally| tally.queries.len()).sum();
        if kept >= MAX_KEPT || now.saturating_sub(seen.handed_over_at) >= EVERY {
            Self::leave(platform, &mut seen, now);
        }
    }

    /// Hands over what there is.
    pub(crate) fn hand_over(&self, platform: &Platform) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.days.is_empty() {
            Self::leave(platform, &mut seen, platform.clock.now().as_millisecond());
        }
    }

    fn leave(platform: &Platform, seen: &mut Seen, now: i64) {
        seen.handed_over_at = now;
        let body = json!({ "days": std::mem::take(&mut seen.days) });
        let mut message = platform.message(JOB, Lane::Low, body, None);
        message.expires_at = Some(clock::after(platform.now(), WORTH_SECONDS));
        platform.leave(message);
    }
}

/// Where a day is.
pub(crate) fn key(day: &str) -> Key {
    Key::of("search-usage", day)
}

#[derive(Deserialize)]
struct Days {
    days: BTreeMap<String, Tally>,
}

/// Folds what instances have handed over into the days' documents.
pub(crate) async fn fold(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let mut days: BTreeMap<String, Tally> = BTreeMap::new();
    for message in &messages {
        let part: Days = serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(e.to_string()))?;
        for (day, tally) in part.days {
            days.entry(day).or_default().add(tally);
        }
    }
    let mut effects = Effects::default();
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    for (day, more) in days {
        for asked in more.queries.values().filter(|asked| !asked.text.is_empty()) {
            let with_results = asked.searches.saturating_sub(asked.without_results);
            if with_results > 0 {
                *used.entry(asked.text.clone()).or_default() += with_results;
            }
        }
        let document = get_one(&*platform.documents, key(&day)).await?;
        let mut tally: Tally = document
            .as_ref()
            .map(souk_core::Document::parse)
            .transpose()?
            .unwrap_or_default();
        tally.add(more);
        effects.changes.push(Change::Put {
            key: key(&day),
            body: tally.body()?,
            counters: Vec::new(),
            expires_at: Some(clock::after(platform.now(), KEEP_SECONDS)),
            condition: document.map_or(Condition::Absent, |document| Condition::Version(document.version)),
            entries: Vec::new(),
            stale: Vec::new(),
        });
    }
    let trace = messages.first().and_then(|message| cause_of(message).trace);
    let used: Vec<(String, u64)> = used.into_iter().collect();
    for some in used.chunks(MAX_KEPT) {
        let mut message = platform.message(USED, Lane::Low, json!({ "used": some }), trace.clone());
        message.expires_at = Some(clock::after(platform.now(), WORTH_SECONDS));
        effects.messages.push(message);
    }
    Ok(effects)
}

#[derive(Deserialize)]
struct Used {
    used: Vec<(String, u32)>,
}

/// Tells the index what was searched for with success.
pub(crate) async fn used(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let Used { used } = serde_json::from_value(message.body).map_err(|e| JobError::Fatal(e.to_string()))?;
    platform.search.used(&used).await.map_err(failed)?;
    Ok(Effects::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_keeps_the_queries_that_are_asked_most() {
        let mut tally = Tally::default();
        for n in 0..5_000_u64 {
            let asked = Asked {
                text: "\"".repeat(MAX_TEXT),
                searches: n,
                ..Asked::default()
            };
            tally.queries.insert(format!("{n:04}"), asked);
        }
        let body = tally.body().unwrap();
        assert!(
            body.len() <= MAX_DAY && tally.queries.len() >= 200,
            "{}",
            tally.queries.len()
        );
        let least = tally.queries.values().map(|asked| asked.searches).min().unwrap();
        assert_eq!(least, 5_000 - tally.queries.len() as u64);
    }

    #[test]
    fn an_id_says_its_day_for_two_days() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let id = "20260131-abcDEF_-0123";
        assert_eq!(day_of(id, at("2026-01-31T23:59:59Z")).as_deref(), Some("2026-01-31"));
        assert_eq!(day_of(id, at("2026-02-01T12:00:00Z")).as_deref(), Some("2026-01-31"));
        for (id, now) in [
            (id, "2026-02-02T00:00:00Z"),
            ("20260131-abc", "2026-01-31T00:00:00Z"),
            ("20260131-abcDEF_-012é", "2026-01-31T00:00:00Z"),
            ("x", "2026-01-31T00:00:00Z"),
        ] {
            assert_eq!(day_of(id, at(now)), None, "{id}");
        }
    }

    #[test]
    fn what_others_may_see_is_tidy() {
        assert_eq!(tidy("  Crème\n\u{0}\u{202e}BRÛLÉE "), "crème brûlée");
        assert!(tidy(&"é".repeat(99)).len() <= MAX_TEXT);
    }

    #[test]
    fn what_is_stored_stays_readable() {
        let stored = r#"{"searches":3,"without_results":1,"clicks":1,"durations":[0,3],"queries":{"20260131-a":{"text":"lamp","searches":3,"without_results":1,"clicks":1}}}"#;
        let tally: Tally = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&tally).unwrap(), stored);
    }
}
