//! Search usage by day (VN-20): the number of searches, of searches without results and of clicks, the durations, and
//! the queries. Nothing about the clients is stored.
//!
//! **Costs.** An instance counts in memory. The first request at least ten seconds after the last report sends the
//! counts as one message, after its response; so does a request that finds the memory full. Counts are lost when an
//! instance ends or the queue drops a message, and responses from shared caches are not counted: the figures are
//! estimates.
//!
//! The job `search.usage` adds the reports to `search-usage/{day}`, one document of bounded size: the least frequent
//! queries are evicted, and start at zero if they are searched again. The job `search.used` adds queries that had
//! results to the completions of the index. It has its own message outside of that commit, and may run twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload as _;
use souk_core::search::Word;
use souk_core::{Key, Timestamp, check, clock};
use souk_kit::{Failure, Platform};

use crate::jobs::usage::{UsageReport, WORTH_SECONDS};

/// How often an instance reports, in milliseconds.
const EVERY: i64 = 10_000;
/// How many queries and clicked queries an instance keeps, which fit into one message.
pub(crate) const MAX_KEPT: usize = 200;
/// The length to which stored queries are truncated, in bytes.
const MAX_TEXT: usize = 100;
/// The maximum size of the document of a day, in bytes.
const MAX_DAY: usize = 80 * 1024;
/// The upper bounds of the histogram buckets of durations, in milliseconds; the last bucket is unbounded.
pub(crate) const RANGES: [i64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// A query and its counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QueryStats {
    /// The text of the query; empty if only clicks have been reported so far.
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) searches: u64,
    #[serde(default)]
    pub(crate) without_results: u64,
    #[serde(default)]
    pub(crate) clicks: u64,
}

/// The counts of a day or of a part of it, as stored and in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    #[serde(default)]
    pub(crate) searches: u64,
    #[serde(default)]
    pub(crate) without_results: u64,
    #[serde(default)]
    pub(crate) clicks: u64,
    /// The number of searches per histogram bucket, see [`RANGES`].
    #[serde(default)]
    pub(crate) durations: Vec<u64>,
    /// By query id.
    #[serde(default)]
    pub(crate) queries: BTreeMap<String, QueryStats>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
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

    /// Evicts the least frequent queries until the others fit into a document.
    pub(crate) fn shrink(&mut self) -> Result<(), Failure> {
        while !self.queries.is_empty() && serde_json::to_string(self)?.len() > MAX_DAY {
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
        Ok(())
    }
}

/// `2026-01-31`
pub(crate) fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// The id of a query on a day, for clicks. It is the same for all clients with the same query, and does not reveal the
/// query.
pub(crate) fn query_id(platform: &Platform, day: &str, asked: &[Word]) -> String {
    let plain: Vec<&str> = asked.iter().map(|word| word.plain.as_str()).collect();
    let digest = platform
        .keys
        .digest(format!("query\n{day}\n{}", plain.join(" ")).as_bytes());
    let date = day.chars().filter(char::is_ascii_digit);
    date.chain(['-']).chain(digest.chars().take(12)).collect()
}

/// The day in a query id, if it is today or yesterday.
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

/// A query in a form that is safe to show to others: one line, in lower case, without invisible or bidirectional
/// control characters.
fn tidy(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control() || check::is_unseen(c))
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

/// The counts of an instance since its last report.
#[derive(Default)]
pub(crate) struct Usage(Mutex<Unreported>);

#[derive(Default)]
struct Unreported {
    days: BTreeMap<String, Tally>,
    reported_at: i64,
}

impl Usage {
    /// Counts a search.
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

    /// Counts a click on a result of a query.
    pub(crate) fn clicked(&self, platform: &Platform, day: String, id: &str) {
        self.note(platform, day, |tally| {
            tally.clicks += 1;
            tally.queries.entry(id.to_owned()).or_default().clicks += 1;
        });
    }

    fn note(&self, platform: &Platform, day: String, note: impl FnOnce(&mut Tally)) {
        let now = platform.clock.now().as_millisecond();
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        note(unreported.days.entry(day).or_default());
        let kept: usize = unreported.days.values().map(|tally| tally.queries.len()).sum();
        if kept >= MAX_KEPT || now.saturating_sub(unreported.reported_at) >= EVERY {
            unreported.report(platform);
        }
    }

    /// Sends the counts as a report.
    pub(crate) fn report(&self, platform: &Platform) {
        let mut unreported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !unreported.days.is_empty() {
            unreported.report(platform);
        }
    }
}

impl Unreported {
    fn report(&mut self, platform: &Platform) {
        self.reported_at = platform.clock.now().as_millisecond();
        let days = std::mem::take(&mut self.days);
        // The report covers many requests, so it has no trace.
        let mut message = platform.message(UsageReport::JOB, UsageReport::LANE, json!(UsageReport { days }), None);
        message.expires_at = Some(clock::after(platform.now(), WORTH_SECONDS));
        platform.send_best_effort(message);
    }
}

/// The key of the document of a day.
pub(crate) fn key(day: &str) -> Key {
    Key::of("search-usage", day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_keeps_the_queries_that_are_asked_most() {
        let mut tally = Tally::default();
        for n in 0..5_000_u64 {
            let asked = QueryStats {
                text: "\"".repeat(MAX_TEXT),
                searches: n,
                ..QueryStats::default()
            };
            tally.queries.insert(format!("{n:04}"), asked);
        }
        tally.shrink().unwrap();
        let body = serde_json::to_string(&tally).unwrap();
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
