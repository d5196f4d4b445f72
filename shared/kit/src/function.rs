//! A function: a vertical slice of the API, deployed on its own or with others.

use souk_core::{EventType, Kind};

use crate::http::Route;
use crate::jobs::{Job, Schedule};
use crate::registry::{Registry, Subscription};

/// The routes, jobs and declarations of a function.
#[derive(Default)]
pub struct Function {
    /// The name, as in `functions/{name}`.
    pub name: &'static str,
    /// A description of the function in one sentence.
    pub summary: &'static str,
    /// The rows of the route table.
    pub routes: Vec<Route>,
    /// The jobs, which process delivered messages.
    pub jobs: Vec<Job>,
    /// The events that the jobs subscribe to.
    pub subscriptions: &'static [Subscription],
    /// The schedules.
    pub schedules: Vec<Schedule>,
    /// The kinds of documents that it owns.
    pub kinds: &'static [Kind],
    /// The types of events that it emits.
    pub events: Vec<EventType>,
    /// The paths to prefetch into the response cache.
    pub warm: &'static [&'static str],
}

impl Registry {
    /// The combined declarations of these functions.
    #[must_use]
    pub fn of(functions: &[Function]) -> Self {
        let mut registry = Self::default();
        for function in functions {
            registry.kinds.extend(function.kinds);
            registry.events.extend(function.events.iter().cloned());
            registry.subscriptions.extend(function.subscriptions);
            registry.warm.extend(function.warm);
        }
        registry
    }

    /// The names that two of these functions both declare: kinds, id prefixes, events, jobs, schedules.
    #[must_use]
    pub fn clashes(functions: &[Function]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for function in functions {
            names.extend(function.kinds.iter().map(|kind| format!("kind {}", kind.name)));
            names.extend(function.kinds.iter().map(|kind| format!("id prefix {}", kind.prefix)));
            names.extend(function.events.iter().map(|event| format!("event {}", event.name)));
            names.extend(function.jobs.iter().map(|job| format!("job {}", job.name)));
            names.extend(
                function
                    .schedules
                    .iter()
                    .map(|schedule| format!("schedule {}", schedule.name)),
            );
        }
        names.sort_unstable();
        let twice = names.iter().zip(names.iter().skip(1)).filter(|(a, b)| a == b);
        twice.map(|(name, _)| name.clone()).collect()
    }
}
