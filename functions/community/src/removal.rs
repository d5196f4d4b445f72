//! What goes with a product that is removed: its comments, votes and views. (Its rank goes by its own job; what stands in
//! feeds ends by itself.)
//!
//! Each kind is removed page by page; a page is one commit of what it removes and of the message for the next page, so a
//! crash in between goes on where it was. A request that had seen the product may still write something after that, so
//! everything is looked through once more a few minutes later.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_core::documents::Source;
use souk_core::fact::ProductFact;
use souk_core::{Change, Condition, Entry, Message, Query, clock};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError, cause_of};

use crate::task::Task;
use crate::{comment, upvotes, views};

/// The job's name.
pub(crate) const JOB: &str = "community.remove";
/// How many documents go in one commit; a comment is two changes.
const PAGE: usize = 40;
/// When it is all looked through again: longer than any request takes.
const AGAIN_SECONDS: i64 = 180;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Comments,
    Upvotes,
    Views,
}

/// What is to be removed next.
#[derive(Serialize, Deserialize)]
pub(crate) struct Rest {
    product: String,
    part: Part,
    /// Behind this place.
    after: Option<String>,
}

pub(crate) async fn remove(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let mut effects = Effects::default();
    let trace = cause_of(&message).trace;
    let rest: Rest = match Task::of(&message)? {
        Task::Own(rest) => rest,
        Task::Event(event) => {
            let Some(fact) = event.read::<ProductFact>()? else {
                return Ok(effects);
            };
            for part in [Part::Comments, Part::Upvotes, Part::Views] {
                for seconds in [0, AGAIN_SECONDS] {
                    let rest = Rest {
                        product: fact.product.clone(),
                        part,
                        after: None,
                    };
                    let mut message = Task::message(&platform, JOB, &rest, trace.clone());
                    message.not_before = (seconds > 0).then(|| clock::after(platform.now(), seconds));
                    effects.messages.push(message);
                }
            }
            return Ok(effects);
        }
    };
    let product = &rest.product;
    let source = match rest.part {
        Part::Comments => Source::Index(comment::index(product)),
        Part::Upvotes => Source::Partition(upvotes::partition(product)),
        Part::Views => Source::Partition(views::partition(product)),
    };
    let query = Query {
        source,
        after: rest.after.clone(),
        ..Query::partition("", PAGE)
    };
    let page = platform.documents.query(&query).await?;
    for item in page.items {
        let stale = match &query.source {
            Source::Index(index) => vec![Entry::new(index, item.sort)],
            Source::Partition(_) => Vec::new(),
        };
        effects.changes.push(Change::Delete {
            key: item.document.key,
            condition: Condition::Any,
            stale,
        });
    }
    if page.next.is_some() {
        let next = Rest {
            after: page.next,
            ..rest
        };
        effects.messages.push(Task::message(&platform, JOB, &next, trace));
    }
    Ok(effects)
}
