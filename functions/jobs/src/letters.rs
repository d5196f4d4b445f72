//! Dead letters, read and dealt with.
//!
//! To replay one is one commit: the letter goes, and its message stands in the outbox. So it is always in exactly one of
//! the two places. All letters of a lane are replayed by a job, a page at a time; each page is one commit with the
//! message that asks for the next. It leaves alone what has died since it was asked for, or it would go on for ever.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use souk_core::documents::get_one;
use souk_core::{Change, Condition, Document, Lane, Message, Query, StoreError, Timestamp};
use souk_kit::work::dead::{self, DeadLetter};
use souk_kit::work::{Effects, JobError, tracked};
use souk_kit::{Answer, CommitError, Member, Once, Paging, Params, Path, Platform, Problem, State, list as page_of};

/// The job that replays all of a lane.
pub(crate) const JOB: &str = "jobs.replay";
/// How many letters one commit replays at most.
const PAGE: usize = 40;
/// How large these may be together, in bytes: their messages are one document of the outbox.
const ROOM: usize = 64 * 1024;

/// A dead letter without its message.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// The message's id.
    pub id: String,
    /// The lane it came from.
    pub lane: Lane,
    /// The job that could not do it.
    pub job: String,
    /// Why the last attempt failed.
    pub error: String,
    /// The `traceparent` of the request that caused it.
    pub trace: Option<String>,
    /// When it was given up.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
}

/// The change and the message that replay a letter: the same message with fresh attempts and all the time it wants.
pub fn again(document: &Document) -> Result<(Change, Message), StoreError> {
    let mut message = document.parse::<DeadLetter>()?.message;
    message.attempts.clear();
    message.not_before = None;
    message.expires_at = None;
    Ok((discarding(document), message))
}

/// The change that discards a letter.
#[must_use]
pub fn discarding(document: &Document) -> Change {
    Change::Delete {
        key: document.key.clone(),
        condition: Condition::Version(document.version),
        stale: Vec::new(),
    }
}

/// Some letters of a lane, ready to be replayed.
#[derive(Debug, Default)]
pub struct Batch {
    /// They go.
    pub changes: Vec<Change>,
    /// Their work comes again.
    pub messages: Vec<Message>,
    /// Where to go on behind them, if there are more.
    pub next: Option<String>,
}

/// The letters behind `after` that have died until then, as many as one commit holds.
pub async fn batch(
    platform: &Platform,
    lane: Lane,
    until: Timestamp,
    after: Option<String>,
) -> Result<Batch, StoreError> {
    let query = Query {
        after,
        ..Query::partition(dead::partition(lane), PAGE)
    };
    let page = platform.documents.query(&query).await?;
    let (mut batch, mut size, mut last) = (Batch::default(), 0_usize, None);
    for item in page.items {
        size = size.saturating_add(item.document.body.len());
        if size > ROOM && last.is_some() {
            batch.next = last;
            return Ok(batch);
        }
        if item.document.parse::<Summary>()?.died_at <= until {
            let (change, message) = again(&item.document)?;
            batch.changes.push(change);
            batch.messages.push(message);
        }
        last = Some(item.sort);
    }
    batch.next = page.next;
    Ok(batch)
}

/// What the job is asked to do, and how far it is.
#[derive(Serialize, Deserialize)]
struct Order {
    lane: Lane,
    until: Timestamp,
    after: Option<String>,
    replayed: usize,
}

impl Order {
    fn body(&self) -> Result<Value, StoreError> {
        serde_json::to_value(self).map_err(|e| StoreError::Refused(e.to_string()))
    }
}

/// One page of the job.
pub(crate) async fn replay_some(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let mut order: Order =
        serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(format!("not an order: {e}")))?;
    let Batch {
        changes,
        mut messages,
        next,
    } = batch(&platform, order.lane, order.until, order.after.take()).await?;
    order.replayed += messages.len();
    let unfinished = next.is_some();
    if unfinished {
        order.after = next;
        messages.push(tracked::next(&platform, &message, order.body()?));
    }
    Ok(Effects {
        changes,
        messages,
        result: Some(json!({ "replayed": order.replayed })),
        unfinished,
        ..Effects::default()
    })
}

fn none() -> Problem {
    Problem::not_found("dead letter")
}

fn lane_of(name: &str) -> Result<Lane, Problem> {
    Lane::parse(name).ok_or_else(|| Problem::not_found("lane"))
}

/// The letter with this id.
pub async fn find(platform: &Platform, lane: Lane, id: &str) -> Result<Option<Document>, StoreError> {
    get_one(&*platform.documents, dead::key(lane, id)).await
}

async fn of_path(platform: &Platform, (lane, id): &(String, String)) -> Result<Document, Problem> {
    find(platform, lane_of(lane)?, id).await?.ok_or_else(none)
}

pub(crate) async fn list(platform: State, params: Params) -> Result<Answer, Problem> {
    let wanted = match params.get("lane") {
        None => None,
        Some(name) => Some(
            Lane::parse(name)
                .ok_or_else(|| Problem::bad_parameter("lane", "must be high, default, notifications or low"))?,
        ),
    };
    let paging = Paging::read(&params, &format!("dead {wanted:?}"))?;
    // The cursor says in which lane to go on, and behind what.
    let (from, mut after) = match paging.after.as_deref().and_then(|place| place.split_once('/')) {
        Some((lane, id)) => (Lane::parse(lane), Some(id.to_owned())),
        None => (None, None),
    };
    let mut lanes: Vec<Lane> = Lane::ALL
        .into_iter()
        .filter(|lane| wanted.is_none_or(|w| w == *lane))
        .collect();
    lanes.retain(|lane| from.is_none_or(|from| *lane >= from));
    let (mut items, mut next) = (Vec::new(), None);
    for lane in lanes {
        let room = paging.limit.saturating_sub(items.len());
        if room == 0 {
            // Behind nothing, in this lane.
            next = Some(paging.cursor(&format!("{}/", lane.name())));
            break;
        }
        let query = Query {
            after: after.take().filter(|id| !id.is_empty()),
            ..Query::partition(dead::partition(lane), room)
        };
        let page = platform.documents.query(&query).await?;
        for item in &page.items {
            let summary: Summary = item.document.parse()?;
            items.push(serde_json::to_vec(&summary).map_err(|e| Problem::internal(e.to_string()))?);
        }
        if let Some(sort) = page.next {
            next = Some(paging.cursor(&format!("{}/{sort}", lane.name())));
            break;
        }
    }
    Ok(page_of(&items, next.as_deref()))
}

pub(crate) async fn show(platform: State, Path(path): Path<(String, String)>) -> Result<Answer, Problem> {
    let document = of_path(&platform, &path).await?;
    Answer::json(&document.parse::<DeadLetter>()?)
}

pub(crate) async fn discard(
    platform: State,
    once: Once,
    Path(path): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let document = of_path(&platform, &path).await?;
    gone(
        once.commit(vec![discarding(&document)], Vec::new(), Answer::no_content())
            .await,
    )
}

pub(crate) async fn replay(platform: State, once: Once, Path(path): Path<(String, String)>) -> Result<Answer, Problem> {
    let document = of_path(&platform, &path).await?;
    let (change, message) = again(&document)?;
    let answer = Answer::no_content();
    gone(once.commit_all(vec![change], Vec::new(), vec![message], answer).await)
}

/// Somebody else may have dealt with it in the meantime.
fn gone(result: Result<Answer, CommitError>) -> Result<Answer, Problem> {
    match result {
        Err(CommitError::Conflict(_)) => Err(none()),
        result => Ok(result?),
    }
}

pub(crate) async fn replay_all(
    platform: State,
    Member(principal): Member,
    once: Once,
    Path(lane): Path<String>,
) -> Result<Answer, Problem> {
    let order = Order {
        lane: lane_of(&lane)?,
        until: platform.now(),
        after: None,
        replayed: 0,
    };
    let trace = once.cause().trace.clone();
    let (message, change, job) = tracked::start(&platform, JOB, Lane::High, order.body()?, &principal.account, trace)?;
    let answer = Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id));
    Ok(once.commit_all(vec![change], Vec::new(), vec![message], answer).await?)
}
