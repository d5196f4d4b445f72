//! Jobs that a client starts and polls: the response is a 202 with the `Location` of a job document, `/v1/jobs/{id}`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use souk_core::queue::Payload;
use souk_core::{Change, Condition, Key, Message, StoreError, Timestamp, clock};

use super::JobTransaction;

use crate::operation::{Failure, Transaction};
use crate::platform::Platform;

/// How long the document of a job is kept after its last update, in seconds.
const KEEP_SECONDS: i64 = 7 * 24 * 3600;

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = JobStatus)]
pub enum Progress {
    /// Waiting to start, running, or waiting for a retry.
    Queued,
    /// The job succeeded.
    Done,
    /// The job failed permanently.
    Failed,
}

/// A background job started by a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Job)]
pub struct Tracked {
    /// The id of the job.
    #[schema(pattern = "^job_[0-9a-f]{32}$")]
    pub id: String,
    /// The name of the job.
    pub job: String,
    /// The account that started the job. Only this account may read it, and who has the permission `jobs:read`.
    pub owner: String,
    /// The status.
    pub status: Progress,
    /// The result when the job is done. A job that runs in parts may show an intermediate result before that.
    #[schema(required = true, value_type = Option<HashMap<String, Value>>)]
    pub result: Option<Value>,
    /// The error, if the job failed.
    #[schema(required = true)]
    pub error: Option<String>,
    /// When the job was started.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the status or the result last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// The document key of a job.
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

/// Starts a job for `owner`: adds its message and its status document to this transaction.
pub fn start<E: From<Failure>, P: Payload>(tx: &Transaction<E>, payload: &P, owner: &str) -> Result<Tracked, Failure> {
    start_after(tx, payload, owner, 0)
}

/// The same, after a wait in milliseconds.
pub fn start_after<E: From<Failure>, P: Payload>(
    tx: &Transaction<E>,
    payload: &P,
    owner: &str,
    wait_ms: i64,
) -> Result<Tracked, Failure> {
    let mut message = tx.message(payload)?;
    message.tracked = true;
    if wait_ms > 0 {
        message.delay(tx.now(), wait_ms);
    }
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

/// Sends the message for the part of a job that follows the part of `message`.
pub fn next<P: Payload>(tx: &JobTransaction, message: &Message, payload: &P) -> Result<(), Failure> {
    next_after(tx, message, payload, 0)
}

/// The same, after a wait in milliseconds.
pub fn next_after<P: Payload>(
    tx: &JobTransaction,
    message: &Message,
    payload: &P,
    wait_ms: i64,
) -> Result<(), Failure> {
    let (id, part) = message.id.split_once('.').unwrap_or((&message.id, "1"));
    let part = part.parse::<u32>().unwrap_or(1).saturating_add(1);
    let mut next = tx.message(payload)?;
    next.id = format!("{id}.{part}");
    next.tracked = message.tracked;
    if wait_ms > 0 {
        next.delay(tx.now(), wait_ms);
    }
    tx.send(next);
    Ok(())
}

/// The change that records the end of a job; `None` if the job is not tracked or its document has expired.
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

/// The change that records an intermediate result; `None` if the job is not tracked or its document has expired.
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
    // The message id of a later part is the job id followed by `.` and a number.
    let id = message.id.split('.').next().unwrap_or(&message.id);
    let Some(document) = souk_core::documents::get_one(&*platform.documents, key(id)).await? else {
        return Ok(None);
    };
    let mut job: Tracked = document.parse()?;
    job.updated_at = platform.now();
    (job.status, job.result, job.error) = state;
    put(platform, &job, Condition::Any).map(Some)
}
