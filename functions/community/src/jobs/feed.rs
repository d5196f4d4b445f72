//! Adds a published product to the feeds of the followers of its author and its vendor.
//!
//! A page of followers is one commit of their entries and of the message for the next page. So the job resumes after a
//! crash where it stopped, and no entry exists twice. Entries expire.

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Event, Key, Message, Query, Timestamp, clock};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::PRODUCT;
use souk_model::catalog::events::ProductEvent;

use crate::feed::{FeedEntry, partition, sort_prefix};
use crate::follow::followers;
use crate::product::ProductView;

/// How many followers get an entry in one commit.
const PAGE: usize = 80;
/// How long an entry is kept, from the publication of the product.
const KEEP_SECONDS: i64 = 60 * 86_400;

/// An event about a product, or the next page of followers.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FeedPayload {
    Page(FollowersPage),
    Event(Event),
}

impl Payload for FeedPayload {
    const JOB: &'static str = "community.feed";
}

/// A page of followers of a source, to whose feeds a product is added.
#[derive(Serialize, Deserialize)]
pub(super) struct FollowersPage {
    product: String,
    /// The account or vendor that is followed.
    source: String,
    /// The follower after whom the page starts.
    after: Option<String>,
}

pub(super) async fn fan_out(tx: JobTransaction, payload: FeedPayload, _: Message) -> Result<JobOutput, JobError> {
    let done = Ok(JobOutput::default());
    let id = match &payload {
        FeedPayload::Page(page) => page.product.clone(),
        FeedPayload::Event(event) => match event.read::<ProductEvent>()? {
            Some(data) => data.product,
            None => return done,
        },
    };
    let Some(product) = tx.read::<ProductView>(PRODUCT.key(&id)).await? else {
        return done;
    };
    let at = product.since();
    let published = Timestamp::from_millisecond(at).unwrap_or(tx.now());
    let expires_at = clock::after(published, KEEP_SECONDS);
    if !product.status.is_public() || expires_at <= tx.now() {
        // The product is no longer published, or was published long ago.
        return done;
    }
    let pages = match payload {
        FeedPayload::Page(page) => vec![page],
        FeedPayload::Event(_) => {
            let sources = [Some(product.value.author), product.value.vendor];
            let first = |source| FollowersPage {
                product: id.clone(),
                source,
                after: None,
            };
            sources.into_iter().flatten().map(first).collect()
        }
    };
    let limit = PAGE.checked_div(pages.len()).unwrap_or(PAGE);
    for FollowersPage { product, source, after } in pages {
        let query = Query {
            after,
            ..Query::partition(followers(&source), limit)
        };
        let page = tx.query(&query).await?;
        let sort = sort_prefix(at, &product) + &source;
        let entry = FeedEntry { product, source };
        for item in page.items {
            let key = Key::new(partition(&item.document.key.sk), &*sort);
            tx.put(key, &entry).expires_at(expires_at).always();
        }
        if page.next.is_some() {
            let next = FollowersPage {
                product: entry.product,
                source: entry.source,
                after: page.next,
            };
            tx.send(tx.message(&FeedPayload::Page(next))?);
        }
    }
    done
}
