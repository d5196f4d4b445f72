//! Deletes the comments, upvotes, saves and views of a deleted product. The job `rank` deletes its rank; feed entries expire.
//!
//! Each kind is deleted page by page. A page is one commit of the deletions and of the message for the next page, so
//! the job resumes after a crash where it stopped. A request that has read the product before its deletion may still
//! write a document, so the job runs a second time a few minutes later.

use serde::{Deserialize, Serialize};
use souk_core::documents::Source;
use souk_core::queue::Payload;
use souk_core::{Event, Message, Query};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_model::catalog::events::ProductEvent;

use crate::comment::{self, Comment};
use crate::save::{self, Save};
use crate::upvote::{self, Upvote};
use crate::view;

/// How many documents one commit deletes; a comment is three changes.
const PAGE: usize = 30;
/// The delay of the second run, which is longer than any request takes.
const AGAIN_SECONDS: i64 = 180;

/// An event about a product, or the next page to delete.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum RemovalPayload {
    Page(RemovalPage),
    Event(Event),
}

impl Payload for RemovalPayload {
    const JOB: &'static str = "community.remove";
}

/// A page of the documents of a deleted product.
#[derive(Serialize, Deserialize)]
pub(super) struct RemovalPage {
    product: String,
    part: Part,
    /// The sort key after which the page starts.
    after: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Comments,
    Upvotes,
    Saves,
    Views,
}

pub(super) async fn remove(tx: JobTransaction, payload: RemovalPayload, _: Message) -> Result<JobOutput, JobError> {
    match payload {
        RemovalPayload::Page(page) => remove_page(&tx, page).await?,
        RemovalPayload::Event(event) => {
            if let Some(data) = event.read::<ProductEvent>()? {
                begin(&tx, &data.product)?;
            }
        }
    }
    Ok(JobOutput::default())
}

/// Sends the messages for the first page of each kind: one for now, and one for the second run.
fn begin(tx: &JobTransaction, product: &str) -> Result<(), JobError> {
    for part in [Part::Comments, Part::Upvotes, Part::Saves, Part::Views] {
        let first = RemovalPage {
            product: product.to_owned(),
            part,
            after: None,
        };
        let payload = RemovalPayload::Page(first);
        tx.send(tx.message(&payload)?);
        let mut again = tx.message(&payload)?;
        again.delay(tx.now(), AGAIN_SECONDS * 1000);
        tx.send(again);
    }
    Ok(())
}

async fn remove_page(tx: &JobTransaction, page: RemovalPage) -> Result<(), JobError> {
    let product = &page.product;
    let source = match page.part {
        Part::Comments => Source::Index(comment::index(product)),
        Part::Upvotes => Source::Partition(upvote::partition(product)),
        Part::Saves => Source::Partition(save::partition(product)),
        Part::Views => Source::Partition(view::partition(product)),
    };
    let query = Query {
        source,
        after: page.after.clone(),
        ..Query::partition("", PAGE)
    };
    let found = tx.query(&query).await?;
    for item in found.items {
        let (document, account) = (&item.document, &item.document.key.sk);
        let entries = match page.part {
            Part::Comments => document.parse::<Comment>()?.entries(),
            Part::Upvotes => document.parse::<Upvote>()?.entries(product, account),
            Part::Saves => document.parse::<Save>()?.entries(product, account),
            Part::Views => Vec::new(),
        };
        tx.remove_with(item.document.key, entries);
    }
    if found.next.is_some() {
        let next = RemovalPage {
            after: found.next,
            ..page
        };
        tx.send(tx.message(&RemovalPayload::Page(next))?);
    }
    Ok(())
}
