//! Work that no client waits for: events, jobs, schedules.
//!
//! 1. A handler commits its change *with* its events and messages ([`Platform::commit`]): they stand in the outbox, in
//!    the same commit.
//! 2. The host lets [`App::relay`](crate::App::relay) hand them to the queue, each event to every job that subscribes to
//!    its type, and the outbox forgets them. What a crash or a dead queue left there, the sweeper sends.
//! 3. The host hands what its queue delivers to [`App::work`](crate::App::work). A job answers with [`Effects`], which
//!    are committed with the mark that this message is done (the inbox): they happen once, however often it comes.
//! 4. What fails is sent again, later, with its history; when its attempts are used up it rests as a dead letter.

pub mod dead;
mod outbox;
mod runner;
pub mod schedule;
pub mod stats;
pub mod tracked;

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use souk_core::event::Cause;
use souk_core::{Change, Event, Lane, Message, Random, StoreError, random};

use crate::Platform;

pub(crate) use outbox::Outbox;
pub(crate) use runner::{bury, work};
pub(crate) use schedule::tick;

/// A job's wish to see all events of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The type, such as `product.published`; `product.*` for all of a thing; `*` for all.
    pub event: &'static str,
    /// The job that gets them, one message an event.
    pub job: &'static str,
    /// The lane they go to.
    pub lane: Lane,
}

impl Subscription {
    fn wants(&self, name: &str) -> bool {
        match self.event.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.event == name,
        }
    }
}

/// What a job does to the market: all of it in one commit with the mark that it is done.
#[derive(Debug, Default)]
pub struct Effects {
    /// Changes to documents; at most about 50, so that marks and outbox fit beside them.
    pub changes: Vec<Change>,
    /// What has happened by that.
    pub events: Vec<Event>,
    /// Work that follows.
    pub messages: Vec<Message>,
    /// For a tracked job: what it came to; with `unfinished`, until now.
    pub result: Option<Value>,
    /// For a tracked job: it is not done yet, one of `messages` is its [`next`](tracked::next) part.
    pub unfinished: bool,
}

/// Why a job did not get done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Worth another attempt.
    #[error("{0}")]
    Again(String),
    /// No attempt will ever do: to the dead letters.
    #[error("{0}")]
    Fatal(String),
    /// The store's failure. One that is unavailable costs no attempt.
    #[error(transparent)]
    Store(#[from] StoreError),
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

type Running = Pin<Box<dyn Future<Output = Result<Effects, JobError>> + Send>>;

/// Work that a slice does when a message asks for it.
#[derive(Clone)]
pub struct Job {
    /// Its name: `slice.what`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    pub(crate) retries: Retries,
    pub(crate) batch: usize,
    pub(crate) run: Arc<dyn Fn(Arc<Platform>, Vec<Message>) -> Running + Send + Sync>,
}

impl Job {
    /// A job that does one message at a time.
    pub fn each<F, R>(name: &'static str, about: &'static str, run: F) -> Self
    where
        F: Fn(Arc<Platform>, Message) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Effects, JobError>> + Send + 'static,
    {
        let run = move |platform, messages: Vec<Message>| -> Running {
            match messages.into_iter().next() {
                Some(message) => Box::pin(run(platform, message)),
                None => Box::pin(async { Ok(Effects::default()) }),
            }
        };
        Self {
            name,
            about,
            retries: Retries::USUAL,
            batch: 1,
            run: Arc::new(run),
        }
    }

    /// A job that does up to `batch` messages (40 at most) in one commit. If that fails each is tried alone.
    pub fn fold<F, R>(name: &'static str, about: &'static str, batch: usize, run: F) -> Self
    where
        F: Fn(Arc<Platform>, Vec<Message>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Effects, JobError>> + Send + 'static,
    {
        Self {
            name,
            about,
            retries: Retries::USUAL,
            batch: batch.clamp(1, 40),
            run: Arc::new(move |platform, messages| Box::pin(run(platform, messages))),
        }
    }

    /// Tries it again as `retries` says.
    #[must_use]
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }
}

/// The event in a message that a subscription sent.
pub fn event_of(message: &Message) -> Result<Event, JobError> {
    serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(format!("not an event: {e}")))
}

/// What the consequences of a message are due to.
#[must_use]
pub fn cause_of(message: &Message) -> Cause {
    Cause {
        actor: None,
        trace: message.trace.clone(),
    }
}
