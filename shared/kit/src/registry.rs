//! The declarations of all functions. Every process has all of them, whichever functions it serves.

use std::collections::BTreeSet;

use souk_core::{EventType, Kind, Lane, Permission};

use crate::versions::VersionChange;

/// A job's subscription to a type of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The event type, such as `order.placed`; `order.*` for all types with this prefix; `*` for all types.
    pub event: &'static str,
    /// The job that gets one message per event.
    pub job: &'static str,
    /// The lane of those messages.
    pub lane: Lane,
    /// The field of the event's data that names what the job works on, if the job needs nothing else of the event. Then events
    /// of one type and account about one thing share a message, unless the last one was sent more than a second ago.
    pub fold: Option<&'static str>,
}

impl Subscription {
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self.event.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.event == name,
        }
    }
}

/// The declarations of all functions.
#[derive(Clone, Default)]
pub struct Registry {
    /// The kinds of documents.
    pub kinds: Vec<Kind>,
    /// The types of events.
    pub events: Vec<EventType>,
    /// The subscriptions of jobs to events.
    pub subscriptions: Vec<Subscription>,
    /// The paths to prefetch into the response cache.
    pub warm: Vec<&'static str>,
    /// The names of documents beside those of the kinds that the audit log shows.
    pub audited: Vec<&'static str>,
    /// The names of documents of which earlier states are kept.
    pub histories: BTreeSet<&'static str>,
    /// What staff may do.
    pub permissions: Vec<&'static Permission>,
    /// How later versions of the API differ from the first.
    pub changes: Vec<VersionChange>,
    /// The functions, with the ids of their operations.
    pub functions: Vec<FunctionEntry>,
    /// The names of all limits.
    pub limits: BTreeSet<&'static str>,
}

/// A function, as the registry lists it.
#[derive(Clone, Debug)]
pub struct FunctionEntry {
    /// The name.
    pub name: &'static str,
    /// What it is for.
    pub summary: &'static str,
    /// The ids of its operations.
    pub operations: Vec<&'static str>,
    /// The names of its jobs.
    pub jobs: Vec<&'static str>,
}

impl Registry {
    /// The kind with this name and the `Cache-Tag` of its lists, if its responses are tagged.
    pub(crate) fn tagged(&self, name: &str) -> Option<(Kind, &'static str)> {
        let kind = self.kinds.iter().find(|kind| kind.name == name)?;
        Some((*kind, kind.list_tag?))
    }

    /// The `Cache-Tag` of lists from indexes whose names start with `root`.
    pub(crate) fn list_tag(&self, root: &str) -> Option<&'static str> {
        self.kinds.iter().find(|kind| kind.lists.contains(&root))?.list_tag
    }
}
