//! What operators see and steer of the work in the background: lanes, dead letters, schedules, events.

use souk_core::fact;
use souk_http::Function;
use souk_http::work::schedule::Schedule;

/// How old what is left in the outbox must be before it is swept up, in milliseconds.
const LEFT_BEHIND: i64 = 30_000;

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let sweep = Schedule::new(
        "jobs.sweep",
        "Sends the events that a crash or a dead queue has left in the outbox.",
        60,
        async |platform: std::sync::Arc<souk_http::Platform>| {
            let sent = platform.sweep(LEFT_BEHIND).await?;
            Ok(format!("{sent} commits"))
        },
    );
    let mut function = Function::new("jobs", "Queues, dead letters, schedules and events.", Vec::new());
    function.schedules = vec![sweep];
    let _ = fact::catalogue;
    function
}
