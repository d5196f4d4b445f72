//! The cases, by subject. Each is listed in [`documents_contract!`](crate::documents_contract).

#![expect(
    missing_docs,
    reason = "the name of a case says what it is about; where it does not, a comment does"
)]

pub mod counters;
pub mod entries;
pub mod expiry;
pub mod limits;
pub mod queries;
pub mod races;
pub mod reads;
pub mod tenants;
pub mod writes;
