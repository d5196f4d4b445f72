//! The save: a product on an account's wishlist, `saves/{product}` + account, in the index of the account's wishlist. Nobody
//! else sees it.

use serde::{Deserialize, Serialize};
use souk_core::{Entry, Timestamp};

use crate::upvote::sort;

/// A save, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Save {
    pub(crate) created_at: Timestamp,
}

impl Save {
    /// The index entries.
    pub(crate) fn entries(&self, product: &str, account: &str) -> Vec<Entry> {
        vec![Entry::new(index(account), sort(self.created_at, product))]
    }
}

/// The partition of a product's saves.
pub(crate) fn partition(product: &str) -> String {
    format!("saves/{product}")
}

/// The index of an account's wishlist.
pub(crate) fn index(account: &str) -> String {
    format!("saved/{account}")
}
