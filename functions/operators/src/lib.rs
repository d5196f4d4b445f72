//! Background work, for operators: lanes, dead letters, schedules, jobs, the event log and the audit log (CB-12,
//! VS-13, PS-17).

mod http;
mod jobs;
pub mod operations;
mod permissions;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};

pub use operations::{Handled, LaneState, Summary};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "operators",
        summary: "Lanes, dead letters, schedules, jobs, events and the audit log.",
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
                Documents("audit"),
                Index("audit-by/*"),
                Index("audit-of/*"),
                Index("audit-with/*"),
                Documents("account-named/*"),
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
            &permissions::AUDIT_READ,
        ],
        ..Function::default()
    }
}
