//! Purges the CDN in front of the market when documents change. Only hosts with a CDN that can be purged
//! ([`Platform::edge`](souk_kit::Platform)) mount this and subscribe to its events.
//!
//! One purge covers up to forty events. It is sent about a second after the change and takes effect some seconds later.
//! Nothing is stored: a message that is delivered twice purges twice, or repeats the same purge if the rest of its batch is
//! the same. While the CDN cannot be reached, messages wait without losing an attempt. Events older than anything that a
//! cache may still hold are ignored.
//!
//! **CDNs bill each tag**, so changes to documents that the public could not see (drafts) purge nothing, nor do votes and new
//! comments, which show up when responses expire. Many changed documents of one kind are purged by the kind's tag.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
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

/// How many events make one purge.
const BATCH: usize = 40;
/// How many documents of a kind are purged one by one.
const NAMED: usize = 10;
/// How long caches may hold a response, fresh and stale, in seconds: the longest that routes of documents allow.
const KEPT: i64 = 60 + 600;

const fn on(event: &'static str) -> Subscription {
    Subscription {
        event,
        job: Change::JOB,
        lane: Lane::Default,
    }
}

/// The events that the job gets.
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
        summary: "The cache in front of the market.",
        jobs: vec![Job::batch("Purges the CDN of what has changed.", BATCH, purge)],
        subscriptions: SUBSCRIPTIONS,
        ..Function::default()
    }
}

/// An event that may have changed what caches hold.
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
    // A reference stands for the same tags whenever it is used.
    let mut events = BTreeSet::new();
    for Change(event) in changes {
        if event.time.as_second() > oldest && stale.add(&event)? {
            events.insert(event.id);
        }
    }
    let tags = stale.tags();
    if !tags.is_empty() {
        let events: Vec<_> = events.into_iter().collect();
        let reference = format!("souk-{:032x}", xxhash_rust::xxh3::xxh3_128(events.join(" ").as_bytes()));
        let purged = edge.purge(&reference, &tags).await;
        // Unavailable, as a store can be: the batch is delivered again.
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
    /// Adds what an event has changed, unless the public could not see it.
    fn add(&mut self, event: &Event) -> Result<bool, StoreError> {
        let Some(Changed { kind, id, lists }) = changed(event)? else {
            return Ok(false);
        };
        self.lists.extend(kind.list_tag.filter(|_| lists));
        // Nobody has seen a document that is new.
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
    /// Whether lists show the change, too.
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
    // Comments are shown with their product, and not in lists.
    Ok(event.read::<CommentEvent>()?.map(|comment| Changed {
        kind: PRODUCT,
        id: comment.product,
        lists: false,
    }))
}
