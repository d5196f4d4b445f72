//! The analytics of a day, and clicks.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Fault, check};
use souk_model::catalog::PRODUCT;

use crate::usage::{QueryStats, RANGES, Tally};

/// The length of the lists of queries.
const TOP: usize = 50;

/// A click on a search result.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSearchClick)]
pub(crate) struct NewClick {
    /// The `query_id` of the search that found the product.
    #[garde(custom(check::characters(1, 40)))]
    #[serde(default)]
    #[schema(required = true, max_length = 40, example = "20260131-k3Jd90a_xyZ1")]
    pub(crate) query_id: String,
    /// The id of the product.
    #[garde(custom(is_product))]
    #[serde(default)]
    #[schema(required = true, pattern = "^prd_[0-9a-f]{32}$")]
    product: String,
}

fn is_product<C>(id: &str, _: &C) -> garde::Result {
    if PRODUCT.is_id(id) {
        Ok(())
    } else {
        Err(if id.is_empty() {
            Fault::required()
        } else {
            Fault::format("must be the id of a product")
        }
        .into())
    }
}

/// Analytics of the searches of a day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SearchAnalytics {
    /// The day, in UTC.
    #[schema(format = Date)]
    day: String,
    /// Number of searches with at least one word; only the first page of results counts.
    searches: u64,
    /// Number of searches without results.
    without_results: u64,
    /// Number of clicks on search results.
    clicks: u64,
    /// Clicks per search; 0 without searches.
    click_through_rate: f64,
    /// Durations of searches.
    latency_ms: Latency,
    /// The most frequent queries.
    top_queries: Vec<QueryCount>,
    /// The most frequent queries without results.
    queries_without_results: Vec<QueryCount>,
}

/// Durations of searches, in milliseconds: the upper bound of the histogram bucket of the percentile.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SearchLatency)]
pub(crate) struct Latency {
    /// The median; `null` if there are no searches, or if it is over five seconds.
    #[schema(required = true)]
    median: Option<i64>,
    /// The 95th percentile; `null` if there are no searches, or if it is over five seconds.
    #[schema(required = true)]
    p95: Option<i64>,
}

/// A query and its counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SearchQueryCount)]
pub(crate) struct QueryCount {
    /// The text of the query, in lower case.
    query: String,
    /// Number of searches.
    searches: u64,
    /// Number of searches without results.
    without_results: u64,
    /// Number of clicks on results of the query.
    clicks: u64,
}

impl SearchAnalytics {
    /// The analytics of a day with these counts.
    pub(crate) fn of(day: String, tally: &Tally) -> Self {
        let rate = if tally.searches == 0 {
            0.0
        } else {
            tally.clicks as f64 / tally.searches as f64
        };
        Self {
            day,
            searches: tally.searches,
            without_results: tally.without_results,
            clicks: tally.clicks,
            click_through_rate: (rate * 10_000.0).round() / 10_000.0,
            latency_ms: Latency::of(&tally.durations),
            top_queries: top(tally, |asked| asked.searches),
            queries_without_results: top(tally, |asked| asked.without_results),
        }
    }
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

/// The queries with the highest counts by `by`.
fn top(tally: &Tally, by: impl Fn(&QueryStats) -> u64) -> Vec<QueryCount> {
    let known = tally
        .queries
        .values()
        .filter(|asked| !asked.text.is_empty() && by(asked) > 0);
    let mut known: Vec<&QueryStats> = known.collect();
    known.sort_by(|a, b| by(b).cmp(&by(a)).then_with(|| a.text.cmp(&b.text)));
    let count = |asked: &QueryStats| QueryCount {
        query: asked.text.clone(),
        searches: asked.searches,
        without_results: asked.without_results,
        clicks: asked.clicks,
    };
    known.into_iter().take(TOP).map(count).collect()
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
