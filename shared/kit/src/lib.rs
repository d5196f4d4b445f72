//! The kit: the framework that all functions share. It does not depend on the domain of any function.
//!
//! A function (`functions/*`) exports a [`Function`]: its routes, jobs, schedules, kinds and events. A host builds an
//! [`App`] from the functions that it serves, and passes it requests, messages and clock ticks.
//!
//! | module | what |
//! | --- | --- |
//! | [`telemetry`] | log lines, request ids, trace context |
//! | [`auth`] | signing keys, access tokens, principals |
//! | [`outbound`] | outbound requests with circuit breakers and retries |
//! | [`versions`] | how later versions of the API differ from the first |
//! | [`registry`] | declarations of all functions: kinds, events, subscriptions |
//! | [`limits`] | how much a client may do in a time |
//! | [`cache`] | responses in memory, and documents in the key-value store |
//! | [`tenancy`] | the markets that share a deployment |
//! | [`gate`] | what operators set about requests while the deployment runs |
//! | [`platform`] | the ports and settings of a process; the outbox |
//! | [`operation`] | building blocks of operations: [`Context`], [`Transaction`], [`Failure`] |
//! | [`jobs`] | background jobs, schedules, dead letters |
//! | [`http`] | the route table and everything derived from it |
//!
//! Each module uses only the modules above it in this table; `infra/check-layers` checks this.

pub mod auth;
pub mod cache;
pub mod gate;
pub mod http;
pub mod jobs;
pub mod limits;
pub mod operation;
pub mod outbound;
pub mod platform;
pub mod registry;
pub mod telemetry;
pub mod tenancy;
pub mod versions;

mod app;
mod function;
#[cfg(feature = "testing")]
pub mod testing;

pub use app::{App, REQUEST_SECONDS};
pub use auth::{ACCESS_TOKEN_SECONDS, AccessToken, Keys, Principals};
pub use cache::{DocumentCache, MemoryCacheConfig};
pub use function::{Function, Partitions, StoreUse};
pub use limits::{By, Limit};
pub use operation::{
    Context, Failure, IfMatch, MergePatch, PageRequest, Paging, SortedPage, Stored, Total, Transaction, deserialized,
    total_of, validated,
};
pub use platform::{CacheLayers, PasswordCost, Platform, Ports, Settings};
pub use registry::{Registry, Subscription};
pub use souk_core::{Fault, FieldCode, FieldError, check};
pub use versions::VersionChange;

/// The maximum size of a request body in bytes: the smallest limit of all platforms. Hosts need not read larger bodies.
pub const MAX_BODY: usize = 256 * 1024;
