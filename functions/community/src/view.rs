//! The view of a product: one document per product and viewer, `views/{product}` + digest.

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Key, Lane};

/// A view to count.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) product: String,
    /// A keyed digest of the viewer and the product.
    pub(crate) viewer: String,
}

impl Payload for View {
    const JOB: &'static str = "community.views";
    const LANE: Lane = Lane::Low;
}

impl View {
    /// The key of the document of the viewer.
    pub(crate) fn key(&self) -> Key {
        Key::new(partition(&self.product), &*self.viewer)
    }
}

/// The partition of a product's viewers.
pub(crate) fn partition(product: &str) -> String {
    format!("views/{product}")
}
