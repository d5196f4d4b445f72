//! What a message asks of a job that both events and jobs send messages to.

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::{Event, Lane, Message};
use souk_kit::Platform;
use souk_kit::work::{JobError, event_of};

/// An event, or a `T` that a job of ours sent.
pub(crate) enum Task<T> {
    Event(Event),
    Own(T),
}

impl<T: Serialize + DeserializeOwned> Task<T> {
    /// A `T` is told by its field `task`, which no event has.
    pub(crate) fn of(message: &Message) -> Result<Self, JobError> {
        match message.body.get("task") {
            None => event_of(message).map(Task::Event),
            Some(task) => serde_json::from_value(task.clone())
                .map(Task::Own)
                .map_err(|e| JobError::Fatal(format!("not a task of this job: {e}"))),
        }
    }

    /// The message that asks `job` for this.
    pub(crate) fn message(platform: &Platform, job: &str, task: &T, trace: Option<String>) -> Message {
        platform.message(job, Lane::Default, serde_json::json!({ "task": task }), trace)
    }
}
