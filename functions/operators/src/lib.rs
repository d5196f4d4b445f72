//! For operators: lanes, dead letters, schedules, jobs, the event log and the audit log (CB-12, VS-13, PS-17); the gate and the
//! registry of functions (PS-01, PS-12, VN-04, VS-29).

mod http;
mod jobs;
pub mod operations;
mod permissions;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::gate::GATE;
use souk_kit::{Function, StoreUse};

pub use operations::{Handled, LaneState, Summary};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "operators",
        summary: "Lanes, dead letters, schedules, jobs, events, the audit log, the gate and the registry.",
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
            writes: &[Documents("job/*"), Documents("dead/*"), Documents("gate/*")],
        },
        kinds: &[GATE],
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
            &permissions::GATE_READ,
            &permissions::GATE_WRITE,
        ],
        ..Function::default()
    }
}
