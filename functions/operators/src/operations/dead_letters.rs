//! Operations on dead letters.
//!
//! **Atomicity.** A replay is one commit that deletes the dead letter and adds its message to the outbox. So the
//! message is always in exactly one of the two. A lane is replayed or discarded page by page, with one commit for each
//! page.

use serde::{Deserialize, Serialize};
use souk_core::documents::MAX_LIMIT;
use souk_core::{Lane, Query, Timestamp};
use souk_kit::jobs::dead_letters::{DeadLetter, key, partition};
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::{Context, Failure, PageRequest, SortedPage, Stored, Transaction};

use crate::jobs::ReplayLane;

/// How many dead letters one commit includes.
const PAGE: usize = 40;
/// The maximum total size of these in bytes: their messages are one document of the outbox.
const PAGE_BYTES: usize = 64 * 1024;

/// A dead letter without its message.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DeadLetterSummary)]
pub struct Summary {
    /// The id of the message.
    pub id: String,
    /// The lane of the message.
    pub lane: Lane,
    /// The name of the job that failed.
    pub job: String,
    /// The error of the last attempt.
    pub error: String,
    /// The `traceparent` of the request that caused the message.
    #[schema(required = true)]
    pub trace: Option<String>,
    /// When the message became a dead letter.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
}

/// The result of one page of dead letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handled {
    /// The number of dead letters that were replayed or discarded.
    pub count: usize,
    /// The sort key after which the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// A page of dead letters of one lane, or of all lanes, the most urgent lane first.
pub async fn list_dead_letters(
    cx: &Context,
    lane: Option<Lane>,
    page: &PageRequest,
) -> Result<SortedPage<Summary>, Failure> {
    let paging = page.of_list(&format!("dead {lane:?}"))?;
    // The cursor is the lane in which the page starts, and the id after which it starts.
    let (from, mut after) = match paging.after.as_deref().and_then(|place| place.split_once('/')) {
        Some((lane, id)) => (Lane::parse(lane), Some(id.to_owned())),
        None => (None, None),
    };
    let is_wanted = |other: &Lane| lane.is_none_or(|lane| *other == lane) && from.is_none_or(|from| *other >= from);
    let mut items = Vec::new();
    for lane in Lane::ALL.into_iter().filter(is_wanted) {
        let room = paging.limit.saturating_sub(items.len());
        if room == 0 {
            let next_cursor = Some(paging.cursor(&format!("{}/", lane.name())));
            return Ok(paging.forward(items, next_cursor));
        }
        let query = Query {
            after: after.take().filter(|id| !id.is_empty()),
            ..Query::partition(partition(lane), room)
        };
        let page = cx.query(&query).await?;
        for item in &page.items {
            items.push(item.document.parse()?);
        }
        if let Some(sort) = page.next {
            let next_cursor = Some(paging.cursor(&format!("{}/{sort}", lane.name())));
            return Ok(paging.forward(items, next_cursor));
        }
    }
    Ok(paging.forward(items, None))
}

/// The newest dead letters of a lane, newest first; there is a cursor if there are more.
pub async fn newest_dead_letters(cx: &Context, lane: Lane) -> Result<SortedPage<Summary>, Failure> {
    let query = Query {
        descending: true,
        ..Query::partition(partition(lane), MAX_LIMIT)
    };
    let page = cx.query(&query).await?;
    let items = page.items.iter().map(|item| item.document.parse());
    Ok(SortedPage {
        items: items.collect::<Result<_, _>>()?,
        next_cursor: page.next,
        prev_cursor: None,
        total: None,
    })
}

/// The dead letter of the message with this id.
pub async fn find_dead_letter(cx: &Context, lane: Lane, id: &str) -> Result<Stored<DeadLetter>, Failure> {
    cx.read(key(lane, id)).await?.ok_or(Failure::NotFound("dead letter"))
}

/// Sends the message of a dead letter again. If the message was processed after all, it has no second effect.
pub async fn replay_dead_letter(cx: &Context, lane: Lane, id: &str) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        replay(&tx, find_dead_letter(&tx, lane, id).await?);
        Ok(())
    })
    .await
}

/// Deletes a dead letter.
pub async fn discard_dead_letter(cx: &Context, lane: Lane, id: &str) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        let letter = find_dead_letter(&tx, lane, id).await?;
        tx.delete(&letter.document, Vec::new()).or_retry();
        Ok(())
    })
    .await
}

/// Starts a job that replays the current dead letters of a lane.
pub async fn replay_lane(cx: &Context, lane: Lane) -> Result<Tracked, Failure> {
    let owner = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let order = ReplayLane {
            lane,
            until: tx.now(),
            after: None,
            replayed: 0,
        };
        tracked::start(&tx, &order, owner)
    })
    .await
}

/// Replays the next page of the dead letters of a lane that were created until then.
pub async fn replay_lane_page(
    cx: &Context,
    lane: Lane,
    until: Timestamp,
    after: Option<&str>,
) -> Result<Handled, Failure> {
    cx.commit(|tx| async move { replay_page(&tx, lane, until, after).await })
        .await
}

/// Deletes the next page of the dead letters of a lane that were created until then.
pub async fn discard_lane_page(
    cx: &Context,
    lane: Lane,
    until: Timestamp,
    after: Option<&str>,
) -> Result<Handled, Failure> {
    cx.commit(|tx| async move {
        let (letters, next) = next_page(&tx, lane, until, after).await?;
        for letter in &letters {
            tx.delete(&letter.document, Vec::new()).or_retry();
        }
        let count = letters.len();
        Ok::<_, Failure>(Handled { count, next })
    })
    .await
}

/// [`replay_lane_page`] in a transaction.
pub(crate) async fn replay_page<E>(
    tx: &Transaction<E>,
    lane: Lane,
    until: Timestamp,
    after: Option<&str>,
) -> Result<Handled, Failure> {
    let (letters, next) = next_page(tx, lane, until, after).await?;
    let count = letters.len();
    for letter in letters {
        replay(tx, letter);
    }
    Ok(Handled { count, next })
}

/// The same message with new attempts and without an expiry.
fn replay<E>(tx: &Transaction<E>, letter: Stored<DeadLetter>) {
    tx.delete(&letter.document, Vec::new()).or_retry();
    let mut message = letter.value.message;
    message.attempts.clear();
    message.not_before = None;
    message.delayed_at = None;
    message.expires_at = None;
    tx.send(message);
}

/// The dead letters for one commit, and the sort key after which there are more.
async fn next_page(
    cx: &Context,
    lane: Lane,
    until: Timestamp,
    after: Option<&str>,
) -> Result<(Vec<Stored<DeadLetter>>, Option<String>), Failure> {
    let query = Query {
        after: after.map(str::to_owned),
        ..Query::partition(partition(lane), PAGE)
    };
    let page = cx.query(&query).await?;
    let (mut letters, mut size, mut last) = (Vec::new(), 0_usize, None);
    for item in page.items {
        size = size.saturating_add(item.document.body.len());
        if size > PAGE_BYTES && last.is_some() {
            return Ok((letters, last));
        }
        let letter: Stored<DeadLetter> = Stored::read(item.document)?;
        if letter.died_at <= until {
            letters.push(letter);
        }
        last = Some(item.sort);
    }
    Ok((letters, page.next))
}
