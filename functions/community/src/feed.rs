//! The feed: what those whom I follow have published, newest first.
//!
//! **Written when it is published**: a job puts an entry into the feed of each follower, a page of them per message; each
//! page is one commit of its entries and of the message for the next page, so a crash in between goes on where it was, and
//! no entry is there twice. An entry is `feed/{account}` + time/product/source; it ends by itself.
//!
//! **Checked when it is read**: one query of the feed, then one batched get of its products and of the follow marks of its
//! sources. What is not public any more and what comes from nobody whom I still follow is left out, so an unfollow
//! counts at once. Who follows both the author and the vendor has two entries, one beside the other, and is shown one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_catalog::listing;
use souk_catalog::product::status_of;
use souk_core::documents::{MAX_KEYS, get_one};
use souk_core::fact::ProductFact;
use souk_core::kind::PRODUCT;
use souk_core::{Change, Condition, Document, Key, Message, Query, Timestamp, clock};
use souk_kit::work::{Effects, JobError, cause_of};
use souk_kit::{Answer, Member, Paging, Params, Platform, Problem, State, list as page_of};

use crate::follows::{follow_key, followers};
use crate::product::Product;
use crate::task::Task;

/// The job's name.
pub(crate) const JOB: &str = "community.feed";
/// How many followers one commit reaches.
const PAGE: usize = 80;
/// How long an entry is kept.
const KEEP_SECONDS: i64 = 60 * 86_400;

/// The next followers of a source that shall see a product.
#[derive(Serialize, Deserialize)]
pub(crate) struct Fan {
    product: String,
    /// The account or vendor that they follow.
    source: String,
    /// Behind this follower.
    after: Option<String>,
}

/// An entry as it is stored.
#[derive(Serialize, Deserialize)]
struct Entry {
    product: String,
    source: String,
}

fn partition(account: &str) -> String {
    format!("feed/{account}")
}

/// All entries of a product begin so.
fn place(at: i64, product: &str) -> String {
    format!("{:013}/{product}/", at.max(0))
}

pub(crate) async fn fan_out(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let mut effects = Effects::default();
    let task = Task::of(&message)?;
    let id = match &task {
        Task::Own(Fan { product, .. }) => product.clone(),
        Task::Event(event) => match event.read::<ProductFact>()? {
            Some(fact) => fact.product,
            None => return Ok(effects),
        },
    };
    let Some(document) = get_one(&*platform.documents, PRODUCT.key(&id)).await? else {
        return Ok(effects);
    };
    let product: Product = document.parse()?;
    let at = product.since();
    let published = Timestamp::from_millisecond(at).unwrap_or(platform.now());
    let expires_at = clock::after(published, KEEP_SECONDS);
    if !product.status.is_public() || expires_at <= platform.now() {
        // It was taken back meanwhile, or is long known.
        return Ok(effects);
    }
    let fans = match task {
        Task::Own(fan) => vec![fan],
        Task::Event(_) => {
            let fan = |source| Fan {
                product: id.clone(),
                source,
                after: None,
            };
            [Some(product.author), product.vendor]
                .into_iter()
                .flatten()
                .map(fan)
                .collect()
        }
    };
    let limit = PAGE.checked_div(fans.len()).unwrap_or(PAGE);
    for fan in fans {
        let query = Query {
            after: fan.after,
            ..Query::partition(followers(&fan.source), limit)
        };
        let page = platform.documents.query(&query).await?;
        let entry = Entry {
            product: id.clone(),
            source: fan.source,
        };
        let body = serde_json::to_string(&entry).map_err(|e| JobError::Fatal(e.to_string()))?;
        for item in page.items {
            let sort = format!("{}{}", place(at, &id), entry.source);
            effects.changes.push(Change::Put {
                key: Key::new(partition(&item.document.key.sk), sort),
                body: body.clone(),
                counters: Vec::new(),
                expires_at: Some(expires_at),
                condition: Condition::Any,
                entries: Vec::new(),
                stale: Vec::new(),
            });
        }
        if page.next.is_some() {
            let next = Fan {
                product: id.clone(),
                source: entry.source,
                after: page.next,
            };
            let trace = cause_of(&message).trace;
            effects.messages.push(Task::message(&platform, JOB, &next, trace));
        }
    }
    Ok(effects)
}

pub(crate) async fn show(platform: State, Member(principal): Member, params: Params) -> Result<Answer, Problem> {
    let selection = listing::selection(&params)?;
    let account = principal.account;
    let paging = Paging::read(&params, &partition(&account))?;
    let query = Query {
        descending: true,
        after: paging.after.clone(),
        ..Query::partition(partition(&account), paging.limit)
    };
    let page = platform.documents.query(&query).await?;
    let entries = page.items.iter().map(|item| item.document.parse::<Entry>());
    let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;

    let products = entries.iter().map(|entry| PRODUCT.key(&entry.product));
    let marks = entries.iter().map(|entry| follow_key(&account, &entry.source));
    let keys: Vec<Key> = products.chain(marks).collect::<BTreeSet<_>>().into_iter().collect();
    let mut found: HashMap<Key, Document> = HashMap::with_capacity(keys.len());
    // One get for up to 50 entries, and often for more.
    for some in keys.chunks(MAX_KEYS) {
        let documents = platform.documents.get(some).await?.into_iter().flatten();
        found.extend(documents.map(|document| (document.key.clone(), document)));
    }

    let mut shown: Vec<Document> = Vec::with_capacity(entries.len());
    for entry in &entries {
        // A product is taken out when it is shown, so it is shown once.
        let key = PRODUCT.key(&entry.product);
        if !found.contains_key(&follow_key(&account, &entry.source)) {
            continue;
        }
        if let Some(document) = found.remove(&key)
            && status_of(&document)?.is_public()
        {
            shown.push(document);
        }
    }
    // If the last entry's product was shown, go on behind all of its entries.
    let next = page.next.map(|sort| match (entries.last(), shown.last()) {
        (Some(entry), Some(document)) if document.key == PRODUCT.key(&entry.product) => {
            let place = sort.strip_suffix(&entry.source).unwrap_or(&sort);
            paging.cursor(place)
        }
        _ => paging.cursor(&sort),
    });
    let items = listing::show_all(&platform, &shown, &selection).await?;
    Ok(page_of(&items, next.as_deref()))
}
