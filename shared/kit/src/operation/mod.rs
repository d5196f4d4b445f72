//! The building blocks of operations.
//!
//! An operation is `async fn create_thing(cx: &Context, new: NewThing) -> Result<Stored<Thing>, ThingError>`. REST
//! handlers, jobs, imports and the command line all call the same function. It reads through its [`Context`], changes
//! documents in one [`Context::commit`], and does not depend on HTTP.

pub mod audit;
mod commit;
mod context;
mod failure;
mod history;
mod idempotency;
mod if_match;
mod input;
mod mail;
pub(crate) mod paging;
mod read;
mod stored;
mod transaction;
mod usage;

pub use context::Context;
pub use failure::Failure;
pub(crate) use idempotency::Idempotency;
pub use if_match::IfMatch;
pub use input::{MergePatch, deserialized, validated};
pub use paging::{PageRequest, Paging, SortedPage, Total, total_of};
pub use stored::Stored;
pub(crate) use transaction::take;
pub use transaction::{Put, Step, Transaction};
