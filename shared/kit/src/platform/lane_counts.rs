//! Counters per lane and minute, kept for a day. Every consumer adds to them.

use std::collections::BTreeMap;

use souk_core::{Change, Commit, Condition, Consistency, Key, Lane, Query, StoreError, clock};

use super::Platform;

/// How long the counters of a minute are kept.
const KEEP_SECONDS: i64 = 24 * 3600;

/// The names of the counters: `done`, `retried`, `dead`, `expired` (dropped after its expiry), `shed` (dropped because
/// the backlog was full).
pub const COUNTED: [&str; 5] = ["done", "retried", "dead", "expired", "shed"];

fn partition(lane: Lane) -> String {
    format!("lane-counts/{}", lane.name())
}

/// Adds to the counters of this minute. They are only informative, so a failure is logged and ignored.
pub(crate) async fn count(platform: &Platform, lane: Lane, counts: &[(&'static str, usize)]) {
    let minute = platform.now().as_second().div_euclid(60);
    let counts: Vec<_> = counts.iter().filter(|(_, n)| *n > 0).collect();
    if counts.is_empty() {
        return;
    }
    let key = |what: &str| Key::new(partition(lane), format!("{minute:012}/{what}"));
    let add = || {
        let adds = counts.iter().map(|(what, n)| Change::Add {
            key: key(what),
            counter: "n".into(),
            delta: i64::try_from(*n).unwrap_or(i64::MAX),
        });
        platform.whole.commit(Commit::new(adds.collect()))
    };
    let mut result = add().await;
    if let Err(StoreError::Conflict(_)) = result {
        // The first consumer in a minute creates the document; another one may have created it meanwhile.
        for (what, _) in &counts {
            let place = Change::Put {
                key: key(what),
                body: "{}".into(),
                counters: vec!["n".into()],
                expires_at: Some(clock::after(platform.now(), KEEP_SECONDS)),
                condition: Condition::Absent,
                entries: Vec::new(),
                stale: Vec::new(),
            };
            let _ = platform.whole.commit(Commit::new(vec![place])).await;
        }
        result = add().await;
    }
    if let Err(error) = result {
        tracing::warn!(%error, lane = lane.name(), "the lane's counts are incomplete");
    }
}

/// For each of these spans in minutes, the sums of the counters over the last minutes.
pub async fn recent<const N: usize>(
    platform: &Platform,
    lane: Lane,
    minutes: [i64; N],
) -> Result<[BTreeMap<String, u64>; N], StoreError> {
    let now = platform.now().as_second().div_euclid(60);
    let longest = minutes.into_iter().max().unwrap_or(0);
    let mut query = Query::partition(partition(lane), 100);
    query.after = Some(format!("{:012}~", now.saturating_sub(longest)));
    let mut sums = minutes.map(|_| COUNTED.iter().map(|what| ((*what).to_owned(), 0)).collect());
    loop {
        let page = platform.whole.query(&query, Consistency::Strong).await?;
        for item in page.items {
            let n: BTreeMap<String, i64> = serde_json::from_str(&item.document.counters).unwrap_or_default();
            let (minute, what) = item.sort.split_once('/').unwrap_or_default();
            let n = n.get("n").and_then(|n| u64::try_from(*n).ok()).unwrap_or(0);
            let age = now.saturating_sub(minute.parse().unwrap_or(0));
            let spans = sums.iter_mut().zip(minutes).filter(|(_, span)| age < *span);
            for (sums, _) in spans {
                let sums: &mut BTreeMap<String, u64> = sums;
                if let Some(sum) = sums.get_mut(what) {
                    *sum = sum.saturating_add(n);
                }
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(sums),
        }
    }
}
