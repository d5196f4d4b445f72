//! The tests that stand outside of every crate they test.
//!
//! - [`contract`]: what the `Documents` port promises, written once and run against every adapter
//!   (`tests/contract.rs`, one line per adapter).
//! - [`search`]: the same for the `Search` port (`tests/search.rs`).
//! - End to end: the same black-box suite against every host (`tests/e2e`).
//!
//! An adapter or host that needs a server runs where an environment variable says where that server is. A missing one
//! is reported, and with `SOUK_TEST_ALL=1` it is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "all of this crate is test code: it runs on a real machine, and a panic is how a test fails"
)]

pub mod client;
pub mod contract;
pub mod search;
