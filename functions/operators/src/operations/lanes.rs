//! The state of the lanes: the backlog, as the queue reports it, and the counters of the consumers.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use souk_core::queue::Backlog;
use souk_core::{Lane, StoreError};
use souk_kit::platform::recent;
use souk_kit::{Context, Failure};

/// The state of a lane.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LaneState {
    /// The lane.
    pub lane: Lane,
    /// Number of waiting messages; `null` if the queue is unavailable.
    #[schema(required = true)]
    pub backlog: Option<Backlog>,
    /// Messages done per minute, over the last five minutes.
    pub done_per_minute: f64,
    /// Number of messages in the last five minutes by outcome: `done`, `retried`, `dead`, `expired`, `shed`.
    pub last_5_minutes: BTreeMap<String, u64>,
    /// Number of messages in the last hour by outcome.
    pub last_60_minutes: BTreeMap<String, u64>,
}

/// All lanes, most urgent first.
pub async fn lanes(cx: &Context) -> Result<Vec<LaneState>, Failure> {
    let all = join_all(Lane::ALL.map(|lane| state(cx, lane))).await;
    Ok(all.into_iter().collect::<Result<_, _>>()?)
}

async fn state(cx: &Context, lane: Lane) -> Result<LaneState, StoreError> {
    let [last_5_minutes, last_60_minutes] = recent(cx, lane, [5, 60]).await?;
    let backlog = cx.queue.backlog(lane).await;
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
