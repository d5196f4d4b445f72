//! A function: a vertical slice of the API, deployed on its own or with others.

use souk_core::{EventType, Kind, Permission};

use crate::http::{Notification, ProblemType, Route, problem_type};
use crate::jobs::{Job, Schedule};
use crate::limits::{Limit, Reach};
use crate::registry::{FunctionEntry, Registry, Subscription};
use crate::versions::VersionChange;

/// The routes, jobs and declarations of a function.
#[derive(Default)]
pub struct Function {
    /// The name, as in `functions/{name}`.
    pub name: &'static str,
    /// A description of the function in one sentence.
    pub summary: &'static str,
    /// The rows of the route table.
    pub routes: Vec<Route>,
    /// The row for paths that no function has and that are not below `/v1/`; at most one function has it.
    pub fallback: Option<Route>,
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
    /// The types of problems that only it has.
    pub problems: &'static [&'static ProblemType],
    /// How it sends events to subscribers, if it does: for the OpenAPI document.
    pub notification: Option<Notification>,
    /// The paths to prefetch into the response cache.
    pub warm: &'static [&'static str],
    /// The parts of the store that its requests use, beside those that every function uses.
    pub store: StoreUse,
    /// The parts of the store that its jobs and schedules use.
    pub job_store: StoreUse,
    /// What staff may do to its nouns.
    pub permissions: &'static [&'static Permission],
    /// The names of documents beside its kinds that the audit log shows: what is before the `/` in their keys.
    pub audited: &'static [&'static str],
    /// The names of documents of which earlier states are kept, for reads as of a moment: what is before the `/` in their keys.
    pub histories: &'static [&'static str],
    /// The limits that its operations count by what they name ([`By::Subject`](crate::limits::By)).
    pub limits: &'static [&'static Limit],
    /// Whether its requests ask the search index. Jobs may always use it.
    pub searches: bool,
    /// How later versions of the API differ from the first in its documents.
    pub changes: &'static [VersionChange],
    /// Whether its requests call other systems. Jobs may always.
    pub calls: bool,
    /// Whether its requests read all that a tenant has, for its export. Its jobs may always.
    pub scans: bool,
}

/// Partitions of the document store. A `*` at the end of a name stands for any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// Documents, such as `order/*`.
    Documents(&'static str),
    /// The entries of indexes, such as `orders/*`.
    Index(&'static str),
}

/// The parts of the store that a function reads and writes. A host can enforce it: on AWS by the function's IAM role.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreUse {
    /// Read, or required by a commit.
    pub reads: &'static [Partitions],
    /// Created, updated and deleted.
    pub writes: &'static [Partitions],
}

impl Function {
    /// Whether some of its requests can change something.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        self.routes.iter().any(|route| !route.method.is_safe())
    }

    /// The limits of its routes and operations.
    pub fn all_limits(&self) -> impl Iterator<Item = &'static Limit> {
        let of_routes = self.routes.iter().flat_map(|route| &route.limits);
        of_routes.chain(self.limits).copied()
    }

    /// Those that hold everywhere.
    pub fn strict_limits(&self) -> impl Iterator<Item = &'static Limit> {
        self.all_limits().filter(|limit| limit.reach == Reach::Everywhere)
    }

    /// Whether its requests can send events or messages.
    #[must_use]
    pub fn sends(&self) -> bool {
        !self.events.is_empty() || !self.jobs.is_empty()
    }
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
            registry.permissions.extend(function.permissions);
            registry.audited.extend(function.audited);
            registry.changes.extend(function.changes);
            registry.histories.extend(function.histories);
            registry.limits.extend(function.all_limits().map(|limit| limit.name));
            let ids = function.routes.iter().map(|route| route.id).filter(|id| !id.is_empty());
            registry.functions.push(FunctionEntry {
                name: function.name,
                summary: function.summary,
                operations: ids.collect(),
                jobs: function.jobs.iter().map(|job| job.name).collect(),
            });
        }
        registry
    }

    /// The names that two of these functions both declare: kinds, id prefixes, events, problems, permissions, jobs, schedules, the
    /// fallback.
    #[must_use]
    pub fn clashes(functions: &[Function]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let problem = |kind: &&ProblemType| format!("problem {}", kind.code);
        names.extend(problem_type::ALL.iter().map(problem));
        for function in functions {
            names.extend(function.kinds.iter().map(|kind| format!("kind {}", kind.name)));
            names.extend(function.kinds.iter().map(|kind| format!("id prefix {}", kind.prefix)));
            names.extend(function.events.iter().map(|event| format!("event {}", event.name)));
            names.extend(function.problems.iter().map(problem));
            names.extend(
                function
                    .permissions
                    .iter()
                    .map(|permission| format!("permission {}", permission.name)),
            );
            names.extend(function.fallback.iter().map(|_| "fallback".to_owned()));
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
