//! The upvote: one document per account and product, `upvotes/{product}` + account.

use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp};

/// An upvote, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Upvote {
    // It was stored as `cast_at` before.
    #[serde(alias = "cast_at")]
    pub(crate) created_at: Timestamp,
}

/// The partition of a product's upvotes.
pub(crate) fn partition(product: &str) -> String {
    format!("upvotes/{product}")
}

/// The key of an account's upvote for a product.
pub(crate) fn key(product: &str, account: &str) -> Key {
    Key::new(partition(product), account)
}
