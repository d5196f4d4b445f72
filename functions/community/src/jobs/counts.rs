//! The counters of products: one job adds upvotes, another adds comments, many in one commit. For each product both
//! send a message to the job `rank` and another to the search index. A third one adds the followers of accounts and vendors.
//!
//! Additions neither conflict nor depend on their order, so the counters are correct when the last message is done.
//! There are two jobs because a commit may change a document only once, and a batch could have upvotes and comments of
//! the same product.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Event, EventData, Key};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::PRODUCT;
use souk_model::community::{
    ACCOUNT_FOLLOWED, COMMENT_CREATED, COMMENT_DELETED, CommentEvent, FOLLOWER_COUNT, FollowEvent, UPVOTE_ADDED,
    UpvoteEvent, VENDOR_FOLLOWED,
};
use souk_model::search::ReindexProduct;

use super::rank::{RankPayload, UpdateRank};
use crate::follow::target_kind;
use crate::rank::ScoreDelta;

/// How many messages one commit processes: each adds its inbox entry, and up to one counter.
pub(super) const BATCH: usize = 40;
/// The weight of a comment in `trending`, in upvotes.
const COMMENT_POINTS: f64 = 0.5;

/// An event about an upvote.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct UpvoteCount(Event);

impl Payload for UpvoteCount {
    const JOB: &'static str = "community.upvotes";
}

/// An event about a comment.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CommentCount(Event);

impl Payload for CommentCount {
    const JOB: &'static str = "community.comments";
}

/// An event about a follow.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FollowCount(Event);

impl Payload for FollowCount {
    const JOB: &'static str = "community.followers";
}

/// The sum of the events about one product.
#[derive(Default)]
struct Delta {
    count: i64,
    score: ScoreDelta,
}

pub(super) async fn count_upvotes(tx: JobTransaction, payloads: Vec<UpvoteCount>) -> Result<JobOutput, JobError> {
    let events = payloads.into_iter().map(|payload| payload.0);
    let deltas = sum(events, |name, upvote: UpvoteEvent| {
        let sign: i8 = if name == UPVOTE_ADDED { 1 } else { -1 };
        let score = ScoreDelta::new(sign.into(), upvote.created_at);
        (upvote.product, sign, score)
    })?;
    add(&tx, "upvote_count", deltas).await
}

pub(super) async fn count_comments(tx: JobTransaction, payloads: Vec<CommentCount>) -> Result<JobOutput, JobError> {
    let events = payloads.into_iter().map(|payload| payload.0);
    let deltas = sum(events, |name, comment: CommentEvent| {
        let sign: i8 = match name {
            COMMENT_CREATED => 1,
            COMMENT_DELETED => -1,
            _ => 0,
        };
        let score = ScoreDelta::new(COMMENT_POINTS * f64::from(sign), comment.created_at);
        (comment.product, sign, score)
    })?;
    add(&tx, "comment_count", deltas).await
}

pub(super) async fn count_followers(tx: JobTransaction, payloads: Vec<FollowCount>) -> Result<JobOutput, JobError> {
    let mut deltas: BTreeMap<Key, i64> = BTreeMap::new();
    for FollowCount(event) in payloads {
        if let Some(FollowEvent { target, .. }) = event.read()? {
            let adds = match &*event.name {
                ACCOUNT_FOLLOWED | VENDOR_FOLLOWED => 1,
                _ => -1,
            };
            let count = deltas.entry(target_kind(&target).key(&target)).or_default();
            *count = count.saturating_add(adds);
        }
    }
    let keys: Vec<Key> = deltas.keys().cloned().collect();
    for document in tx.get_all(&keys).await?.into_iter().flatten() {
        // Also if it is 0: the inbox entries tell followers that they are counted.
        let count = deltas.get(&document.key).copied().unwrap_or(0);
        tx.add(document.key, FOLLOWER_COUNT, count).or_retry();
    }
    Ok(JobOutput::default())
}

/// The sums of these events, by product.
fn sum<D: EventData>(
    events: impl Iterator<Item = Event>,
    delta: impl Fn(&str, D) -> (String, i8, ScoreDelta),
) -> Result<BTreeMap<String, Delta>, JobError> {
    let mut deltas: BTreeMap<String, Delta> = BTreeMap::new();
    for event in events {
        if let Some(data) = event.read::<D>()? {
            let (product, count, score) = delta(&event.name, data);
            let sum = deltas.entry(product).or_default();
            sum.count += i64::from(count);
            sum.score = sum.score.plus(score);
        }
    }
    Ok(deltas)
}

async fn add(tx: &JobTransaction, counter: &str, deltas: BTreeMap<String, Delta>) -> Result<JobOutput, JobError> {
    let keys: Vec<_> = deltas.keys().map(|product| PRODUCT.key(product)).collect();
    for (found, (product, Delta { count, score })) in tx.get_all(&keys).await?.into_iter().zip(deltas) {
        // A deleted product has no counters.
        let Some(document) = found else { continue };
        if count != 0 {
            tx.add(document.key, counter, count).or_retry();
            let product = product.clone();
            tx.send(tx.message(&ReindexProduct { product })?);
        }
        if count != 0 || !score.is_zero() {
            let update = UpdateRank {
                product,
                score_delta: score,
            };
            tx.send(tx.message(&RankPayload::Update(update))?);
        }
    }
    Ok(JobOutput::default())
}
