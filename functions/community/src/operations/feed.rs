//! The feed: the products that the followed accounts and vendors have published, newest first.
//!
//! The job `feed` writes the entries when a product is published. They are checked when they are read: one query of the
//! feed, then one batched get of its products and of the follows of its sources. Products that are no longer public and
//! sources that are no longer followed are left out, so an unfollow takes effect at once. An account that follows both
//! the author and the vendor has two adjacent entries, but the list has the product once.

use std::collections::{BTreeSet, HashMap};

use souk_core::documents::MAX_KEYS;
use souk_core::{Document, Key, Query};
use souk_kit::{Context, Failure, PageRequest, SortedPage};
use souk_model::catalog::PRODUCT;
use souk_model::community::follow_key;

use crate::feed::{FeedEntry, partition};
use crate::product::ProductView;

/// A page of the principal's feed. It may have fewer products than its limit before the end.
pub async fn list_feed(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let account = &cx.signed_in()?.account;
    let partition = partition(account);
    let paging = page.of_list(&partition)?;
    let query = Query {
        descending: true,
        after: paging.after.clone(),
        ..Query::partition(partition, paging.limit)
    };
    let page = cx.query(&query).await?;
    let entries = page.items.iter().map(|item| item.document.parse::<FeedEntry>());
    let entries: Vec<FeedEntry> = entries.collect::<Result<_, _>>()?;

    let products = entries.iter().map(|entry| PRODUCT.key(&entry.product));
    let follows = entries.iter().map(|entry| follow_key(account, &entry.source));
    let keys: Vec<Key> = products.chain(follows).collect::<BTreeSet<_>>().into_iter().collect();
    let mut found: HashMap<Key, Document> = HashMap::with_capacity(keys.len());
    // One get for up to 50 entries, and often for more.
    for some in keys.chunks(MAX_KEYS) {
        let documents = cx.get_all(some).await?.into_iter().flatten();
        found.extend(documents.map(|document| (document.key.clone(), document)));
    }

    let mut items: Vec<Document> = Vec::with_capacity(entries.len());
    for entry in &entries {
        if !found.contains_key(&follow_key(account, &entry.source)) {
            continue;
        }
        // Removing the product from `found` ensures that it is listed once.
        if let Some(document) = found.remove(&PRODUCT.key(&entry.product))
            && document.parse::<ProductView>()?.status.is_public()
        {
            items.push(document);
        }
    }
    // If the product of the last entry is listed, the next page begins after all entries of this product.
    let next_cursor = page.next.map(|sort| match (entries.last(), items.last()) {
        (Some(entry), Some(document)) if document.key == PRODUCT.key(&entry.product) => {
            let prefix = sort.strip_suffix(&entry.source).unwrap_or(&sort);
            paging.cursor(prefix)
        }
        _ => paging.cursor(&sort),
    });
    Ok(paging.forward(items, next_cursor))
}
