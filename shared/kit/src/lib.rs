//! The HTTP kit: one deny-by-default route table, and everything that follows from it.
//!
//! A function (`functions/*`) offers a [`Function`]: its name and its [`Route`]s. A host collects the functions it
//! serves into an [`App`] and hands it requests; [`App::handle`] is the whole path of a request:
//!
//! 1. **limits**: URL, headers and body are measured before any work is done;
//! 2. **identity of the request**: request id and `traceparent`, in and out and in the log line;
//! 3. **CORS**, by allow-list;
//! 4. **the cache**: what everyone sees alike is answered from memory, until it changes (`cache`);
//! 5. **the route's policy** ([`Route`]): who may call it, which query parameters it knows, how large its body may be;
//! 6. **`Idempotency-Key`** on every POST ([`Once`]);
//! 7. the handler, plain axum: parse, call, [`Answer`];
//! 8. **caching headers**: `ETag` and 304, `Cache-Control` on every answer, `no-store` unless the type says otherwise;
//! 9. every error a problem document ([`Problem`]), one log line per request.

mod answer;
mod app;
mod body;
mod cache;
pub mod check;
mod client;
mod copies;
mod finish;
mod idempotency;
mod keys;
mod log_line;
#[cfg(feature = "openapi")]
mod openapi;
pub mod outbound;
mod paging;
mod platform;
mod precondition;
mod problem;
mod route;
mod router;
mod trace;
mod view;
mod viewer;
pub mod work;

pub use answer::Answer;
pub use app::App;
pub use body::{Json, MergePatch};
pub use cache::Caching;
pub use client::ClientAddress;
pub use idempotency::{CommitError, Once};
pub use keys::{ACCESS_TOKEN_SECONDS, Keys};
pub use log_line::{Lines, log_level};
#[cfg(feature = "openapi")]
pub use openapi::{clashes, document as openapi, patch_of};
pub use paging::{Paging, list, list_documents};
pub use platform::{Layers, PasswordCost, Platform, Ports, Settings};
pub use precondition::IfMatch;
pub use problem::{FieldError, Problem};
pub use route::{Access, Cache, Function, Param, Params, Route, Schema};
pub use router::Path;
pub use view::{Selection, beside, profile, rename, view, written};
pub use viewer::{Anonymous, Member, Viewer};

/// The state behind every handler.
pub type State = axum::extract::State<std::sync::Arc<Platform>>;

/// The largest body of any request, in bytes: the smallest of all platforms' limits. Hosts read no further.
pub const MAX_BODY: usize = 256 * 1024;
