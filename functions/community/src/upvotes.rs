//! Upvotes: one document per account and product, `upvotes/{product}` + account. It is the vote; the product's count and
//! rank follow from the events that are committed with it.

use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::fact::{UPVOTE_ADDED, UPVOTE_REMOVED, UpvoteFact};
use souk_core::{Change, Condition, Key, StoreError, Timestamp};
use souk_kit::{Answer, CommitError, Member, Once, Path, Problem, State};

use crate::{ATTEMPTS, product};

#[derive(Serialize, Deserialize)]
struct Vote {
    cast_at: Timestamp,
}

/// Whether my vote stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Upvoted {
    /// Whether it does.
    upvoted: bool,
}

/// The partition of a product's votes.
pub(crate) fn partition(product: &str) -> String {
    format!("upvotes/{product}")
}

fn key(product: &str, account: &str) -> Key {
    Key::new(partition(product), account)
}

pub(crate) async fn add(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let product = product::public(&platform, &id).await?.id;
    let vote = Vote {
        cast_at: platform.now(),
    };
    let body = serde_json::to_string(&vote).map_err(|e| Problem::internal(e.to_string()))?;
    let change = Change::create(key(&product, &principal.account), body, Vec::new());
    let fact = UpvoteFact {
        product,
        account: principal.account,
        cast_at: vote.cast_at,
    };
    let events = vec![once.event(UPVOTE_ADDED, &fact)?];
    match once.commit(vec![change], events, Answer::no_content()).await {
        // It stands already.
        Err(CommitError::Conflict(_)) => Ok(Answer::no_content()),
        result => Ok(result?),
    }
}

pub(crate) async fn show(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
) -> Result<Answer, Problem> {
    let product = product::any(&platform, &id).await?;
    let vote = get_one(&*platform.documents, key(&product.id, &principal.account)).await?;
    // Who voted knows of the product, also if it was archived since.
    if vote.is_none() && !product.status.is_public() {
        return Err(Problem::not_found("product"));
    }
    Answer::json(&Upvoted {
        upvoted: vote.is_some(),
    })
}

pub(crate) async fn remove(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let product = product::any(&platform, &id).await?;
    let key = key(&product.id, &principal.account);
    for _ in 0..ATTEMPTS {
        let Some(document) = get_one(&*platform.documents, key.clone()).await? else {
            return if product.status.is_public() {
                Ok(Answer::no_content())
            } else {
                Err(Problem::not_found("product"))
            };
        };
        let vote: Vote = document.parse()?;
        let fact = UpvoteFact {
            product: product.id.clone(),
            account: principal.account.clone(),
            cast_at: vote.cast_at,
        };
        let events = vec![once.event(UPVOTE_REMOVED, &fact)?];
        let change = Change::Delete {
            key: key.clone(),
            condition: Condition::Version(document.version),
            stale: Vec::new(),
        };
        match once.commit(vec![change], events, Answer::no_content()).await {
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}
