//! What operators may do.

use souk_core::Permission;
use souk_core::access::OPERATOR;

/// To see the state of background work.
pub(crate) const QUEUES_READ: Permission = Permission::new(
    "queues:read",
    "See lanes, dead letters, schedules and the state of other systems.",
    &[OPERATOR],
)
.of_deployment();
/// To deal with dead letters.
pub(crate) const QUEUES_WRITE: Permission =
    Permission::new("queues:write", "Replay and delete dead letters.", &[OPERATOR]).of_deployment();
/// To see jobs.
pub(crate) const JOBS_READ: Permission = Permission::new("jobs:read", "See jobs of others.", &[OPERATOR]);
/// To see the event log.
pub(crate) const EVENTS_READ: Permission = Permission::new("events:read", "See the event log.", &[OPERATOR]);
/// To see the audit log, and what was.
pub(crate) use souk_model::identity::AUDIT_READ;
/// To see what is set about requests, and the functions.
pub(crate) const GATE_READ: Permission = Permission::new(
    "gate:read",
    "See the functions, and what is set about operations, limits and requests.",
    &[OPERATOR],
)
.of_deployment();
/// To set it.
pub(crate) const GATE_WRITE: Permission = Permission::new(
    "gate:write",
    "Switch operations off and on, change limits and caching, and change requests and answers by rules.",
    &[OPERATOR],
)
.of_deployment();
