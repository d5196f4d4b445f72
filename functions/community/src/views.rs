//! Views: how many have seen a product, each counted once in 30 days.
//!
//! A view goes straight to the lane `low`: it may be lost when the backlog is full or the queue does not answer, and no
//! commit waits for it. A job folds many views into one write: a mark for each viewer who is new, `views/{product}` +
//! digest, and what they add to the product's count. The mark and the count are one commit, so a view that arrives twice
//! counts once.
//!
//! A viewer is an account, else an address and a browser; what is kept is a keyed digest of it and the product, so nobody
//! who reads the store learns who saw what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use souk_core::kind::PRODUCT;
use souk_core::{Change, Condition, Key, Lane, Message, clock};
use souk_kit::work::{Effects, JobError};
use souk_kit::{Answer, ClientAddress, Once, Path, Platform, Problem, State, Viewer};

use crate::product;

/// The job's name.
pub(crate) const JOB: &str = "community.views";
/// How many messages go into one commit: each is two marks and perhaps a product's count.
pub(crate) const BATCH: usize = 30;
/// For how long a viewer is the same one.
const KEEP_SECONDS: i64 = 30 * 86_400;
/// How long a view is worth counting.
const WORTH_SECONDS: i64 = 86_400;

#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct View {
    product: String,
    /// A digest.
    viewer: String,
}

/// The partition of those who have seen a product.
pub(crate) fn partition(product: &str) -> String {
    format!("views/{product}")
}

pub(crate) async fn add(
    platform: State,
    viewer: Viewer,
    ClientAddress(address): ClientAddress,
    headers: HeaderMap,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let product = product::public(&platform, &id).await?.id;
    let browser = headers
        .get(header::USER_AGENT)
        .map_or(&[][..], |value| value.as_bytes());
    let who = match viewer.principal() {
        Some(principal) => principal.account.as_bytes().to_vec(),
        None => [address.as_bytes(), b"\n", browser].concat(),
    };
    let view = View {
        viewer: platform
            .keys
            .digest(&[b"view\n", product.as_bytes(), b"\n", &who].concat()),
        product,
    };
    let body = serde_json::to_value(&view).map_err(|e| Problem::internal(e.to_string()))?;
    let mut message = platform.message(JOB, Lane::Low, body, once.cause().trace.clone());
    message.expires_at = Some(clock::after(platform.now(), WORTH_SECONDS));
    if let Err(error) = platform.send(vec![message]).await {
        tracing::warn!(%error, "a view is lost");
    }
    Ok(Answer::no_content())
}

pub(crate) async fn fold(platform: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let mut views: BTreeSet<View> = BTreeSet::new();
    for message in &messages {
        let view = serde_json::from_value(message.body.clone());
        views.insert(view.map_err(|e| JobError::Fatal(format!("not a view: {e}")))?);
    }
    let mark = |view: &View| Key::new(partition(&view.product), &*view.viewer);
    let marks = views.iter().map(mark);
    let products = views.iter().map(|view| PRODUCT.key(&view.product));
    let keys: Vec<Key> = marks.chain(products).collect();
    let mut known = platform.documents.get(&keys).await?;
    let products = known.split_off(views.len());
    let mut effects = Effects::default();
    let mut sums: BTreeMap<Key, i64> = BTreeMap::new();
    for (view, (known, product)) in views.iter().zip(known.into_iter().zip(products)) {
        let (None, Some(product)) = (known, product) else {
            continue;
        };
        *sums.entry(product.key).or_default() += 1;
        effects.changes.push(Change::Put {
            key: mark(view),
            body: "{}".into(),
            counters: Vec::new(),
            expires_at: Some(clock::after(platform.now(), KEEP_SECONDS)),
            condition: Condition::Absent,
            entries: Vec::new(),
            stale: Vec::new(),
        });
    }
    effects.changes.extend(sums.into_iter().map(|(key, delta)| Change::Add {
        key,
        counter: "view_count".into(),
        delta,
    }));
    Ok(effects)
}
