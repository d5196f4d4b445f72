//! HTTP, once: a deny-by-default route table, and everything that follows from it.
//!
//! A request goes through named steps, in this order:
//!
//! 1. **limits**: URL, headers and body are measured before any work is done;
//! 2. **trace**: request id and `traceparent`, in and out and in the log line;
//! 3. **CORS**, by allow-list;
//! 4. **cache**: what everyone sees alike is served from memory, until it changes;
//! 5. **route**: method and path;
//! 6. **policy**: the row says who may call, which query parameters exist, how large the body may be;
//! 7. **idempotency**: `Idempotency-Key` on every POST;
//! 8. **handler**: extracts, calls an operation, shows the result as an [`Answer`];
//! 9. **headers**: `ETag` and 304, `Cache-Control` on every response, `no-store` unless the type says otherwise;
//! 10. **problem document** for every error ([`Problem`]);
//! 11. **log**: one line per request.

mod answer;
mod body;
mod client;
pub(crate) mod exchange;
mod headers;
#[cfg(feature = "openapi")]
mod openapi;
mod paging;
mod problem;
mod request;
mod route;
mod router;
mod selection;
mod viewer;

pub use answer::Answer;
pub use body::Json;
pub use client::ClientAddress;
#[cfg(feature = "openapi")]
pub use openapi::{Section, clashes, document, patch_of};
pub use paging::{list, list_documents, list_json};
pub use problem::{Problem, Source};
pub use route::{Access, CachePolicy, Param, QueryParams, Route, Schema};
pub use router::Path;
pub(crate) use router::Router;
pub use selection::{Selection, public_fields, render};
pub use viewer::{Anonymous, Viewer};
