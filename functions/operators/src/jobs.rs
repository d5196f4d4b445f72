//! The jobs and the schedule: the event log, the replay of a lane, and the sweep of the outbox.

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload;
use souk_core::{Event, Lane, Message, Timestamp};
use souk_kit::Subscription;
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, Schedule, tracked};

use crate::operations;

/// How many events one commit logs.
const EVENTS: usize = 40;
/// How old a record of the outbox must be for the sweep to send it, in milliseconds.
const SWEEP_AGE_MS: i64 = 30_000;

pub(crate) const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    event: "*",
    job: LoggedEvent::JOB,
    // The log must be complete, so the lane is not `low`, whose messages can be dropped.
    lane: Lane::Default,
    fold: None,
}];

pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job::batch("Writes events to the log.", EVENTS, log_events),
        Job::single("Replays the dead letters of a lane.", replay_lane),
    ]
}

pub(crate) fn sweep() -> Schedule {
    Schedule::new(
        "operators.sweep",
        "Sends the events and messages that a crash or a queue outage left in the outbox.",
        60,
        async |cx| {
            let sent = cx.sweep(SWEEP_AGE_MS).await;
            let sent = sent.map_err(|error| JobError::Retry(error.to_string()))?;
            Ok(format!("{sent} commits"))
        },
    )
}

/// An event to log.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct LoggedEvent(Event);

impl Payload for LoggedEvent {
    const JOB: &'static str = "operators.log";
}

async fn log_events(tx: JobTransaction, events: Vec<LoggedEvent>) -> Result<JobOutput, JobError> {
    for LoggedEvent(event) in events {
        operations::log_event(&tx, event);
    }
    Ok(JobOutput::default())
}

/// The dead letters to replay, and the position of the job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReplayLane {
    pub(crate) lane: Lane,
    /// Messages that became dead letters later are not replayed, because the job might never end.
    pub(crate) until: Timestamp,
    /// The sort key after which the next page starts.
    pub(crate) after: Option<String>,
    pub(crate) replayed: usize,
}

impl Payload for ReplayLane {
    const JOB: &'static str = "operators.replay";
    const LANE: Lane = Lane::High;
}

/// Replays one page, in one commit with the message for the next page.
async fn replay_lane(tx: JobTransaction, order: ReplayLane, message: Message) -> Result<JobOutput, JobError> {
    let page = operations::replay_page(&tx, order.lane, order.until, order.after.as_deref()).await?;
    let replayed = order.replayed.saturating_add(page.count);
    let unfinished = page.next.is_some();
    if unfinished {
        let next = ReplayLane {
            after: page.next,
            replayed,
            ..order
        };
        tracked::next(&tx, &message, &next)?;
    }
    Ok(JobOutput {
        result: Some(json!({ "replayed": replayed })),
        unfinished,
    })
}
