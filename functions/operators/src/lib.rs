//! Background work, for operators: lanes, dead letters, schedules, jobs, and the event log (CB-12, VS-13).

mod http;
mod jobs;
pub mod operations;
mod permissions;

use souk_kit::Partitions::Documents;
use souk_kit::{Function, StoreUse};

pub use operations::{Handled, LaneState, Summary};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "operators",
        summary: "Lanes, dead letters, schedules, jobs and events.",
        routes: http::routes(),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        schedules: vec![jobs::sweep()],
        store: StoreUse {
            reads: &[
                Documents("job/*"),
                Documents("dead/*"),
                Documents("events/*"),
                Documents("lane-counts/*"),
                Documents("schedules"),
            ],
            writes: &[Documents("job/*"), Documents("dead/*")],
        },
        job_store: StoreUse {
            writes: &[Documents("events/*")],
            ..StoreUse::default()
        },
        permissions: &[
            &permissions::QUEUES_READ,
            &permissions::QUEUES_WRITE,
            &permissions::JOBS_READ,
            &permissions::EVENTS_READ,
        ],
        ..Function::default()
    }
}
