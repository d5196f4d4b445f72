//! Jobs that a client started and can follow: a 202 with the address of a job document, `/v1/jobs/{id}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use souk_core::queue::Payload;
use souk_core::{Change, Condition, Key, Message, StoreError, Timestamp, clock};

use super::JobTransaction;

use crate::operation::{Failure, Transaction};
use crate::platform::Platform;

/// How long a job can be asked about.
const KEEP_SECONDS: i64 = 7 * 24 * 3600;

/// How a job is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Not begun, under way in parts, or to be tried again.
    Queued,
    /// Done.
    Done,
    /// Given up.
    Failed,
}

/// A job that someone waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tracked {
    /// `job_…`
    #[schema(pattern = "^job_[0-9a-f]{32}$")]
    pub id: String,
    /// What is to be done.
    pub job: String,
    /// The account that asked; it and admins may look.
    pub owner: String,
    /// How it is going.
    pub status: Progress,
    /// What it came to, when it is done; of one that is done in parts also what it has come to until now.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its status last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Where it is.
#[must_use]
pub fn key(id: &str) -> Key {
    Key::of("job", id)
}

fn put(platform: &Platform, job: &Tracked, condition: Condition) -> Result<Change, StoreError> {
    Ok(Change::Put {
        key: key(&job.id),
        body: serde_json::to_string(job).map_err(|e| StoreError::Refused(e.to_string()))?,
        counters: Vec::new(),
        expires_at: Some(clock::after(platform.now(), KEEP_SECONDS)),
        condition,
        entries: Vec::new(),
        stale: Vec::new(),
    })
}

/// Starts a job for `owner` in this transaction: the message to send, and the document that tells how it is going.
pub fn start<E: From<Failure>, P: Payload>(tx: &Transaction<E>, payload: &P, owner: &str) -> Result<Tracked, Failure> {
    let mut message = tx.message(payload)?;
    message.tracked = true;
    let tracked = Tracked {
        id: message.id.clone(),
        job: message.job.clone(),
        owner: owner.to_owned(),
        status: Progress::Queued,
        result: None,
        error: None,
        created_at: message.created_at,
        updated_at: message.created_at,
    };
    let put = tx.create(key(&tracked.id), tracked);
    let stored = put.expires_at(clock::after(tx.now(), KEEP_SECONDS)).or_retry();
    tx.send(message);
    Ok(stored.value)
}

/// Sends the message for the next part of a job, from the part that `message` was for.
pub fn next<P: Payload>(tx: &JobTransaction, message: &Message, payload: &P) -> Result<(), Failure> {
    let (id, part) = message.id.split_once('.').unwrap_or((&message.id, "1"));
    let part = part.parse::<u32>().unwrap_or(1).saturating_add(1);
    let mut next = tx.message(payload)?;
    next.id = format!("{id}.{part}");
    next.tracked = message.tracked;
    tx.send(next);
    Ok(())
}

/// The change that notes how it ended; `None` if nobody can ask any more.
pub(super) async fn end(
    platform: &Platform,
    message: &Message,
    ended: Result<Option<Value>, String>,
) -> Result<Option<Change>, StoreError> {
    note(
        platform,
        message,
        match ended {
            Ok(result) => (Progress::Done, result, None),
            Err(error) => (Progress::Failed, None, Some(error)),
        },
    )
    .await
}

/// The change that notes how far it has come; `None` if nobody can ask any more.
pub(super) async fn progress(
    platform: &Platform,
    message: &Message,
    result: Option<Value>,
) -> Result<Option<Change>, StoreError> {
    note(platform, message, (Progress::Queued, result, None)).await
}

async fn note(
    platform: &Platform,
    message: &Message,
    state: (Progress, Option<Value>, Option<String>),
) -> Result<Option<Change>, StoreError> {
    if !message.tracked {
        return Ok(None);
    }
    // Its parts have numbers behind its id.
    let id = message.id.split('.').next().unwrap_or(&message.id);
    let Some(document) = souk_core::documents::get_one(&*platform.documents, key(id)).await? else {
        return Ok(None);
    };
    let mut job: Tracked = document.parse()?;
    job.updated_at = platform.now();
    (job.status, job.result, job.error) = state;
    put(platform, &job, Condition::Any).map(Some)
}
