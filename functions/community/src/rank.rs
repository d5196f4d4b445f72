//! The rank of a product in `popular` and `trending`; its indexes are in [`souk_model::catalog::rank`].
//!
//! **Trending** uses forward decay: the weight of an upvote halves every two days. Therefore the order of two products
//! without new upvotes never changes, and scores need no update as time passes. A score is a time: for a single upvote
//! it is two days after the upvote, and twice as many upvotes add two days. The publication counts as one upvote, so
//! products without upvotes are sorted by their publication.

use serde::{Deserialize, Serialize};
use souk_core::Timestamp;
use souk_model::catalog::rank::{MAX_SCORE, Standing};

/// The half-life of the weight of an upvote: two days, in milliseconds.
const HALF_LIFE: f64 = 2.0 * 86_400_000.0;
/// A smaller sum counts as zero: it is the rounding error of upvotes that were added and withdrawn.
const NEGLIGIBLE: f64 = 1e-9;

/// A change of a score: upvotes, weighted as of a point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScoreDelta {
    /// The weight, in upvotes cast at `at`. Negative while the withdrawal of an upvote has been processed and the
    /// upvote has not.
    points: f64,
    /// The point in time, in epoch milliseconds.
    at: i64,
}

impl ScoreDelta {
    pub(crate) fn new(points: f64, at: Timestamp) -> Self {
        let at = at.as_millisecond();
        Self { points, at }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.points.abs() < NEGLIGIBLE
    }

    /// The sum, as of the later of the two points in time. Sums do not depend on the order of their summands.
    pub(crate) fn plus(self, other: Self) -> Self {
        let at = self.at.max(other.at);
        let weight = |delta: Self| delta.points * (-(at.saturating_sub(delta.at) as f64) / HALF_LIFE).exp2();
        let points = weight(self) + weight(other);
        Self { points, at }
    }

    /// The trending score of a product with these upvotes that was published at `since`, in epoch milliseconds.
    pub(crate) fn score(self, since: i64) -> u64 {
        let published = Self { points: 1.0, at: since };
        let all = if self.is_zero() {
            published
        } else {
            self.plus(published)
        };
        if all.points <= 0.0 {
            // Temporary, until the missing upvotes are processed.
            return 0;
        }
        let score = all.at as f64 + HALF_LIFE * all.points.log2();
        // The cast turns negative numbers into zero.
        (score as u64).min(MAX_SCORE)
    }
}

/// A rank, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rank {
    /// The sum of all deltas.
    #[serde(rename = "heat")]
    pub(crate) sum: ScoreDelta,
    /// The position in the lists, if the product is public.
    pub(crate) standing: Option<Standing>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    /// 2026-01-01.
    const START: i64 = 1_767_225_600_000;

    fn vote(points: f64, day: i64) -> ScoreDelta {
        ScoreDelta {
            points,
            at: START + day * DAY,
        }
    }

    fn score(votes: &[ScoreDelta]) -> u64 {
        votes
            .iter()
            .fold(ScoreDelta::default(), |sum, vote| sum.plus(*vote))
            .score(START)
    }

    #[test]
    fn one_vote_more_or_two_days_later_is_ahead() {
        let ordered: [&[ScoreDelta]; 6] = [
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
        // One vote a month later is ahead of a thousand now.
        assert!(score(&[vote(1000.0, 0)]) < score(&[vote(1.0, 30)]));
    }

    #[test]
    fn the_order_of_votes_does_not_matter_and_those_taken_back_leave_nothing() {
        let mut votes: Vec<ScoreDelta> = (0..40).map(|n| vote(1.0, n % 9)).collect();
        let there = score(&votes);
        votes.reverse();
        assert!(there.abs_diff(score(&votes)) <= 1);
        let back: Vec<ScoreDelta> = votes
            .iter()
            .map(|vote| ScoreDelta {
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
