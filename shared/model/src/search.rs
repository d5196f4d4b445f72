//! The message that other functions send to the search index.

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;

/// Requests that a product is indexed again. A function sends this message after a change of a product that emits no
/// event about the product, such as a change of its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReindexProduct {
    /// The id of the product.
    pub product: String,
}

impl Payload for ReindexProduct {
    const JOB: &'static str = "search.index";
}
