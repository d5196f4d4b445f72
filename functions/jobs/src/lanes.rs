//! How the lanes are: what waits, as the queue tells it, and what was done, as the consumers counted it.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use souk_core::queue::Backlog;
use souk_core::{Lane, StoreError};
use souk_kit::work::stats;
use souk_kit::{Answer, Platform, Problem, State};

/// A lane at this moment.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LaneState {
    /// Which.
    pub lane: Lane,
    /// What waits; `null` if the queue does not answer.
    pub backlog: Option<Backlog>,
    /// How many messages were done a minute, over the last five.
    pub done_per_minute: f64,
    /// What became of messages in the last five minutes: `done`, `retried`, `dead`, `expired`, `shed`.
    pub last_5_minutes: BTreeMap<String, u64>,
    /// The same of the last hour.
    pub last_60_minutes: BTreeMap<String, u64>,
}

/// All lanes, most urgent first.
pub async fn lanes(platform: &Platform) -> Result<Vec<LaneState>, StoreError> {
    let all = join_all(Lane::ALL.map(|lane| state(platform, lane))).await;
    all.into_iter().collect()
}

async fn state(platform: &Platform, lane: Lane) -> Result<LaneState, StoreError> {
    let [last_5_minutes, last_60_minutes] = stats::recent(platform, lane, [5, 60]).await?;
    let backlog = platform.queue.backlog(lane).await;
    let done = last_5_minutes.get("done").copied().unwrap_or(0);
    Ok(LaneState {
        lane,
        backlog: backlog
            .inspect_err(|error| tracing::warn!(%error, lane = lane.name(), "no backlog"))
            .ok(),
        done_per_minute: done as f64 / 5.0,
        last_5_minutes,
        last_60_minutes,
    })
}

pub(crate) async fn list(platform: State) -> Result<Answer, Problem> {
    let items = lanes(&platform).await?;
    Answer::json(&serde_json::json!({ "items": items, "next_cursor": null }))
}
