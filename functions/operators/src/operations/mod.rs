//! Operations for operators.

mod audit;
mod dead_letters;
mod events;
mod gate;
mod lanes;
mod progress;

pub use audit::{AuditFilter, ShownRecord, export_audit, list_audit};
pub(crate) use dead_letters::replay_page;
pub use dead_letters::{
    Handled, Summary, discard_dead_letter, discard_lane_page, find_dead_letter, list_dead_letters, newest_dead_letters,
    replay_dead_letter, replay_lane, replay_lane_page,
};
pub use events::list_events;
pub(crate) use events::log_event;
pub use gate::{RegisteredFunction, change_gate, functions, gate};
pub use lanes::{LaneState, lanes};
pub use progress::{find_job, list_schedules};
