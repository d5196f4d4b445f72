//! The job that sends again what was sent in a range of time.
//!
//! It begins a new round for each delivery, some dozens in a commit. If we die in between it is run again and goes over
//! those that it has begun already, which it knows by their time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::{Condition, Message, Query, Timestamp};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError};

use crate::delivery::{Delivery, Status, mark, partition};

/// The job's name.
pub(crate) const JOB: &str = "webhooks.replay";
/// How many deliveries one replay begins.
pub(crate) const MAX_REPLAYED: usize = 1_000;
/// How many it begins in one commit.
const STEP: usize = 40;

/// What to replay.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) webhook: String,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Only deliveries that stand so.
    pub(crate) status: Option<Status>,
}

pub(crate) async fn replay(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let range: Range = serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(e.to_string()))?;
    let end = mark(range.to);
    let mut query = Query {
        after: Some(mark(range.from)),
        ..Query::partition(partition(&range.webhook), STEP)
    };
    let (mut replayed, mut more_from) = (0, None);
    loop {
        let page = platform.documents.query(&query).await?;
        let (mut changes, mut messages) = (Vec::new(), Vec::new());
        let mut is_end = page.next.is_none();
        for item in page.items {
            let mut delivery: Delivery = item.document.parse()?;
            if item.sort >= end {
                is_end = true;
                break;
            }
            if replayed >= MAX_REPLAYED {
                (is_end, more_from) = (true, Some(delivery.created_at));
                break;
            }
            let wanted = range.status.is_none_or(|status| status == delivery.status);
            // What is under way, or was begun by this very job, needs no other round.
            if delivery.status != Status::Pending && wanted && delivery.updated_at < message.created_at {
                messages.push(delivery.begin(&platform)?);
                changes.push(delivery.put(Condition::Version(item.document.version))?);
                replayed += 1;
            }
        }
        if !changes.is_empty() {
            platform.commit(changes, Vec::new(), messages).await?;
        }
        match page.next {
            Some(next) if !is_end => query.after = Some(next),
            _ => break,
        }
    }
    Ok(Effects {
        result: Some(json!({ "replayed": replayed, "more_from": more_from })),
        ..Effects::default()
    })
}
