//! Suggestions for a search text.

use serde::{Deserialize, Serialize};
use souk_core::search::SuggestionKind as IndexKind;
use souk_core::{Key, Kind};
use souk_kit::{Context, Failure};
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::vendors::VENDOR;

use crate::error::SearchError;

/// The maximum number of suggestions.
const SUGGESTIONS: usize = 10;

/// What a suggestion leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SuggestionKind {
    Product,
    Category,
    Vendor,
    /// A text to search for.
    Query,
}

/// A suggestion for the text typed so far.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Suggestion {
    /// What the suggestion leads to.
    pub(crate) kind: SuggestionKind,
    /// Title, name or search text.
    pub(crate) text: String,
    /// Slug of the product, category or vendor; absent from queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) slug: Option<String>,
    /// Address of the product, category or vendor in this API, such as `/v1/products/oak-desk`; absent from queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub(crate) url: Option<String>,
}

/// The fields of a product, category or vendor that suggestions show.
#[derive(Deserialize)]
struct Named {
    slug: String,
    #[serde(alias = "title")]
    name: String,
    /// Only products have one.
    status: Option<Status>,
}

/// Suggests products, categories, vendors and queries for what was typed, as the store has them now: the index may lag
/// behind, and must not suggest what is no longer public.
pub(crate) async fn suggest(cx: &Context, typed: &str) -> Result<Vec<Suggestion>, SearchError> {
    let found = cx.suggest(typed, SUGGESTIONS).await?;
    let keys = found
        .iter()
        .filter_map(|one| Some(target(one.kind)?.1.key(one.id.as_deref()?)));
    let keys: Vec<Key> = keys.collect();
    let mut documents = cx.get_all(&keys).await?.into_iter();
    let mut suggestions = Vec::with_capacity(found.len());
    for one in found {
        let Some((kind, _, path)) = target(one.kind) else {
            suggestions.push(Suggestion {
                kind: SuggestionKind::Query,
                text: one.text,
                slug: None,
                url: None,
            });
            continue;
        };
        let Some(document) = one.id.and_then(|_| documents.next()).flatten() else {
            continue;
        };
        let Named { slug, name, status } = document.parse().map_err(Failure::from)?;
        if status.is_none_or(|status| status == Status::Published) {
            suggestions.push(Suggestion {
                kind,
                text: name,
                url: Some(format!("{path}/{slug}")),
                slug: Some(slug),
            });
        }
    }
    Ok(suggestions)
}

/// What a suggestion of the index leads to, and where; `None` for a query.
fn target(kind: IndexKind) -> Option<(SuggestionKind, Kind, &'static str)> {
    match kind {
        IndexKind::Listing => Some((SuggestionKind::Product, PRODUCT, "/v1/products")),
        IndexKind::Group => Some((SuggestionKind::Category, CATEGORY, "/v1/categories")),
        IndexKind::Owner => Some((SuggestionKind::Vendor, VENDOR, "/v1/vendors")),
        IndexKind::Query => None,
    }
}
