//! The search index, as the functions see it that change what is found.

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;

/// Asks for a product to be indexed again. Sent by whoever changes what a product shows without an event of the product,
/// such as its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReindexProduct {
    /// The id of the product.
    pub product: String,
}

impl Payload for ReindexProduct {
    const JOB: &'static str = "search.index";
}
