//! Ranks: where products stand in `popular` and `trending` (see [`souk_catalog::rank`] for the names).
//!
//! **Trending** is forward decay: a vote weighs half as much every two days, so of two lists of votes the same one is
//! ahead for ever, and nothing has to be computed anew as time passes. The score is a moment: that of a single vote is
//! when it was cast, and twice the votes are worth two days. Having been published counts as one vote, so what nobody has
//! voted for is in the order of its publication.
//!
//! **Late and out of order.** A rank is never what an event says, but what the product is when the job looks at it: the
//! rank is written at the version that was read, under the condition that the product is still at its own; whoever loses a
//! race looks again. Votes are read from the product's count *after* the rank, so the rank's last writer saw the latest
//! count. Only the heat is a sum, and sums do not mind their order.
//!
//! A rank stays while its product is not public, without a place in any list, and goes with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_catalog::rank::{MAX_SCORE, Standing, key};
use souk_core::fact::ProductFact;
use souk_core::kind::PRODUCT;
use souk_core::{Change, Condition, Document, Message, StoreError, Timestamp};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError};

use crate::product::{Product, votes};
use crate::task::Task;

/// The job's name.
pub(crate) const JOB: &str = "community.rank";
/// How many messages go into one commit: a rank that moves is up to 18 changes and entries, and its message a mark.
pub(crate) const BATCH: usize = 5;
/// After this time a vote weighs half: two days, in milliseconds.
const HALF_LIFE: f64 = 2.0 * 86_400_000.0;
/// What is left when votes have been added and taken back, for want of digits.
const NOTHING: f64 = 1e-9;

/// Votes, as much as they weigh at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Heat {
    /// In votes of that moment. Below zero while a vote that was taken back is known and the vote is not.
    points: f64,
    /// The moment, in epoch milliseconds.
    at: i64,
}

impl Heat {
    /// So many votes at once.
    pub(crate) fn of(points: f64, at: Timestamp) -> Self {
        let at = at.as_millisecond();
        Self { points, at }
    }

    pub(crate) fn is_none(self) -> bool {
        self.points.abs() < NOTHING
    }

    /// Both together, at the later of their moments.
    pub(crate) fn and(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        let weight = |heat: Self| heat.points * (-(at.saturating_sub(heat.at) as f64) / HALF_LIFE).exp2();
        let points = weight(self) + weight(other);
        Self { points, at }
    }

    /// Where a product with these votes stands that was published at `since`.
    fn score(self, since: i64) -> u64 {
        let published = Self { points: 1.0, at: since };
        let all = if self.is_none() { published } else { self.and(published) };
        if all.points <= 0.0 {
            // Only until the missing votes arrive.
            return 0;
        }
        let score = all.at as f64 + HALF_LIFE * all.points.log2();
        // The cast makes zero of what is below it.
        (score as u64).min(MAX_SCORE)
    }
}

/// What the counting jobs hand on: votes of a product.
#[derive(Serialize, Deserialize)]
pub(crate) struct Warm {
    pub(crate) product: String,
    pub(crate) heat: Heat,
}

/// A rank as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rank {
    heat: Heat,
    /// Where it stands, if the product is public.
    standing: Option<Standing>,
}

pub(crate) async fn fold(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let mut heats: BTreeMap<String, Heat> = BTreeMap::new();
    for message in &messages {
        let (product, heat) = match Task::of(message)? {
            Task::Own(Warm { product, heat }) => (product, heat),
            Task::Event(event) => match event.read::<ProductFact>()? {
                Some(fact) => (fact.product, Heat::default()),
                None => continue,
            },
        };
        let sum = heats.entry(product).or_default();
        *sum = sum.and(heat);
    }
    // The ranks first: see above.
    let keys: Vec<_> = heats.keys().map(|product| key(product)).collect();
    let ranks = platform.documents.get(&keys).await?;
    let keys: Vec<_> = heats.keys().map(|product| PRODUCT.key(product)).collect();
    let products = platform.documents.get(&keys).await?;
    let mut effects = Effects::default();
    for ((id, heat), (rank, product)) in heats.into_iter().zip(ranks.into_iter().zip(products)) {
        effects.changes.extend(place(&id, heat, rank, product)?);
    }
    Ok(effects)
}

/// The changes that put a rank where its product belongs.
fn place(id: &str, heat: Heat, rank: Option<Document>, product: Option<Document>) -> Result<Vec<Change>, StoreError> {
    let before: Option<Rank> = rank.as_ref().map(Document::parse).transpose()?;
    let version = rank.map(|rank| rank.version);
    let entries = |rank: &Rank| {
        rank.standing
            .as_ref()
            .map_or_else(Vec::new, |standing| standing.entries(id))
    };
    let stale = before.as_ref().map_or_else(Vec::new, entries);
    let Some(document) = product else {
        let Some(version) = version else {
            return Ok(Vec::new());
        };
        // A product that is gone never comes back.
        return Ok(vec![Change::Delete {
            key: key(id),
            condition: Condition::Version(version),
            stale,
        }]);
    };
    let product: Product = document.parse()?;
    let before = before.unwrap_or_default();
    let heat = before.heat.and(heat);
    let standing = product.status.is_public().then(|| Standing {
        status: product.status,
        score: heat.score(product.since()),
        votes: votes(&document),
        category: product.category,
        author: product.author,
        vendor: product.vendor,
    });
    let rank = Rank { heat, standing };
    if rank == before {
        return Ok(Vec::new());
    }
    let body = serde_json::to_string(&rank).map_err(|e| StoreError::Refused(e.to_string()))?;
    let write = match version {
        None => Change::create(key(id), body, entries(&rank)),
        Some(version) => Change::replace(key(id), version, body, &stale, entries(&rank)),
    };
    let unchanged = Change::Require {
        key: document.key,
        condition: Condition::Version(document.version),
    };
    Ok(vec![write, unchanged])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    /// 2026-01-01.
    const START: i64 = 1_767_225_600_000;

    fn vote(points: f64, day: i64) -> Heat {
        Heat {
            points,
            at: START + day * DAY,
        }
    }

    fn score(votes: &[Heat]) -> u64 {
        votes
            .iter()
            .fold(Heat::default(), |sum, vote| sum.and(*vote))
            .score(START)
    }

    #[test]
    fn one_vote_more_or_two_days_later_is_ahead() {
        let ordered: [&[Heat]; 6] = [
            &[],
            &[vote(1.0, 0)],
            &[vote(1.0, 1)],
            &[vote(1.0, 1), vote(1.0, 1)],
            &[vote(1.0, 4)],
            &[vote(1.0, 4), vote(0.5, 4)],
        ];
        for pair in ordered.windows(2) {
            assert!(score(pair[0]) < score(pair[1]), "{pair:?}");
        }
        assert_eq!(score(&[]), START as u64);
        assert_eq!(score(&[vote(1.0, 0)]), (START + 2 * DAY) as u64);
        // Long after, one more vote of then is ahead of a thousand of now.
        assert!(score(&[vote(1000.0, 0)]) < score(&[vote(1.0, 30)]));
    }

    #[test]
    fn the_order_of_votes_does_not_matter_and_those_taken_back_leave_nothing() {
        let mut votes: Vec<Heat> = (0..40).map(|n| vote(1.0, n % 9)).collect();
        let there = score(&votes);
        votes.reverse();
        assert!(there.abs_diff(score(&votes)) <= 1);
        let back: Vec<Heat> = votes
            .iter()
            .map(|vote| Heat {
                points: -vote.points,
                ..*vote
            })
            .collect();
        let mut all = [back, votes].concat();
        assert_eq!(score(&all), score(&[]));
        all.reverse();
        assert_eq!(score(&all), score(&[]));
        assert_eq!(score(&[vote(-3.0, 1)]), 0, "the votes are still to come");
    }

    #[test]
    fn a_rank_is_stored_as_it_was() {
        let old = r#"{"heat":{"points":1.5,"at":1767225600000},"standing":{"status":"published","category":"cat_1","author":"acc_1","vendor":null,"votes":3,"score":1767225600001}}"#;
        let rank: Rank = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&rank).unwrap(), old);
    }
}
