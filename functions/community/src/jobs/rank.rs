//! Updates ranks.
//!
//! **Late and out of order.** A rank follows from the product as the job reads it, and not from what an event says. It is
//! written at the version that was read, on the condition that the product is still at its version; a job that loses a race
//! runs again. The counter of upvotes is read *after* the rank, so the last writer of a rank has read the latest counter.
//! Only the score is a sum, and sums do not depend on their order.
//!
//! The rank of a product that is not public stays, without index entries. The rank of a deleted product is deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Document, Event};
use souk_kit::Stored;
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::events::ProductEvent;
use souk_model::catalog::rank::{Standing, key};

use crate::product::{ProductView, upvote_count};
use crate::rank::{Rank, ScoreDelta};

/// How many messages go into one commit: a rank that moves is up to 18 changes and entries, and its message adds a mark.
pub(super) const BATCH: usize = 5;

/// An event about a product, or what the counting jobs add to its score.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum RankPayload {
    Update(UpdateRank),
    Event(Event),
}

impl Payload for RankPayload {
    const JOB: &'static str = "community.rank";
}

/// Asks for a change of the score of a product.
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
    // The ranks first: see above.
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
        // A deleted product never comes back.
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
        votes: upvote_count(&product.document),
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
