//! The attributes that the categories of the market declare filterable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use souk_core::Query;
use souk_core::documents::MAX_LIMIT;
use souk_kit::{Context, Failure};
use souk_model::catalog::category::{self, Attribute, AttributeType};

/// How long an attribute is known, in milliseconds.
const KNOWN: i64 = 60_000;
/// How many pages of categories are read at most. In a market with more of them no attribute is refused.
const PAGES: usize = 10;

/// The attributes that an instance knows.
#[derive(Default)]
pub(crate) struct Attributes(Mutex<Arc<Known>>);

/// The filterable attributes of all categories.
#[derive(Default)]
pub(crate) struct Known {
    read_at: i64,
    /// For each name, whether a category declares it as a number.
    names: BTreeMap<String, bool>,
    /// Whether there are more categories than were read.
    is_partial: bool,
}

/// The field of a category that declares its attributes.
#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    attributes: Vec<Attribute>,
}

impl Attributes {
    /// The known attributes, which include all of `wanted` that exist: an unknown one has the categories read again.
    pub(crate) async fn with(&self, cx: &Context, wanted: &[&str]) -> Result<Arc<Known>, Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = cx.clock.now().as_millisecond();
        let is_fresh = (0..KNOWN).contains(&now.saturating_sub(known.read_at));
        if wanted.is_empty() || (is_fresh && wanted.iter().all(|name| known.has(name))) {
            return Ok(known);
        }
        let known = Arc::new(read(cx, now).await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known.clone();
        Ok(known)
    }
}

impl Known {
    /// Whether a category may have this filterable attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.is_partial || self.names.contains_key(name)
    }

    /// Whether a category declares the attribute as a number.
    pub(crate) fn is_number(&self, name: &str) -> bool {
        self.names.get(name).copied().unwrap_or(false)
    }
}

async fn read(cx: &Context, read_at: i64) -> Result<Known, Failure> {
    let mut known = Known {
        read_at,
        ..Known::default()
    };
    let mut query = Query::index(category::INDEX.to_owned(), MAX_LIMIT);
    for _ in 0..PAGES {
        let page = cx.query(&query).await?;
        for item in page.items {
            let Declared { attributes } = item.document.parse()?;
            for attribute in attributes.into_iter().filter(|attribute| attribute.filterable) {
                *known.names.entry(attribute.name).or_default() |= attribute.r#type == AttributeType::Number;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(known);
        }
    }
    known.is_partial = true;
    Ok(known)
}
