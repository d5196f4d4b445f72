//! What the community looks at in a product; the catalogue owns the rest.

use serde::Deserialize;
use souk_catalog::status::Status;
use souk_core::kind::PRODUCT;
use souk_core::{Document, Timestamp};
use souk_kit::{Platform, Problem, Viewer};

/// Some parts of a product.
#[derive(Debug, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) category: String,
    pub(crate) author: String,
    pub(crate) vendor: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) published_at: Option<Timestamp>,
}

impl Product {
    /// Since when it can be seen, in epoch milliseconds.
    pub(crate) fn since(&self) -> i64 {
        self.published_at.unwrap_or(self.created_at).as_millisecond()
    }
}

fn none() -> Problem {
    Problem::not_found("product")
}

/// The product of this id or slug, whoever may see it.
pub(crate) async fn any(platform: &Platform, id: &str) -> Result<Product, Problem> {
    let document = PRODUCT.find(&*platform.documents, id).await?.ok_or_else(none)?;
    Ok(document.parse()?)
}

/// The product, if everyone may see it.
pub(crate) async fn public(platform: &Platform, id: &str) -> Result<Product, Problem> {
    let product = any(platform, id).await?;
    product.status.is_public().then_some(product).ok_or_else(none)
}

/// The product, if this viewer may see it.
pub(crate) async fn visible(platform: &Platform, id: &str, viewer: &Viewer) -> Result<Product, Problem> {
    let product = any(platform, id).await?;
    let may_see = product.status.is_public() || viewer.may_edit(&product.author);
    may_see.then_some(product).ok_or_else(none)
}

/// How many votes a product has, of its counters.
pub(crate) fn votes(document: &Document) -> u64 {
    #[derive(Default, Deserialize)]
    struct Counts {
        #[serde(default)]
        upvote_count: i64,
    }
    let counts: Counts = serde_json::from_str(&document.counters).unwrap_or_default();
    u64::try_from(counts.upvote_count).unwrap_or(0)
}
