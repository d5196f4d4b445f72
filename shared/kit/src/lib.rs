//! The kit: how things are done, once. It knows nothing of what the functions are about.
//!
//! A function (`functions/*`) offers a [`Function`]: its routes, jobs, schedules, kinds and events. A host collects the
//! functions that it serves into an [`App`] and hands it requests, messages and clock ticks.
//!
//! | module | what |
//! | --- | --- |
//! | [`telemetry`] | log lines, request ids, trace context |
//! | [`auth`] | signing keys, access tokens, who a token belongs to |
//! | [`outbound`] | calls to other systems behind circuit breakers |
//! | [`registry`] | what the functions declare: kinds, events, subscriptions |
//! | [`cache`] | responses in memory, and documents in the key-value store |
//! | [`platform`] | the ports and settings of a process; the outbox |
//! | [`operation`] | what an operation runs in: [`Context`], [`Transaction`], [`Failure`] |
//! | [`jobs`] | what is done with delivered messages, and schedules |
//! | [`http`] | the route table and all that follows from it |
//!
//! Each module uses only those above it in this table; `infra/check-layers` checks it.

pub mod auth;
pub mod cache;
pub mod http;
pub mod jobs;
pub mod operation;
pub mod outbound;
pub mod platform;
pub mod registry;
pub mod telemetry;

mod app;
mod function;

pub use app::App;
pub use auth::{ACCESS_TOKEN_SECONDS, AccessToken, Keys, Principals};
pub use cache::{DocumentCache, MemoryCacheConfig};
pub use function::Function;
pub use operation::{
    Context, Failure, IfMatch, MergePatch, PageRequest, Paging, SortedPage, Stored, Tenant, Transaction, validated,
};
pub use platform::{CacheLayers, PasswordCost, Platform, Ports, Settings};
pub use registry::{Registry, Subscription};
pub use souk_core::{FieldError, check};

/// The largest body of any request, in bytes: the smallest of all platforms' limits. Hosts read no further.
pub const MAX_BODY: usize = 256 * 1024;
