//! The job that finds out who wants to know of an event: one delivery, and the message that begins it, for each webhook.
//!
//! It reads in batches whatever the number of events: products that events are about, then the rosters of all whom they
//! concern, then the webhooks on them, then whether their owners may still know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use souk_core::access::{AccountAccess, VendorAccess};
use souk_core::documents::MAX_KEYS;
use souk_core::fact::{CommentFact, FollowFact, ProductFact, UpvoteFact, VendorFact, WebhookFact};
use souk_core::kind::{ACCOUNT, PRODUCT, VENDOR};
use souk_core::{Condition, Document, Event, Key, Message, Principal, StoreError};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError, event_of};

use crate::delivery::Delivery;
use crate::webhook::{MARKET, Roster, Scope, WEBHOOK, Webhook};

/// The job's name.
pub(crate) const JOB: &str = "webhooks.route";
/// How many events are looked at together; five rosters each fit into one get.
pub(crate) const BATCH: usize = 20;
/// How many deliveries one commit takes.
const MAX_DELIVERIES: usize = 50;

/// What is looked at in a product.
#[derive(Deserialize)]
struct Product {
    author: String,
    #[serde(default)]
    vendor: Option<String>,
}

pub(crate) async fn route(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let events: Vec<Event> = messages.iter().map(event_of).collect::<Result<_, _>>()?;
    let mut concerned = Vec::with_capacity(events.len());
    let mut products = BTreeSet::new();
    for event in &events {
        let (mut whom, product) = concerns(event)?;
        whom.insert(MARKET.to_owned());
        products.extend(product.clone());
        concerned.push((whom, product));
    }
    let products: BTreeMap<String, Product> = read(&platform, products, |id| PRODUCT.key(id)).await?;
    for (whom, product) in &mut concerned {
        if let Some(product) = product.as_ref().and_then(|id| products.get(id)) {
            whom.insert(product.author.clone());
            whom.extend(product.vendor.clone());
        }
    }
    let everyone = concerned.iter().flat_map(|(whom, _)| whom).cloned().collect();
    let rosters: BTreeMap<String, Roster> = read(&platform, everyone, Roster::key).await?;
    let ids = rosters.values().flat_map(|roster| &roster.ids).cloned().collect();
    let mut webhooks: BTreeMap<String, Webhook> = read(&platform, ids, |id| WEBHOOK.key(id)).await?;
    retain_entitled(&platform, &mut webhooks).await?;

    let mut effects = Effects::default();
    for (event, (whom, _)) in events.iter().zip(&concerned) {
        let ids = whom
            .iter()
            .filter_map(|audience| rosters.get(audience))
            .flat_map(|roster| &roster.ids);
        for webhook in ids
            .filter_map(|id| webhooks.get(id))
            .filter(|webhook| webhook.wants(&event.name))
        {
            let (delivery, message) = Delivery::new(&platform, webhook, event)?;
            effects.changes.push(delivery.put(Condition::Absent)?);
            effects.messages.push(message);
        }
    }
    if effects.changes.len() > MAX_DELIVERIES && events.len() > 1 {
        // Each by itself fits.
        return Err(JobError::Again("too many deliveries for one commit".into()));
    }
    Ok(effects)
}

/// Whom an event concerns: accounts and vendors; and the product that it is about, whose people it concerns as well.
fn concerns(event: &Event) -> Result<(BTreeSet<String>, Option<String>), StoreError> {
    let mut whom: BTreeSet<String> = event.actor.iter().cloned().collect();
    let mut product = None;
    if let Some(fact) = event.read::<ProductFact>()? {
        whom.insert(fact.author);
        whom.extend(fact.vendor);
    } else if let Some(fact) = event.read::<VendorFact>()? {
        whom.insert(fact.vendor);
        whom.insert(fact.owner);
    } else if let Some(fact) = event.read::<CommentFact>()? {
        whom.insert(fact.author);
        product = Some(fact.product);
    } else if let Some(fact) = event.read::<UpvoteFact>()? {
        whom.insert(fact.account);
        product = Some(fact.product);
    } else if let Some(fact) = event.read::<FollowFact>()? {
        whom.insert(fact.follower);
        whom.insert(fact.target);
    } else if let Some(fact) = event.read::<WebhookFact>()? {
        whom.insert(fact.owner);
    }
    Ok((whom, product))
}

/// Leaves those whose owners may still know: a role that was lost and a vendor that was left count at once.
async fn retain_entitled(platform: &Platform, webhooks: &mut BTreeMap<String, Webhook>) -> Result<(), StoreError> {
    let owners = webhooks.values().map(|webhook| webhook.owner.clone()).collect();
    let accounts: BTreeMap<String, AccountAccess> = read(platform, owners, |id| ACCOUNT.key(id)).await?;
    let vendors = webhooks.values().filter_map(|webhook| webhook.vendor.clone()).collect();
    let vendors: BTreeMap<String, VendorAccess> = read(platform, vendors, |id| VENDOR.key(id)).await?;
    webhooks.retain(|_, webhook| {
        let Some(account) = accounts.get(&webhook.owner).filter(|account| account.active) else {
            return false;
        };
        let principal = Principal {
            account: webhook.owner.clone(),
            session: String::new(),
            role: account.role,
        };
        match webhook.scope {
            Scope::Account => true,
            Scope::Market => principal.is_admin(),
            Scope::Vendor => {
                let vendor = webhook.vendor.as_ref().and_then(|id| vendors.get(id));
                vendor.is_some_and(|vendor| principal.may_edit(&vendor.owner))
            }
        }
    });
    Ok(())
}

/// The documents of these names that are there.
async fn read<T: serde::de::DeserializeOwned>(
    platform: &Platform,
    names: BTreeSet<String>,
    key: impl Fn(&str) -> Key,
) -> Result<BTreeMap<String, T>, StoreError> {
    let names: Vec<String> = names.into_iter().collect();
    let mut all = BTreeMap::new();
    for names in names.chunks(MAX_KEYS) {
        let keys: Vec<Key> = names.iter().map(|name| key(name)).collect();
        let found: Vec<Option<Document>> = platform.documents.get(&keys).await?;
        for (name, document) in names.iter().zip(found) {
            if let Some(document) = document {
                all.insert(name.clone(), document.parse()?);
            }
        }
    }
    Ok(all)
}
