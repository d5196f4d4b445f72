//! The counts of products: votes and comments folded by a job each, many in one write, and handed on to the ranks, one
//! message per product, and to the search index, another one.
//!
//! Adding neither conflicts nor depends on the order, so the counts are right when the last message is done. Two jobs,
//! because a commit changes a document once, and a batch may have votes and comments of one product.

use std::collections::BTreeMap;
use std::sync::Arc;

use souk_core::event::Fact;
use souk_core::fact::{COMMENT_CREATED, COMMENT_DELETED, CommentFact, UPVOTE_ADDED, UpvoteFact};
use souk_core::kind::PRODUCT;
use souk_core::{Change, Lane, Message, search};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError, cause_of, event_of};

use crate::rank::{self, Heat};
use crate::task::Task;

/// The job that counts votes.
pub(crate) const UPVOTES: &str = "community.upvotes";
/// The job that counts comments.
pub(crate) const COMMENTS: &str = "community.comments";
/// How many messages go into one commit: each is a mark and perhaps a product's count.
pub(crate) const BATCH: usize = 40;
/// What a comment weighs in `trending`, in votes.
const COMMENT_POINTS: f64 = 0.5;

/// What an event adds to a product.
struct Delta {
    product: String,
    count: i64,
    heat: Heat,
}

#[derive(Default)]
struct Sum {
    count: i64,
    heat: Heat,
}

pub(crate) async fn upvotes(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    fold(&platform, &messages, "upvote_count", |name, fact: UpvoteFact| {
        let sign: i8 = if name == UPVOTE_ADDED { 1 } else { -1 };
        Delta {
            product: fact.product,
            count: sign.into(),
            heat: Heat::of(sign.into(), fact.cast_at),
        }
    })
    .await
}

pub(crate) async fn comments(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    fold(&platform, &messages, "comment_count", |name, fact: CommentFact| {
        let sign: i8 = match name {
            COMMENT_CREATED => 1,
            COMMENT_DELETED => -1,
            _ => 0,
        };
        Delta {
            product: fact.product,
            count: sign.into(),
            heat: Heat::of(COMMENT_POINTS * f64::from(sign), fact.created_at),
        }
    })
    .await
}

async fn fold<F: Fact>(
    platform: &Platform,
    messages: &[Message],
    counter: &str,
    delta: impl Fn(&str, F) -> Delta,
) -> Result<Effects, JobError> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for message in messages {
        let event = event_of(message)?;
        if let Some(fact) = event.read::<F>()? {
            let Delta { product, count, heat } = delta(&event.name, fact);
            let sum = sums.entry(product).or_default();
            sum.count += count;
            sum.heat = sum.heat.and(heat);
        }
    }
    let trace = messages.first().and_then(|message| cause_of(message).trace);
    let keys: Vec<_> = sums.keys().map(|product| PRODUCT.key(product)).collect();
    let mut effects = Effects::default();
    for (found, (product, sum)) in platform.documents.get(&keys).await?.into_iter().zip(sums) {
        // One that was removed has no count.
        let Some(document) = found else { continue };
        if sum.count != 0 {
            let shown = serde_json::json!({ "product": product });
            let message = platform.message(search::INDEX, Lane::Default, shown, trace.clone());
            effects.messages.push(message);
            effects.changes.push(Change::Add {
                key: document.key,
                counter: counter.to_owned(),
                delta: sum.count,
            });
        }
        if sum.count != 0 || !sum.heat.is_none() {
            let warm = rank::Warm {
                product,
                heat: sum.heat,
            };
            let message = Task::message(platform, rank::JOB, &warm, trace.clone());
            effects.messages.push(message);
        }
    }
    Ok(effects)
}
