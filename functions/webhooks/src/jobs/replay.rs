//! The job that replays the deliveries of a time range.
//!
//! It starts a new round of each delivery, one page per commit. After a crash it runs again from the start and skips
//! the deliveries whose round it has already started, which it recognises by their `updated_at`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload;
use souk_core::{Lane, Message, Query, Timestamp};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_kit::{Context, Failure};

use crate::delivery::{Delivery, Status, mark, partition};
use crate::operations::begin_round;

/// How many deliveries one job replays.
const MAX_REPLAYED: usize = 1_000;
/// How many deliveries one commit processes.
const PAGE: usize = 40;

/// The deliveries to replay.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) webhook: String,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Only deliveries with this status.
    pub(crate) status: Option<Status>,
}

impl Payload for Range {
    const JOB: &'static str = "webhooks.replay";
    const LANE: Lane = Lane::Notifications;
}

/// The position of the job.
#[derive(Serialize, Deserialize)]
struct Progress {
    replayed: usize,
    /// The `created_at` of the first delivery that was left out because there are too many.
    more_from: Option<Timestamp>,
    /// The sort key after which the next page starts; `None` at the end.
    after: Option<String>,
}

pub(crate) async fn replay(tx: JobTransaction, range: Range, message: Message) -> Result<JobOutput, JobError> {
    let mut progress = Progress {
        replayed: 0,
        more_from: None,
        after: Some(mark(range.from)),
    };
    while progress.after.is_some() {
        progress = replay_page(&tx, &range, &progress, &message).await?;
    }
    let Progress {
        replayed, more_from, ..
    } = progress;
    Ok(JobOutput {
        result: Some(json!({ "replayed": replayed, "more_from": more_from })),
        unfinished: false,
    })
}

async fn replay_page(cx: &Context, range: &Range, progress: &Progress, message: &Message) -> Result<Progress, Failure> {
    let end = &mark(range.to);
    cx.commit(|tx| async move {
        let query = Query {
            after: progress.after.clone(),
            ..Query::partition(partition(&range.webhook), PAGE)
        };
        let page = tx.query(&query).await?;
        let mut progress = Progress {
            after: page.next,
            ..*progress
        };
        for item in page.items {
            let mut delivery: Delivery = item.document.parse()?;
            if item.sort >= *end {
                progress.after = None;
                break;
            }
            if progress.replayed >= MAX_REPLAYED {
                (progress.after, progress.more_from) = (None, Some(delivery.created_at));
                break;
            }
            let is_wanted = range.status.is_none_or(|status| status == delivery.status);
            // A pending delivery, or one whose round this job has already started, needs no new round.
            if delivery.status != Status::Pending && is_wanted && delivery.updated_at < message.created_at {
                begin_round(&tx, &mut delivery, message.account.as_deref(), None)?;
                tx.update(&item.document, delivery).or_retry();
                progress.replayed += 1;
            }
        }
        Ok(progress)
    })
    .await
}
