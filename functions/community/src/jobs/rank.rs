//! Updates ranks.
//!
//! **Late and out-of-order messages.** The job computes a rank from the current product rather than from the event. The
//! commit requires that the rank and the product are still at the versions that were read; on a conflict the job runs
//! again. The upvote counter is read *after* the rank, so the last writer of a rank has read the latest counter. Only
//! the score is a sum of deltas, which does not depend on their order.
//!
//! The rank of a product that is not public is kept without index entries. The rank of a deleted product is deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Document, Event};
use souk_kit::Stored;
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::events::ProductEvent;
use souk_model::catalog::rank::{Standing, key};

use crate::product::ProductView;
use crate::rank::{Rank, ScoreDelta};

/// How many messages one commit processes: a rank is up to 18 changes and entries, and its message adds an inbox entry.
pub(super) const BATCH: usize = 5;

/// An event about a product, or a score delta from the counting jobs.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum RankPayload {
    Update(UpdateRank),
    Event(Event),
}

impl Payload for RankPayload {
    const JOB: &'static str = "community.rank";
}

/// Adds a delta to the score of a product.
#[derive(Serialize, Deserialize)]
pub(super) struct UpdateRank {
    pub(super) product: String,
    pub(super) score_delta: ScoreDelta,
}

pub(super) async fn update_ranks(tx: JobTransaction, payloads: Vec<RankPayload>) -> Result<JobOutput, JobError> {
    let mut deltas: BTreeMap<String, ScoreDelta> = BTreeMap::new();
    for payload in payloads {
        let (product, delta) = match payload {
            RankPayload::Update(update) => (update.product, update.score_delta),
            RankPayload::Event(event) => match event.read::<ProductEvent>()? {
                Some(data) => (data.product, ScoreDelta::default()),
                None => continue,
            },
        };
        let sum = deltas.entry(product).or_default();
        *sum = sum.plus(delta);
    }
    // Read the ranks before the counters; see the module docs.
    let keys: Vec<_> = deltas.keys().map(|product| key(product)).collect();
    let ranks = tx.get_all(&keys).await?;
    let keys: Vec<_> = deltas.keys().map(|product| PRODUCT.key(product)).collect();
    let products = tx.get_all(&keys).await?;
    for ((id, delta), (rank, product)) in deltas.into_iter().zip(ranks.into_iter().zip(products)) {
        update_rank(&tx, &id, delta, rank, product)?;
    }
    Ok(JobOutput::default())
}

fn update_rank(
    tx: &JobTransaction,
    id: &str,
    delta: ScoreDelta,
    rank: Option<Document>,
    product: Option<Document>,
) -> Result<(), JobError> {
    let rank: Option<Stored<Rank>> = rank.map(Stored::read).transpose()?;
    let entries = |rank: &Rank| {
        let standing = rank.standing.as_ref();
        standing.map_or_else(Vec::new, |standing| standing.entries(id))
    };
    let Some(product) = product else {
        // A product is never restored after its deletion, so its rank can be deleted.
        if let Some(rank) = rank {
            tx.delete(&rank.document, entries(&rank)).or_retry();
        }
        return Ok(());
    };
    let product: Stored<ProductView> = Stored::read(product)?;
    let (old, document) = rank.map_or_else(Default::default, |rank| (rank.value, Some(rank.document)));
    let sum = old.sum.plus(delta);
    let standing = product.status.is_public().then(|| Standing {
        status: product.status,
        score: sum.score(product.since()),
        votes: u64::try_from(product.document.counter("upvote_count")).unwrap_or(0),
        category: product.category.clone(),
        author: product.author.clone(),
        vendor: product.vendor.clone(),
    });
    let new = Rank { sum, standing };
    if new == old {
        return Ok(());
    }
    let after = entries(&new);
    tx.create_or_update(key(id), document.as_ref(), new)
        .moved(&entries(&old), after)
        .or_retry();
    tx.require(&product.document).or_retry();
    Ok(())
}
