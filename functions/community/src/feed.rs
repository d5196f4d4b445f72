//! An entry of a feed: a published product, `feed/{account}` + time/product/source.

use serde::{Deserialize, Serialize};

/// An entry, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct FeedEntry {
    pub(crate) product: String,
    /// The account or vendor that is followed.
    pub(crate) source: String,
}

/// The partition of an account's feed.
pub(crate) fn partition(account: &str) -> String {
    format!("feed/{account}")
}

/// The prefix of the sort keys of all entries of a product; `at` is when it was published, in epoch milliseconds.
pub(crate) fn sort_prefix(at: i64, product: &str) -> String {
    format!("{:013}/{product}/", at.max(0))
}
