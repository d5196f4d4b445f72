//! The job that finds the webhooks that receive an event: it creates a delivery for each of them.
//!
//! It uses a fixed number of batched reads for any number of events: first the products of the events, then the rosters
//! of all audiences that the events concern, then the webhooks on these rosters, then the permissions of the owners of
//! these webhooks, and then what the events are about, if a webhook asks for a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use souk_core::documents::MAX_KEYS;
use souk_core::queue::Payload;
use souk_core::{Document, Event, Key, Kind, Principal, StoreError};
use souk_kit::http::public_fields;
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_kit::{Context, Failure};
use souk_model::catalog::events::ProductEvent;
use souk_model::catalog::status::Status;
use souk_model::catalog::{CATEGORY, PRODUCT};
use souk_model::community::{COMMENT, CommentEvent, FollowEvent, UpvoteEvent};
use souk_model::identity::{ACCOUNT, AccountView};
use souk_model::vendors::VENDORS_WRITE;
use souk_model::vendors::{VENDOR, VendorEvent, VendorView};

use crate::event::WebhookEvent;
use crate::operations::{disable, start_delivery};
use crate::permissions::WEBHOOKS_MARKET;
use crate::webhook::{MARKET, Roster, Scope, WEBHOOK, Webhook};

/// How many events are routed together; five rosters each fit into one get.
pub(crate) const BATCH: usize = 20;
/// The maximum number of deliveries per commit.
const MAX_DELIVERIES: usize = 50;
/// The largest snapshot, in bytes. With it, the deliveries of a commit and the log of a delivery keep within their limits.
const MAX_SNAPSHOT: usize = 32 * 1024;

/// An event to route.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RoutedEvent(Event);

impl Payload for RoutedEvent {
    const JOB: &'static str = "webhooks.route";
}

/// The accounts and vendors that an event concerns, and the product that it is about, whose author and vendor it
/// concerns as well.
struct Concerned {
    audiences: BTreeSet<String>,
    product: Option<String>,
}

/// The author and the vendor of a product, and whether others see it.
#[derive(Deserialize)]
struct ProductOwners {
    author: String,
    #[serde(default)]
    vendor: Option<String>,
    #[serde(default)]
    status: Status,
}

impl ProductOwners {
    /// Whether the product may be shown to the receiver of a webhook, as far as the fields of the webhook say.
    fn is_visible(&self, webhook: &Webhook) -> bool {
        let is_own = match webhook.scope {
            Scope::Account => self.author == webhook.owner,
            Scope::Vendor => self.vendor == webhook.vendor,
            Scope::Market => true,
        };
        is_own || self.status.is_public()
    }
}

pub(crate) async fn route(tx: JobTransaction, events: Vec<RoutedEvent>) -> Result<JobOutput, JobError> {
    let mut concerned: Vec<Concerned> = events
        .iter()
        .map(|event| concerns(&event.0))
        .collect::<Result<_, _>>()?;
    let products = concerned
        .iter()
        .filter_map(|concerned| concerned.product.clone())
        .collect();
    let products: BTreeMap<String, ProductOwners> = read(&tx, products, |id| PRODUCT.key(id)).await?;
    for Concerned { audiences, product } in &mut concerned {
        if let Some(product) = product.as_ref().and_then(|id| products.get(id)) {
            audiences.insert(product.author.clone());
            audiences.extend(product.vendor.clone());
        }
    }
    let everyone = concerned
        .iter()
        .flat_map(|concerned| &concerned.audiences)
        .cloned()
        .collect();
    let rosters: BTreeMap<String, Roster> = read(&tx, everyone, Roster::key).await?;
    let ids = rosters.values().flat_map(|roster| &roster.ids).cloned().collect();
    let mut webhooks: BTreeMap<String, Webhook> = read(&tx, ids, |id| WEBHOOK.key(id)).await?;
    retain_entitled(&tx, &mut webhooks).await?;

    let mut routed: Vec<(&Event, &Concerned, &Webhook)> = Vec::new();
    for (RoutedEvent(event), concerned) in events.iter().zip(&concerned) {
        let rosters = concerned.audiences.iter().filter_map(|audience| rosters.get(audience));
        let found = rosters.flat_map(|roster| &roster.ids).filter_map(|id| webhooks.get(id));
        let accepting = found.filter(|webhook| webhook.accepts(&event.name));
        routed.extend(accepting.map(|webhook| (event, concerned, webhook)));
    }
    let shown = routed.iter().filter(|(.., webhook)| webhook.snapshot);
    let shown: BTreeSet<Key> = shown
        .filter_map(|(event, ..)| subject(event))
        .map(|(kind, id)| kind.key(id))
        .collect();
    let shown = find(&tx, shown).await?;
    for (event, concerned, webhook) in routed {
        let snapshot = match webhook.snapshot {
            true => {
                let commented = concerned.product.as_ref().and_then(|id| products.get(id));
                Some(snapshot(event, webhook, &shown, commented)?.unwrap_or(Value::Null))
            }
            false => None,
        };
        start_delivery(&tx, webhook, event, snapshot)?;
    }
    if tx.changes() > MAX_DELIVERIES && events.len() > 1 {
        // The runner then processes each event on its own, and the deliveries of one event always fit into a commit.
        return Err(JobError::Retry("too many deliveries for one commit".into()));
    }
    Ok(JobOutput::default())
}

fn concerns(event: &Event) -> Result<Concerned, StoreError> {
    let mut audiences: BTreeSet<String> = event.actor.iter().cloned().collect();
    audiences.insert(MARKET.to_owned());
    let mut product = None;
    if let Some(data) = event.read::<ProductEvent>()? {
        audiences.insert(data.author);
        audiences.extend(data.vendor);
    } else if let Some(data) = event.read::<VendorEvent>()? {
        audiences.insert(data.vendor);
        audiences.insert(data.owner);
    } else if let Some(data) = event.read::<CommentEvent>()? {
        audiences.insert(data.author);
        product = Some(data.product);
    } else if let Some(data) = event.read::<UpvoteEvent>()? {
        audiences.insert(data.account);
        product = Some(data.product);
    } else if let Some(data) = event.read::<FollowEvent>()? {
        audiences.insert(data.follower);
        audiences.insert(data.target);
    } else if let Some(data) = event.read::<WebhookEvent>()? {
        audiences.insert(data.owner);
    }
    Ok(Concerned { audiences, product })
}

/// The kind and the id of what an event is about: a product, vendor, category or comment.
fn subject(event: &Event) -> Option<(Kind, &str)> {
    let (thing, _) = event.name.split_once('.')?;
    let kind = [PRODUCT, VENDOR, CATEGORY, COMMENT]
        .into_iter()
        .find(|kind| kind.name == thing)?;
    Some((kind, event.data.get(thing)?.as_str()?))
}

/// What an event is about, as the API shows it, if it is there, small enough, and may be shown to the receiver of the webhook.
/// `commented` is the product that a comment is about.
fn snapshot(
    event: &Event,
    webhook: &Webhook,
    shown: &BTreeMap<Key, Document>,
    commented: Option<&ProductOwners>,
) -> Result<Option<Value>, StoreError> {
    let found = subject(event).and_then(|(kind, id)| Some((kind, shown.get(&kind.key(id))?)));
    let Some((kind, document)) = found.filter(|(_, document)| document.body.len() <= MAX_SNAPSHOT) else {
        return Ok(None);
    };
    let is_visible = if kind == PRODUCT {
        document.parse::<ProductOwners>()?.is_visible(webhook)
    } else {
        kind != COMMENT || commented.is_some_and(|product| product.is_visible(webhook))
    };
    let fields = is_visible.then(|| public_fields(kind, document)).transpose()?;
    Ok(fields.map(Value::Object))
}

/// Why the webhook of a vendor is disabled whose owner may no longer edit the vendor.
const NOT_ITS_OWNER: &str =
    "its owner may no longer listen in the vendor's name: the owner of the vendor can add another";

/// Keeps only the webhooks whose owners may still receive their events: the loss of a role or of a vendor takes effect
/// at once. A vendor's webhook of somebody who has lost the vendor is disabled, so that what waits for it is not sent either.
async fn retain_entitled(cx: &Context, webhooks: &mut BTreeMap<String, Webhook>) -> Result<(), Failure> {
    let owners = webhooks.values().map(|webhook| webhook.owner.clone()).collect();
    let accounts: BTreeMap<String, AccountView> = read(cx, owners, |id| ACCOUNT.key(id)).await?;
    let roles = find(cx, accounts.values().flat_map(AccountView::role_keys).collect()).await?;
    let principal = |(id, account): (String, AccountView)| {
        let principal = account.principal(id.clone(), roles.values())?;
        Ok((id, principal))
    };
    let accounts = accounts
        .into_iter()
        .filter(|(_, account)| account.active)
        .map(principal);
    let accounts: BTreeMap<String, Principal> = accounts.collect::<Result<_, StoreError>>()?;
    let vendors = webhooks.values().filter_map(|webhook| webhook.vendor.clone()).collect();
    let vendors: BTreeMap<String, VendorView> = read(cx, vendors, |id| VENDOR.key(id)).await?;
    let mut lost = Vec::new();
    webhooks.retain(|id, webhook| {
        let Some(principal) = accounts.get(&webhook.owner) else {
            return false;
        };
        match webhook.scope {
            Scope::Account => true,
            Scope::Market => principal.may(&WEBHOOKS_MARKET),
            Scope::Vendor => {
                let vendor = webhook.vendor.as_ref().and_then(|id| vendors.get(id));
                let is_entitled = vendor.is_some_and(|vendor| principal.may_for(&vendor.owner, &VENDORS_WRITE));
                if !is_entitled && webhook.enabled {
                    lost.push(id.clone());
                }
                is_entitled
            }
        }
    });
    for id in lost {
        disable(cx, &id, NOT_ITS_OWNER).await?;
    }
    Ok(())
}

/// The documents with these keys that exist.
async fn find(cx: &Context, keys: BTreeSet<Key>) -> Result<BTreeMap<Key, Document>, Failure> {
    let keys: Vec<Key> = keys.into_iter().collect();
    let mut all = BTreeMap::new();
    for keys in keys.chunks(MAX_KEYS) {
        let found = cx.get_all(keys).await?.into_iter().flatten();
        all.extend(found.map(|document| (document.key.clone(), document)));
    }
    Ok(all)
}

/// The documents with these names that exist, by name.
async fn read<T: DeserializeOwned>(
    cx: &Context,
    names: BTreeSet<String>,
    key: impl Fn(&str) -> Key,
) -> Result<BTreeMap<String, T>, Failure> {
    let documents = find(cx, names.iter().map(|name| key(name)).collect()).await?;
    let mut all = BTreeMap::new();
    for name in names {
        if let Some(document) = documents.get(&key(&name)) {
            all.insert(name, document.parse()?);
        }
    }
    Ok(all)
}
