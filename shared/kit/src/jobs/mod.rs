//! Background work: jobs, schedules, dead letters.
//!
//! 1. An operation commits its changes, events and messages together: the outbox is part of the same commit.
//! 2. The host calls [`App::run_pending_work`](crate::App::run_pending_work), which sends them to the queue: each event
//!    goes to every job that subscribes to its type. The sweeper sends what a crash or a queue outage left in the
//!    outbox.
//! 3. The host passes each delivered batch to [`App::work`](crate::App::work). A job's [`Transaction`] is committed
//!    together with an inbox entry for the message, so redelivery of the message has no second effect.
//! 4. The message of a failed job is sent again with a delay and the list of its failed attempts. When the attempts are
//!    used up, the message becomes a dead letter.

pub mod dead_letters;
mod runner;
mod schedule;
pub mod tracked;

use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use souk_core::queue::Payload;
use souk_core::{Message, Random, StoreError, random};

use crate::Transaction;
use crate::operation::Failure;

pub use runner::inbox_key;
pub(crate) use runner::{dead_letter, work};
pub(crate) use schedule::tick;
pub use schedule::{Run, Runs, SCHEDULES, Schedule};

/// The transaction of a job, committed together with the inbox entry of its message. If a condition fails, the job runs
/// again.
pub type JobTransaction = Transaction<JobError>;

/// The output of a job that succeeded.
#[derive(Debug, Default)]
pub struct JobOutput {
    /// For a tracked job: the result, or the result so far if `unfinished`.
    pub result: Option<Value>,
    /// For a tracked job: the job is not done; it sent a message for its [`next`](tracked::next) part.
    pub unfinished: bool,
}

/// Why a job failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// A transient failure: the job is retried.
    #[error("{0}")]
    Retry(String),
    /// A permanent failure: the message becomes a dead letter without a retry.
    #[error("{0}")]
    Fatal(String),
    /// The store failed. [`StoreError::Unavailable`] does not count as an attempt.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => JobError::Store(error),
            failure => JobError::Retry(failure.to_string()),
        }
    }
}

/// The retry schedule of a job.
#[derive(Clone, Copy, Debug)]
pub enum Retries {
    /// Exponential backoff with full jitter.
    Backoff {
        /// The maximum number of attempts, including the first.
        attempts: usize,
        /// The upper bound of the first delay.
        base_seconds: u32,
        /// The limit of the upper bound, which doubles with each failed attempt.
        cap_seconds: u32,
    },
    /// Fixed delays, each with up to 10% of jitter added.
    Schedule(&'static [u32]),
}

impl Retries {
    /// Seven attempts within about two minutes.
    pub const USUAL: Retries = Retries::Backoff {
        attempts: 7,
        base_seconds: 1,
        cap_seconds: 60,
    };

    /// The delay in milliseconds after `failed` failed attempts; `None` if there is no further attempt.
    fn delay_ms(self, failed: usize, source: &dyn Random) -> Option<i64> {
        // A fraction in [0, 1).
        let fraction = f64::from(u32::from_le_bytes(random::bytes(source))) / (f64::from(u32::MAX) + 1.0);
        let seconds = match self {
            Retries::Backoff { attempts, .. } if failed >= attempts => return None,
            Retries::Backoff {
                base_seconds,
                cap_seconds,
                ..
            } => {
                let doublings = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX).min(30);
                let ceiling = (f64::from(base_seconds) * 2_f64.powi(doublings)).min(f64::from(cap_seconds));
                ceiling * fraction
            }
            Retries::Schedule(delays) => {
                let delay = f64::from(*delays.get(failed.checked_sub(1)?)?);
                delay + delay * 0.1 * fraction
            }
        };
        Some((seconds * 1000.0) as i64)
    }
}

type Running = Pin<Box<dyn Future<Output = Result<JobOutput, JobError>> + Send>>;

/// A job: the handler for the messages of one [`Payload`] type.
#[derive(Clone)]
pub struct Job {
    /// The name: `function.task`.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
    retries: Retries,
    batch: usize,
    run: Arc<dyn Fn(JobTransaction, Vec<Message>) -> Running + Send + Sync>,
}

impl Job {
    /// A job that processes one message at a time.
    pub fn single<P, F, R>(summary: &'static str, run: F) -> Self
    where
        P: Payload,
        F: Fn(JobTransaction, P, Message) -> R + Send + Sync + 'static,
        R: Future<Output = Result<JobOutput, JobError>> + Send + 'static,
    {
        let run = move |tx, messages: Vec<Message>| -> Running {
            let one = messages.into_iter().next();
            match one.map(|message| payload::<P>(&message).map(|payload| (payload, message))) {
                Some(Ok((payload, message))) => Box::pin(run(tx, payload, message)),
                Some(Err(error)) => Box::pin(async { Err(error) }),
                None => Box::pin(async { Ok(JobOutput::default()) }),
            }
        };
        Self {
            name: P::JOB,
            summary,
            retries: Retries::USUAL,
            batch: 1,
            run: Arc::new(run),
        }
    }

    /// A job that processes up to `size` messages (40 at most) in one commit. If the batch fails, each message is
    /// processed on its own.
    pub fn batch<P, F, R>(summary: &'static str, size: usize, run: F) -> Self
    where
        P: Payload,
        F: Fn(JobTransaction, Vec<P>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<JobOutput, JobError>> + Send + 'static,
    {
        let run = move |tx, messages: Vec<Message>| -> Running {
            match messages.iter().map(payload::<P>).collect() {
                Ok(payloads) => Box::pin(run(tx, payloads)),
                Err(error) => Box::pin(async { Err(error) }),
            }
        };
        Self {
            name: P::JOB,
            summary,
            retries: Retries::USUAL,
            batch: size.clamp(1, 40),
            run: Arc::new(run),
        }
    }

    /// Sets the retry schedule.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }
}

fn payload<P: DeserializeOwned>(message: &Message) -> Result<P, JobError> {
    let body = message.body.clone();
    serde_json::from_value(body).map_err(|e| JobError::Fatal(format!("not a payload of this job: {e}")))
}
