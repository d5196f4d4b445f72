//! The jobs that update products in the index.
//!
//! **Late, duplicate and out-of-order messages.** A message only names a product. The job indexes the current product
//! at its version, and the index refuses older versions. So these jobs need no inbox entry: after a crash they run
//! again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::documents::MAX_LIMIT;
use souk_core::queue::Payload;
use souk_core::search::IndexChange;
use souk_core::{Event, Key, Message, Query};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction, tracked};
use souk_model::catalog::category::children;
use souk_model::catalog::events::{CategoryEvent, PRODUCT_DELETED, ProductEvent};
use souk_model::catalog::lists::List;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::search::ReindexProduct;
use souk_model::vendors::VendorEvent;

use super::PAGES;
use crate::error::SearchError;
use crate::listing::{changes_of, page};

/// An event or message that names a product to index.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum IndexProduct {
    Request(ReindexProduct),
    Event(Event),
}

impl Payload for IndexProduct {
    const JOB: &'static str = ReindexProduct::JOB;
}

/// An event or message that names a list of products to index again.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Relabel {
    Rest(Rest),
    Event(Event),
}

/// The part of a list after the position `after`, and the categories whose products come next.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rest {
    list: String,
    after: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
}

impl Payload for Relabel {
    const JOB: &'static str = "search.relabel";
}

/// Updates products in the index.
pub(crate) async fn index(tx: JobTransaction, payloads: Vec<IndexProduct>) -> Result<JobOutput, JobError> {
    // Deleted products have the version of their deletion.
    let mut named: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for payload in payloads {
        match payload {
            IndexProduct::Request(request) => {
                named.entry(request.product).or_default();
            }
            IndexProduct::Event(event) => {
                if let Some(data) = event.read::<ProductEvent>()? {
                    let deleted = (event.name == PRODUCT_DELETED).then(|| data.version.saturating_add(1));
                    let known = named.entry(data.product).or_default();
                    *known = (*known).max(deleted);
                }
            }
        }
    }
    let keys: Vec<Key> = named.keys().map(|product| PRODUCT.key(product)).collect();
    let found = tx.get_all(&keys).await?;
    let mut changes = Vec::with_capacity(named.len());
    let mut documents = Vec::with_capacity(named.len());
    for ((id, deleted), document) in named.into_iter().zip(found) {
        match (document, deleted) {
            (Some(document), _) => documents.push(document),
            (None, Some(version)) => changes.push(IndexChange::Remove { id, version }),
            // The deletion has its own message.
            (None, None) => {}
        }
    }
    changes.extend(changes_of(&tx, documents).await?);
    apply(&tx, &changes).await?;
    Ok(JobOutput::default())
}

/// Indexes the products of a vendor, or of a category and all below it, again, some pages at a time.
pub(crate) async fn relabel(tx: JobTransaction, payload: Relabel, message: Message) -> Result<JobOutput, JobError> {
    let Rest {
        mut list,
        mut after,
        mut categories,
    } = match payload {
        Relabel::Rest(rest) => rest,
        Relabel::Event(event) => {
            let (list, categories) = if let Some(data) = event.read::<CategoryEvent>()? {
                let list = List::Category(&data.category).index(Status::Published);
                (list, children_of(&tx, &data.category).await?)
            } else if let Some(data) = event.read::<VendorEvent>()? {
                (List::Vendor(&data.vendor).index(Status::Published), Vec::new())
            } else {
                return Ok(JobOutput::default());
            };
            Rest {
                list,
                after: None,
                categories,
            }
        }
    };
    for _ in 0..PAGES {
        let page = tx.query(&page(list.clone(), after.take())).await?;
        let documents = page.items.into_iter().map(|item| item.document).collect();
        apply(&tx, &changes_of(&tx, documents).await?).await?;
        after = page.next;
        if after.is_none() {
            let Some(category) = categories.pop() else {
                return Ok(JobOutput::default());
            };
            list = List::Category(&category).index(Status::Published);
            categories.extend(children_of(&tx, &category).await?);
        }
    }
    let rest = Rest {
        list,
        after,
        categories,
    };
    tracked::next(&tx, &message, &Relabel::Rest(rest))?;
    Ok(JobOutput::default())
}

/// The ids of the child categories.
async fn children_of(tx: &JobTransaction, category: &str) -> Result<Vec<String>, JobError> {
    let mut query = Query::index(children(category), MAX_LIMIT);
    let mut ids = Vec::new();
    loop {
        let page = tx.query(&query).await?;
        ids.extend(
            page.items
                .iter()
                .filter_map(|item| CATEGORY.id_of(&item.document.key).map(str::to_owned)),
        );
        query.after = page.next;
        if query.after.is_none() {
            return Ok(ids);
        }
    }
}

async fn apply(tx: &JobTransaction, changes: &[IndexChange]) -> Result<(), SearchError> {
    if !changes.is_empty() {
        tx.index.apply(changes).await?;
    }
    Ok(())
}
