//! HTTP for all hosts: a deny-by-default route table, and everything derived from it.
//!
//! The steps of a request, in this order:
//!
//! 0. **identity**: what a host in front has found out of the client is taken from `Souk-Identity`
//!    ([`vouch`](crate::App::vouch)); then rules of operators change the request ([`gate`](crate::gate));
//! 1. **sizes** of URL, headers and body are checked before any other work;
//! 2. **trace**: request id and `traceparent` are read or created, returned and logged;
//! 3. **tenant**: the host name or `Souk-Tenant` decides which market it is ([`tenancy`](crate::tenancy)); all that follows is
//!    that market's;
//! 4. **CORS**, with an allow-list of origins;
//! 5. **cache**: responses that are the same for every client are served from memory until their content changes;
//! 6. **route**: method and path; a path that no row has may have a fallback;
//! 7. **policy**: the row defines how often a client may call it ([`limits`](crate::limits)), the access, the query parameters
//!    and the maximum body size;
//! 8. **idempotency**: `Idempotency-Key` on every POST;
//! 9. **handler**: extracts the input, runs an operation, renders the result as an [`Answer`];
//! 10. **headers**: `ETag` and 304; `Cache-Control` on every response, by its row;
//! 11. **problem document** for every error ([`Problem`]);
//! 12. **log**: one line per request.

mod answer;
mod body;
mod client;
mod cookie;
pub(crate) mod exchange;
mod headers;
#[cfg(feature = "openapi")]
mod openapi;
mod paging;
mod params;
mod problem;
pub mod problem_type;
mod request;
mod route;
mod router;
mod schema;
mod selection;
mod splice;
mod viewer;

pub use ::http::StatusCode;
pub use answer::{Answer, Moved};
pub use body::{Json, Raw};
pub use client::ClientAddress;
pub use cookie::SameOrigin;
#[cfg(feature = "openapi")]
pub use openapi::{Section, clashes, document, document_of_version_2};
pub use paging::{list, list_documents, list_json, list_whole, write_ends};
pub use params::{Param, QueryParams};
pub use problem::{Problem, Source};
pub use problem_type::ProblemType;
pub use route::{Access, CachePolicy, Notification, Route};
pub use router::Path;
pub(crate) use router::Router;
pub use schema::Schema;
pub use selection::{Selection, public_fields, render};
pub use viewer::{Anonymous, Viewer};
