//! Upvotes: one document per account and product, `upvotes/{product}` + account.

use axum::extract::Path;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::fact::{UPVOTE_ADDED, UPVOTE_REMOVED, UpvoteFact};
use souk_core::kind::PRODUCT;
use souk_core::{Change, Condition, Document, Key, Timestamp};
use souk_http::{Answer, CommitError, Member, Once, Platform, Problem, State};

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;

#[derive(Serialize, Deserialize)]
struct Vote {
    cast_at: Timestamp,
}

/// What votes look at in a product; the catalogue owns the rest.
#[derive(Deserialize)]
struct Product {
    id: String,
    status: String,
}

fn key(product: &str, account: &str) -> Key {
    Key::new(format!("upvotes/{product}"), account)
}

/// The id of a product that everyone can see.
pub(crate) async fn public_product(platform: &Platform, id: &str) -> Result<(String, Document), Problem> {
    let none = || Problem::not_found("product");
    let document = PRODUCT.find(&*platform.documents, id).await?.ok_or_else(none)?;
    let product: Product = document.parse()?;
    if product.status == "published" || product.status == "sold" {
        Ok((product.id, document))
    } else {
        Err(none())
    }
}

pub(crate) async fn add(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let (product, _) = public_product(&platform, &id).await?;
    let vote = Vote {
        cast_at: platform.now(),
    };
    let body = serde_json::to_string(&vote).map_err(|e| Problem::internal(e.to_string()))?;
    let fact = UpvoteFact {
        product: product.clone(),
        account: principal.account.clone(),
        cast_at: vote.cast_at,
    };
    let events = vec![once.event(UPVOTE_ADDED, &fact)?];
    let change = Change::create(key(&product, &principal.account), body, Vec::new());
    match once.commit(vec![change], events, Answer::no_content()).await {
        // It stands already.
        Err(CommitError::Conflict(_)) => Ok(Answer::no_content()),
        result => Ok(result?),
    }
}

pub(crate) async fn remove(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    // Also of a product that was archived since.
    let found = PRODUCT.find(&*platform.documents, &id).await?;
    let product: Product = found.ok_or_else(|| Problem::not_found("product"))?.parse()?;
    let key = key(&product.id, &principal.account);
    for _ in 0..ATTEMPTS {
        let Some(document) = get_one(&*platform.documents, key.clone()).await? else {
            return Ok(Answer::no_content());
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
    Err(souk_core::StoreError::Conflict(0).into())
}
