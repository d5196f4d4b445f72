//! The fields of a product that the community reads.

use serde::Deserialize;
use souk_core::Timestamp;
use souk_model::catalog::status::Status;

/// The fields of a product that the community reads.
#[derive(Debug, Deserialize)]
pub(crate) struct ProductView {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) category: String,
    pub(crate) author: String,
    pub(crate) vendor: Option<String>,
    created_at: Timestamp,
    published_at: Option<Timestamp>,
}

impl ProductView {
    /// When the product was published, or when it was added if it was never published, in epoch milliseconds.
    pub(crate) fn since(&self) -> i64 {
        self.published_at.unwrap_or(self.created_at).as_millisecond()
    }
}
