//! The counts of products: votes folded by a job, many in one write.

use std::collections::BTreeMap;
use std::sync::Arc;

use souk_core::fact::{UPVOTE_ADDED, UpvoteFact};
use souk_core::kind::PRODUCT;
use souk_core::{Change, Message};
use souk_http::Platform;
use souk_http::work::{Effects, JobError, event_of};

/// The job's name.
pub(crate) const JOB: &str = "community.count";

pub(crate) async fn fold(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for message in &messages {
        let event = event_of(message)?;
        if let Some(fact) = event.read::<UpvoteFact>()? {
            *sums.entry(fact.product).or_default() += if event.name == UPVOTE_ADDED { 1 } else { -1 };
        }
    }
    let sums: Vec<(String, i64)> = sums.into_iter().filter(|(_, sum)| *sum != 0).collect();
    let keys: Vec<_> = sums.iter().map(|(product, _)| PRODUCT.key(product)).collect();
    let mut effects = Effects::default();
    for (found, (_, delta)) in platform.documents.get(&keys).await?.into_iter().zip(sums) {
        // One that was removed has no count.
        if let Some(document) = found {
            effects.changes.push(Change::Add {
                key: document.key,
                counter: "upvote_count".into(),
                delta,
            });
        }
    }
    Ok(effects)
}
