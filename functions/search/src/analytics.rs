//! What admins see of what people look for, and clicks.

use std::sync::Arc;

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::Timestamp;
use souk_core::documents::get_one;
use souk_core::kind::PRODUCT;
use souk_kit::{Answer, Json, Member, Once, Params, Problem, State};

use crate::Memory;
use crate::usage::{self, Asked, RANGES, Tally};

/// How many queries are listed.
const TOP: usize = 50;

/// Somebody looks at a product that a search has found.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewClick {
    /// The `query_id` of the answer that it was in.
    #[garde(length(min = 1, max = 40))]
    #[serde(default)]
    #[schema(required = true, max_length = 40, example = "20260131-k3Jd90a_xyZ1")]
    query_id: String,
    /// Its id.
    #[garde(custom(is_product))]
    #[serde(default)]
    #[schema(required = true, pattern = "^prd_[0-9a-f]{32}$")]
    product: String,
}

fn is_product<C>(id: &str, _: &C) -> garde::Result {
    if PRODUCT.is_id(id) {
        Ok(())
    } else {
        Err(garde::Error::new("must be the id of a product"))
    }
}

pub(crate) async fn click(
    memory: Arc<Memory>,
    platform: State,
    once: Once,
    Json(click): Json<NewClick>,
) -> Result<Answer, Problem> {
    let Some(day) = usage::day_of(&click.query_id, platform.now()) else {
        return Err(Problem::invalid().field("query_id", "is none that a search gave today or yesterday"));
    };
    let answer = once.commit(Vec::new(), Vec::new(), Answer::no_content()).await?;
    if !answer.is_replayed() {
        memory.usage.clicked(&platform, day, &click.query_id);
    }
    Ok(answer)
}

/// What people looked for on a day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SearchAnalytics {
    /// The day, in UTC.
    #[schema(format = Date)]
    day: String,
    /// How many searches there were with words in them; further pages do not count.
    searches: u64,
    /// How many of them found nothing.
    without_results: u64,
    /// How many products were looked at that were found.
    clicks: u64,
    /// Clicks per search; 0 if there were none.
    click_through_rate: f64,
    /// How long searches took.
    latency_ms: Latency,
    /// What was searched for most.
    top_queries: Vec<QueryCount>,
    /// What was searched for most and not found.
    queries_without_results: Vec<QueryCount>,
}

/// How long searches took, in milliseconds: the end of the range that this part of them ended in.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SearchLatency)]
pub(crate) struct Latency {
    /// Half of them, at most; `null` without searches, or if it is more than five seconds.
    median: Option<i64>,
    /// 95 of 100.
    p95: Option<i64>,
}

/// A query and its counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SearchQueryCount)]
pub(crate) struct QueryCount {
    /// As somebody wrote it, in lower case.
    query: String,
    /// How often it was searched for.
    searches: u64,
    /// How often nothing was found.
    without_results: u64,
    /// How often something that was found was looked at.
    clicks: u64,
}

impl Latency {
    fn of(durations: &[u64]) -> Self {
        let total: u64 = durations.iter().sum();
        let part = |hundredths: u64| {
            let wanted = total.saturating_mul(hundredths).div_ceil(100);
            let mut seen = 0_u64;
            let range = durations.iter().position(|count| {
                seen = seen.saturating_add(*count);
                wanted > 0 && seen >= wanted
            });
            RANGES.get(range?).copied()
        };
        Self {
            median: part(50),
            p95: part(95),
        }
    }
}

/// The queries that have most of something.
fn top(tally: &Tally, by: impl Fn(&Asked) -> u64) -> Vec<QueryCount> {
    let known = tally
        .queries
        .values()
        .filter(|asked| !asked.text.is_empty() && by(asked) > 0);
    let mut known: Vec<&Asked> = known.collect();
    known.sort_by(|a, b| by(b).cmp(&by(a)).then_with(|| a.text.cmp(&b.text)));
    let count = |asked: &Asked| QueryCount {
        query: asked.text.clone(),
        searches: asked.searches,
        without_results: asked.without_results,
        clicks: asked.clicks,
    };
    known.into_iter().take(TOP).map(count).collect()
}

pub(crate) async fn show(memory: Arc<Memory>, platform: State, _: Member, params: Params) -> Result<Answer, Problem> {
    let day = match params.get("day") {
        None => usage::day(platform.now()),
        Some(day) if day.len() == 10 && format!("{day}T00:00:00Z").parse::<Timestamp>().is_ok() => day.to_owned(),
        Some(_) => return Err(Problem::bad_parameter("day", "must be a day such as 2026-01-31")),
    };
    // Whoever looks wants to see what has just happened.
    memory.usage.hand_over(&platform);
    let document = get_one(&*platform.documents, usage::key(&day)).await?;
    let tally: Tally = document
        .as_ref()
        .map(souk_core::Document::parse)
        .transpose()?
        .unwrap_or_default();
    let rate = if tally.searches == 0 {
        0.0
    } else {
        tally.clicks as f64 / tally.searches as f64
    };
    Answer::json(&SearchAnalytics {
        day,
        searches: tally.searches,
        without_results: tally.without_results,
        clicks: tally.clicks,
        click_through_rate: (rate * 10_000.0).round() / 10_000.0,
        latency_ms: Latency::of(&tally.durations),
        top_queries: top(&tally, |asked| asked.searches),
        queries_without_results: top(&tally, |asked| asked.without_results),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_is_the_end_of_a_range() {
        let latency = |median, p95| Latency { median, p95 };
        assert_eq!(Latency::of(&[]), latency(None, None));
        assert_eq!(Latency::of(&[0, 0, 0]), latency(None, None));
        assert_eq!(Latency::of(&[0, 3, 0, 1]), latency(Some(2), Some(10)));
        assert_eq!(Latency::of(&[50, 49, 0, 1]), latency(Some(1), Some(2)));
        let mut slow = vec![0; RANGES.len() + 1];
        slow[RANGES.len()] = 5;
        assert_eq!(Latency::of(&slow), latency(None, None));
    }
}
