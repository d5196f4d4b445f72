//! Work that no client waits for: jobs, schedules, dead letters.
//!
//! 1. An operation commits its change *with* its events and messages: they are in the outbox, in the same commit.
//! 2. The host lets [`App::run_pending_work`](crate::App::run_pending_work) hand them to the queue, each event to every job
//!    that subscribes to its type. What a crash or a dead queue left in the outbox, the sweeper sends.
//! 3. The host hands what its queue delivers to [`App::work`](crate::App::work). What a job writes to its [`Transaction`] is
//!    committed with the mark that this message is done (the inbox), so it happens once, however often the message comes.
//! 4. A job that fails is sent again, later, with its history. When its attempts are used up it becomes a dead letter.

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

pub(crate) use runner::{dead_letter, work};
pub(crate) use schedule::tick;
pub use schedule::{Run, Runs, SCHEDULES, Schedule};

/// What a job writes to: all of it is one commit with the mark that the job is done. A condition that fails runs it again.
pub type JobTransaction = Transaction<JobError>;

/// How a job ended.
#[derive(Debug, Default)]
pub struct JobOutput {
    /// For a tracked job: the result; with `unfinished`, until now.
    pub result: Option<Value>,
    /// For a tracked job: it is not done yet, one of the messages that it sends is its [`next`](tracked::next) part.
    pub unfinished: bool,
}

/// Why a job did not get done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobError {
    /// Worth another attempt.
    #[error("{0}")]
    Retry(String),
    /// No attempt will ever succeed: to the dead letters.
    #[error("{0}")]
    Fatal(String),
    /// The store failed. While it is unavailable no attempt is used up.
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

/// When a job that failed is tried again.
#[derive(Clone, Copy, Debug)]
pub enum Retries {
    /// After a random part ("full jitter") of a time that doubles.
    Backoff {
        /// How many attempts in all.
        attempts: usize,
        /// The time after the first.
        base_seconds: u32,
        /// The time that it grows to.
        cap_seconds: u32,
    },
    /// After these times, each with up to a tenth more.
    Schedule(&'static [u32]),
}

impl Retries {
    /// Seven attempts within about two minutes.
    pub const USUAL: Retries = Retries::Backoff {
        attempts: 7,
        base_seconds: 1,
        cap_seconds: 60,
    };

    /// How many milliseconds to wait after `failed` attempts, `None` to give up.
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

/// A job: what is done with the messages of a [`Payload`].
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
    /// A job that works on one message at a time.
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

    /// A job that works on up to `size` messages (40 at most) in one commit. If that fails, each is tried alone.
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

    /// Tries it again as `retries` says.
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
