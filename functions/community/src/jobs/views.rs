//! Counts views: each viewer of a product counts once in 30 days.
//!
//! A batch is one commit of a document for each new viewer and of the additions to the counters of the products. So a
//! view that is delivered twice counts once.

use std::collections::{BTreeMap, BTreeSet};

use souk_core::{Key, clock};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::PRODUCT;

use crate::view::View;

/// How many messages one commit processes: each adds its inbox entry, a viewer, and up to one counter.
pub(super) const BATCH: usize = 30;
/// How long the document of a viewer is kept.
const KEEP_SECONDS: i64 = 30 * 86_400;

pub(super) async fn count_views(tx: JobTransaction, views: Vec<View>) -> Result<JobOutput, JobError> {
    let views: BTreeSet<View> = views.into_iter().collect();
    let products = views.iter().map(|view| PRODUCT.key(&view.product));
    let keys: Vec<Key> = views.iter().map(View::key).chain(products).collect();
    let mut viewers = tx.get_all(&keys).await?;
    let products = viewers.split_off(views.len());
    let mut counts: BTreeMap<Key, i64> = BTreeMap::new();
    for (view, (viewer, product)) in views.iter().zip(viewers.into_iter().zip(products)) {
        let (None, Some(product)) = (viewer, product) else {
            continue;
        };
        *counts.entry(product.key).or_default() += 1;
        tx.create(view.key(), serde_json::json!({}))
            .expires_at(clock::after(tx.now(), KEEP_SECONDS))
            .or_retry();
    }
    for (product, count) in counts {
        tx.add(product, "view_count", count).or_retry();
    }
    Ok(JobOutput::default())
}
