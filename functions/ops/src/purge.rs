//! Purges the CDN when documents change. Only hosts with a CDN that can be purged
//! ([`Platform::edge`](souk_kit::Platform)) mount this function and subscribe to its events.
//!
//! One purge request covers up to forty events. It is sent about a second after the change and takes effect some
//! seconds later. The job stores nothing: a message that is delivered twice purges twice, or repeats the same purge
//! request if its batch has the same events. While the CDN is unavailable, messages wait, and this does not count as an
//! attempt. Events that are older than any cached response are ignored.
//!
//! **CDNs bill each tag**, so changes of documents that are not public (drafts) purge nothing. Upvotes and new comments
//! purge nothing either; they become visible when responses expire. If many documents of a kind change, the tag of the
//! kind is purged instead.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use souk_core::edge;
use souk_core::queue::Payload;
use souk_core::{Event, Kind, Lane, StoreError};
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction};
use souk_kit::{Function, Subscription};
use souk_model::catalog::events::{
    CategoryEvent, PRODUCT_ARCHIVED, PRODUCT_DELETED, PRODUCT_DRAFTED, PRODUCT_PUBLISHED, PRODUCT_SOLD,
    PRODUCT_UPDATED, ProductEvent,
};
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::community::{COMMENT_DELETED, COMMENT_EDITED, CommentEvent};
use souk_model::vendors::{VENDOR, VENDOR_CREATED, VENDOR_UPDATED, VendorEvent};

/// The maximum number of events per purge request.
const BATCH: usize = 40;
/// Up to how many documents of a kind are purged by their own tags.
const NAMED: usize = 10;
/// How long caches may store a response, fresh and stale, in seconds: the maximum of all routes of documents.
const KEPT: i64 = 60 + 600;

const fn on(event: &'static str) -> Subscription {
    Subscription {
        event,
        job: Change::JOB,
        lane: Lane::Default,
        fold: None,
    }
}

/// The subscriptions of the job.
pub const SUBSCRIPTIONS: &[Subscription] = &[
    on(PRODUCT_UPDATED),
    on(PRODUCT_PUBLISHED),
    on(PRODUCT_SOLD),
    on(PRODUCT_ARCHIVED),
    on(PRODUCT_DRAFTED),
    on(PRODUCT_DELETED),
    on("category.*"),
    on(VENDOR_CREATED),
    on(VENDOR_UPDATED),
    on(COMMENT_EDITED),
    on(COMMENT_DELETED),
];

/// The function, which has no routes.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "purge",
        summary: "The CDN in front of the API.",
        jobs: vec![Job::batch("Purges changed documents from the CDN.", BATCH, purge)],
        subscriptions: SUBSCRIPTIONS,
        ..Function::default()
    }
}

/// An event that may invalidate cached responses.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Change(Event);

impl Payload for Change {
    const JOB: &'static str = "ops.purge";
}

async fn purge(tx: JobTransaction, changes: Vec<Change>) -> Result<JobOutput, JobError> {
    let Some(edge) = &tx.edge else {
        return Ok(JobOutput::default());
    };
    let oldest = tx.now().as_second().saturating_sub(KEPT);
    let mut stale = StaleTags::default();
    // The reference is derived from the events that added tags, so one reference always has the same tags.
    let mut events = BTreeSet::new();
    for Change(event) in changes {
        if event.timestamp.as_second() > oldest && stale.add(&event)? {
            events.insert(event.id);
        }
    }
    let tags = stale.tags();
    let tags: Vec<String> = tags
        .iter()
        .map(|tag| edge::tag_of(&tx.tenant, tag).into_owned())
        .collect();
    if !tags.is_empty() {
        let events: Vec<_> = events.into_iter().collect();
        let reference = format!("souk-{:032x}", xxhash_rust::xxh3::xxh3_128(events.join(" ").as_bytes()));
        let purged = edge.purge(&reference, &tags).await;
        // Reported as an unavailable store, so that the batch is delivered again without using an attempt.
        purged.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    Ok(JobOutput::default())
}

/// The `Cache-Tag`s of changed documents.
#[derive(Default)]
struct StaleTags {
    lists: BTreeSet<&'static str>,
    ids: BTreeMap<&'static str, BTreeSet<String>>,
}

impl StaleTags {
    /// Adds the document that an event has changed, unless it is not public.
    fn add(&mut self, event: &Event) -> Result<bool, StoreError> {
        let Some(Changed { kind, id, lists }) = changed(event)? else {
            return Ok(false);
        };
        self.lists.extend(kind.list_tag.filter(|_| lists));
        // No cached response contains a new document.
        if !event.name.ends_with(".created") {
            self.ids.entry(kind.name).or_default().insert(id);
        }
        Ok(true)
    }

    fn tags(self) -> Vec<String> {
        let mut tags: Vec<String> = self.lists.into_iter().map(str::to_owned).collect();
        for (kind, ids) in self.ids {
            if ids.len() > NAMED {
                tags.push(kind.to_owned());
            } else {
                tags.extend(ids);
            }
        }
        tags
    }
}

/// A document that an event has changed.
struct Changed {
    kind: Kind,
    id: String,
    /// Whether the change also affects lists.
    lists: bool,
}

fn changed(event: &Event) -> Result<Option<Changed>, StoreError> {
    let listed = |kind, id| Changed { kind, id, lists: true };
    if let Some(product) = event.read::<ProductEvent>()? {
        let was_hidden = event.name == PRODUCT_UPDATED && matches!(product.status.as_str(), "draft" | "archived");
        return Ok((!was_hidden).then(|| listed(PRODUCT, product.product)));
    }
    if let Some(category) = event.read::<CategoryEvent>()? {
        return Ok(Some(listed(CATEGORY, category.category)));
    }
    if let Some(vendor) = event.read::<VendorEvent>()? {
        return Ok(Some(listed(VENDOR, vendor.vendor)));
    }
    // Comments are part of the responses about their product, but not of lists.
    Ok(event.read::<CommentEvent>()?.map(|comment| Changed {
        kind: PRODUCT,
        id: comment.product,
        lists: false,
    }))
}
