//! A function: a vertical slice of the market, deployed on its own or with others.

use souk_core::{EventType, Kind};

use crate::http::Route;
use crate::jobs::{Job, Schedule};
use crate::registry::{Registry, Subscription};

/// What a function offers and declares.
#[derive(Default)]
pub struct Function {
    /// The name, as in `functions/{name}`.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub summary: &'static str,
    /// The rows of the route table.
    pub routes: Vec<Route>,
    /// What is done with delivered messages.
    pub jobs: Vec<Job>,
    /// The events that the jobs subscribe to.
    pub subscriptions: &'static [Subscription],
    /// What runs on a schedule.
    pub schedules: Vec<Schedule>,
    /// The kinds of documents that it owns.
    pub kinds: &'static [Kind],
    /// The types of events that it emits.
    pub events: Vec<EventType>,
    /// The pages that are made before anybody requests them.
    pub warm: &'static [&'static str],
}

impl Registry {
    /// What these functions declare together.
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

    /// What two of these functions declare under the same name: kinds, id prefixes, events, jobs, schedules.
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
