//! Tells the cache in front of the market what has changed, on hosts where there is one that can be told
//! ([`Platform::edge`](souk_kit::Platform)); no other host mounts this or subscribes to its events.
//!
//! One purge names what up to forty events have changed. It comes after the change, by a second or so, and takes effect
//! some seconds later. Nothing is stored: a message that comes twice purges twice, or is the same purge if it comes with
//! the same others. While the cache cannot be told, messages wait and lose no attempt; what has happened so long ago that no
//! cache has an answer from before is left alone.
//!
//! **What costs money is kept small**: CDNs bill each tag. What nobody could have been shown (drafts) purges nothing, nor do
//! votes and new comments, which are in the answers when those get old. Many things of a kind are purged as the kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use souk_core::edge::TAGGED;
use souk_core::fact::{self, CategoryFact, CommentFact, ProductFact, VendorFact};
use souk_core::kind::{CATEGORY, PRODUCT, VENDOR};
use souk_core::{Event, Kind, Lane, Message, StoreError};
use souk_kit::work::{Effects, Job, JobError, Subscription, event_of};
use souk_kit::{Function, Platform};

const JOB: &str = "ops.purge";
/// How many messages make one purge.
const BATCH: usize = 40;
/// How many things of a kind are named one by one.
const NAMED: usize = 10;
/// For how many seconds caches may have an answer at most, fresh and stale: the longest that routes of things say.
const KEPT: i64 = 60 + 600;

const fn on(event: &'static str) -> Subscription {
    Subscription {
        event,
        job: JOB,
        lane: Lane::Default,
    }
}

/// Which events its job wants.
pub const SUBSCRIPTIONS: &[Subscription] = &[
    on(fact::PRODUCT_UPDATED),
    on(fact::PRODUCT_PUBLISHED),
    on(fact::PRODUCT_SOLD),
    on(fact::PRODUCT_ARCHIVED),
    on(fact::PRODUCT_DRAFTED),
    on(fact::PRODUCT_DELETED),
    on("category.*"),
    on(fact::VENDOR_CREATED),
    on(fact::VENDOR_UPDATED),
    on(fact::COMMENT_EDITED),
    on(fact::COMMENT_DELETED),
];

/// The function's work: it has no routes.
#[must_use]
pub fn function() -> Function {
    Function {
        jobs: vec![Job::fold(
            JOB,
            "Tells the cache in front of the market what has changed.",
            BATCH,
            purge,
        )],
        subscriptions: SUBSCRIPTIONS,
        ..Function::new("purge", "The cache in front of the market.", Vec::new())
    }
}

async fn purge(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let Some(edge) = &platform.edge else {
        return Ok(Effects::default());
    };
    let oldest = platform.now().as_second().saturating_sub(KEPT);
    let mut changed = Changed::default();
    // Whatever has the same name has the same tags.
    let mut names = BTreeSet::new();
    for message in &messages {
        let event = event_of(message)?;
        if event.time.as_second() > oldest && changed.add(&event)? {
            names.insert(event.id);
        }
    }
    let tags = changed.tags();
    if !tags.is_empty() {
        let names: Vec<_> = names.into_iter().collect();
        let reference = format!("souk-{:032x}", xxhash_rust::xxh3::xxh3_128(names.join(" ").as_bytes()));
        let taken = edge.purge(&reference, &tags).await;
        // Out of reach or busy, as a store can be: they all come again, together.
        taken.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    }
    Ok(Effects::default())
}

/// The tags of what has changed.
#[derive(Default)]
struct Changed {
    lists: BTreeSet<&'static str>,
    ids: BTreeSet<(&'static str, String)>,
}

impl Changed {
    /// Whether it is anything that everyone could have been shown.
    fn add(&mut self, event: &Event) -> Result<bool, JobError> {
        let is_new = event.name.ends_with(".created");
        let (kind, id, in_lists) = if let Some(product) = event.read::<ProductFact>()? {
            let is_hidden = matches!(product.status.as_str(), "draft" | "archived");
            if is_hidden && event.name == fact::PRODUCT_UPDATED {
                return Ok(false);
            }
            (PRODUCT, product.product, true)
        } else if let Some(category) = event.read::<CategoryFact>()? {
            (CATEGORY, category.category, true)
        } else if let Some(vendor) = event.read::<VendorFact>()? {
            (VENDOR, vendor.vendor, true)
        } else if let Some(comment) = event.read::<CommentFact>()? {
            // Where it is shown, its product was looked at. Lists do not show it.
            (PRODUCT, comment.product, false)
        } else {
            return Ok(false);
        };
        if in_lists {
            self.lists.extend(
                TAGGED
                    .iter()
                    .filter(|(tagged, _)| *tagged == kind)
                    .map(|(_, list)| *list),
            );
        }
        // Nobody was shown what has just come to be.
        if !is_new {
            self.ids.insert((kind.name, id));
        }
        Ok(true)
    }

    fn tags(self) -> Vec<String> {
        let mut tags: Vec<String> = self.lists.into_iter().map(str::to_owned).collect();
        for (Kind { name, .. }, _) in TAGGED {
            let ids: Vec<_> = self.ids.iter().filter(|(kind, _)| *kind == name).collect();
            if ids.len() > NAMED {
                tags.push(name.to_owned());
            } else {
                tags.extend(ids.into_iter().map(|(_, id)| id.clone()));
            }
        }
        tags
    }
}
