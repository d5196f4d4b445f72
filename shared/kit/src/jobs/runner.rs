//! Processing of delivered messages.
//!
//! **Exactly one effect.** The writes of a job and the inbox entry of its message are one commit. The inbox is read
//! before a job runs; if a duplicate delivery commits in between, the commit fails on the inbox entry and the job
//! starts over. Inbox entries outlive every message in a queue.
//!
//! **Tenants.** A message names its market, with a seal that only the deployment can make. Its job runs on the platform of that
//! market. Notes of runs, dead letters and counts are the deployment's.
//!
//! **Failures.** A failed job counts as an attempt and is retried later, as a new message that lists the failed
//! attempts. An unavailable store does not count as an attempt. A panic counts as a failure where it can be caught; on
//! Wasm it ends the instance.
//!
//! **Poison.** When a consumer dies, its whole batch is delivered again. From the second delivery on, messages run one by
//! one, those with noted runs last; each run is noted before it begins, and the note is removed when it ends. So only the
//! message that ends its consumer collects notes; after [`MAX_TRIALS`] it becomes a dead letter, and its job does not run
//! again.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde::Deserialize;
use souk_core::documents::{MAX_KEYS, get_one};
use souk_core::queue::{Attempt, Delivery, Outcome, Payload};
use souk_core::{Change, Commit, Condition, Consistency, Document, Key, Lane, Message, StoreError, Tenant, clock};

use super::{Job, JobError, JobOutput, dead_letters, tracked};
use crate::operation::{Context, Transaction, take};
use crate::platform::{EARLY_MS, Platform, count, message_id};

/// How long an inbox entry is kept, in seconds: longer than the queues retain a message (4 days).
const REMEMBER_SECONDS: i64 = 5 * 24 * 3600;
/// How many runs on its own, all of which ended the consumer, make a message a poison message.
const MAX_TRIALS: u32 = 3;
/// For how long messages are run one by one in a batch, in seconds: less than a Lambda of the worker has.
const TRIALS_SECONDS: i64 = 20;
/// How long such runs are remembered, in seconds.
const TRIAL_SECONDS: i64 = 24 * 3600;
/// How often a job runs again because its commit had a conflict.
const RACES: usize = 10;
/// How many chunks of a batch run concurrently.
const AT_ONCE: usize = 16;
/// The delay of a message while the store or the queue is unavailable, in seconds.
const OUTAGE_SECONDS: u32 = 20;
/// The length to which a stored error text is truncated, in characters.
const MAX_ERROR: usize = 500;

/// The result of processing one message.
enum Fate {
    Done,
    Expired,
    Early,
    Failed(JobError),
    Poison,
    Unknown,
    Unsealed,
}

/// Processes deliveries of one or several lanes; returns one outcome per delivery, in their order.
pub(crate) async fn work(
    platform: &Arc<Platform>,
    jobs: &HashMap<&'static str, Job>,
    deliveries: Vec<Delivery>,
) -> Vec<Outcome> {
    let now = platform.now();
    let mut outcomes = vec![Outcome::Retry(OUTAGE_SECONDS); deliveries.len()];
    let mut fates: Vec<(usize, Message, Fate)> = Vec::with_capacity(deliveries.len());
    let mut groups: BTreeMap<(Tenant, String), Vec<(usize, Message)>> = BTreeMap::new();
    let mut suspects: Vec<(usize, Message)> = Vec::new();
    for (place, Delivery { message, deliveries }) in deliveries.into_iter().enumerate() {
        let is_early = message
            .due(now)
            .is_some_and(|due| due.as_millisecond() > now.as_millisecond() + EARLY_MS);
        if message.expires_at.is_some_and(|end| end <= now) {
            fates.push((place, message, Fate::Expired));
        } else if is_early {
            fates.push((place, message, Fate::Early));
        } else if !platform.is_sealed(&message) {
            fates.push((place, message, Fate::Unsealed));
        } else if !jobs.contains_key(message.job.as_str()) {
            fates.push((place, message, Fate::Unknown));
        } else if deliveries > 1 {
            suspects.push((place, message));
        } else {
            let group = (message.tenant.clone(), message.job.clone());
            groups.entry(group).or_default().push((place, message));
        }
    }
    let mut chunks = Vec::new();
    for ((_, name), mut messages) in groups {
        if let Some(job) = jobs.get(name.as_str()) {
            while !messages.is_empty() {
                let rest = messages.split_off(messages.len().min(job.batch));
                chunks.push(run_chunk(platform, job, messages));
                messages = rest;
            }
        }
    }
    let mut running = stream::iter(chunks).buffer_unordered(AT_ONCE);
    while let Some(done) = running.next().await {
        fates.extend(done);
    }
    for (place, message) in least_tried_first(platform, suspects).await {
        if platform.now() > clock::after(now, TRIALS_SECONDS) {
            // The host may end this process before the last one has run.
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = Outcome::Retry(1);
            }
            continue;
        }
        match (begin_trial(platform, &message).await, jobs.get(message.job.as_str())) {
            (Ok(Trial::Done), _) => fates.push((place, message, Fate::Done)),
            (Ok(Trial::Begun), Some(job)) => {
                let id = message.id.clone();
                fates.extend(run_chunk(platform, job, vec![(place, message)]).await);
                end_trial(platform, &id).await;
            }
            (Ok(_), _) => fates.push((place, message, Fate::Poison)),
            (Err(error), _) => fates.push((place, message, Fate::Failed(error.into()))),
        }
    }
    let mut counts: BTreeMap<Lane, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for (place, message, fate) in fates {
        let lane = message.lane;
        let (outcome, what) = acknowledge(platform, jobs, message, fate).await;
        if let Some(slot) = outcomes.get_mut(place) {
            *slot = outcome;
        }
        if let Some(what) = what {
            *counts.entry(lane).or_default().entry(what).or_default() += 1;
        }
    }
    for (lane, counts) in counts {
        count(platform, lane, &counts.into_iter().collect::<Vec<_>>()).await;
    }
    outcomes
}

/// Runs one job for these messages. If the batch fails, runs the job for each message on its own.
async fn run_chunk(
    platform: &Arc<Platform>,
    job: &Job,
    messages: Vec<(usize, Message)>,
) -> Vec<(usize, Message, Fate)> {
    let began = platform.clock.now();
    // All are of one tenant.
    let tenant = messages
        .first()
        .map_or_else(Tenant::main, |(_, message)| message.tenant.clone());
    let platform = match platform.of_tenant(&tenant).await {
        Ok(Some(platform)) => &platform.clone(),
        // Nothing is done for a tenant that is erased.
        Ok(None) => {
            return messages
                .into_iter()
                .map(|(place, message)| (place, message, Fate::Done))
                .collect();
        }
        Err(error) => {
            let failed = |(place, message)| (place, message, Fate::Failed(error.clone().into()));
            return messages.into_iter().map(failed).collect();
        }
    };
    let (places, messages): (Vec<usize>, Vec<Message>) = messages.into_iter().unzip();
    let result = run(platform, job, &messages).await;
    let duration_us = platform
        .clock
        .now()
        .as_microsecond()
        .saturating_sub(began.as_microsecond());
    let trace_id = messages.first().and_then(trace_id);
    let first = messages.first().map(|message| message.id.as_str());
    let (job_name, count) = (job.name, messages.len());
    let tenant = (!tenant.is_main()).then(|| tenant.name());
    match &result {
        Ok(()) => tracing::info!(
            job = job_name,
            messages = count,
            message_id = first,
            trace_id,
            tenant,
            duration_us,
            "job"
        ),
        Err(error) => {
            tracing::warn!(job = job_name, messages = count, message_id = first, trace_id, tenant, duration_us, %error, "job failed");
        }
    }
    let alone = messages.len() == 1;
    let mut fates = Vec::with_capacity(messages.len());
    match result {
        Ok(()) => fates.extend(places.into_iter().zip(messages).map(|(p, m)| (p, m, Fate::Done))),
        Err(error) if alone => fates.extend(
            places
                .into_iter()
                .zip(messages)
                .map(|(p, m)| (p, m, Fate::Failed(error.clone()))),
        ),
        Err(JobError::Store(error @ StoreError::Unavailable(_))) => {
            let failed = |(p, m)| (p, m, Fate::Failed(JobError::Store(error.clone())));
            fates.extend(places.into_iter().zip(messages).map(failed));
        }
        Err(_) => {
            for (place, message) in places.into_iter().zip(messages) {
                let fate = match run(platform, job, std::slice::from_ref(&message)).await {
                    Ok(()) => Fate::Done,
                    Err(error) => Fate::Failed(error),
                };
                fates.push((place, message, fate));
            }
        }
    }
    fates
}

/// The trace id from the message's `traceparent`.
fn trace_id(message: &Message) -> Option<&str> {
    message.trace.as_deref()?.split('-').nth(1)
}

/// The key of the inbox entry of an event's message to the job of `P`. It is there from the commit of the job's effects on, for
/// five days; not if the job had none.
#[must_use]
pub fn inbox_key<P: Payload>(event: &str) -> Key {
    mark(&message_id(event, P::JOB))
}

fn mark(id: &str) -> Key {
    Key::of("inbox", id)
}

/// The result of a job, with a panic turned into a failure. That is unwind-safe: a job only collects its changes, and
/// they are committed after it has returned.
async fn caught(run: impl Future<Output = Result<JobOutput, JobError>>) -> Result<JobOutput, JobError> {
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_default();
        Err(JobError::Retry(format!("the job panicked: {text}")))
    })
}

/// Whether a message that was delivered before may run.
enum Trial {
    /// Its effects are committed.
    Done,
    /// The run is noted.
    Begun,
    /// Too many runs have ended their consumers.
    Failed,
}

/// Whether the effects of a message are committed, or nobody waits for them any more. The mark is in the database of its market.
async fn is_done(platform: &Arc<Platform>, message: &Message) -> Result<bool, StoreError> {
    let Some(market) = platform.of_tenant(&message.tenant).await? else {
        return Ok(true);
    };
    Ok(get_one(&*market.documents, mark(&message.id)).await?.is_some())
}

/// Notes that a message runs on its own, unless it has done so too often.
async fn begin_trial(platform: &Arc<Platform>, message: &Message) -> Result<Trial, StoreError> {
    if is_done(platform, message).await? {
        return Ok(Trial::Done);
    }
    let noted = get_one(&*platform.documents, trial(&message.id)).await?;
    let runs = trials(noted.as_ref())?;
    if runs >= MAX_TRIALS {
        return Ok(Trial::Failed);
    }
    let note = Change::Put {
        key: trial(&message.id),
        body: serde_json::json!({ "runs": runs + 1 }).to_string(),
        counters: Vec::new(),
        expires_at: Some(clock::after(platform.clock.now(), TRIAL_SECONDS)),
        condition: noted.map_or(Condition::Absent, |noted| Condition::Version(noted.version)),
        entries: Vec::new(),
        stale: Vec::new(),
    };
    match platform.documents.commit(Commit::new(vec![note])).await {
        // Another consumer has the message too, and has noted a run.
        Ok(()) | Err(StoreError::Conflict(_)) => Ok(Trial::Begun),
        Err(error) => Err(error),
    }
}

/// The messages in the order of their noted runs, so that those that ended no consumer are done before one that did.
async fn least_tried_first(platform: &Platform, suspects: Vec<(usize, Message)>) -> Vec<(usize, Message)> {
    let mut tried = Vec::with_capacity(suspects.len());
    for some in suspects.chunks(MAX_KEYS) {
        let keys: Vec<Key> = some.iter().map(|(_, message)| trial(&message.id)).collect();
        // Without the notes any order will do.
        let notes = platform.documents.get(&keys, Consistency::Strong).await;
        tried.extend(notes.unwrap_or_else(|_| vec![None; keys.len()]));
    }
    let mut all: Vec<_> = suspects.into_iter().zip(tried).collect();
    all.sort_by_key(|(_, note)| trials(note.as_ref()).unwrap_or(MAX_TRIALS));
    all.into_iter().map(|(suspect, _)| suspect).collect()
}

/// Forgets the runs of a message that has not ended its consumer, whatever its outcome.
async fn end_trial(platform: &Platform, id: &str) {
    let forget = Change::Delete {
        key: trial(id),
        condition: Condition::Any,
        stale: Vec::new(),
    };
    if let Err(error) = platform.documents.commit(Commit::new(vec![forget])).await {
        tracing::warn!(%error, message_id = id, "a run stays noted");
    }
}

fn trial(id: &str) -> Key {
    Key::of("trial", id)
}

/// How often a message has run on its own.
fn trials(noted: Option<&Document>) -> Result<u32, StoreError> {
    #[derive(Deserialize)]
    struct Note {
        runs: u32,
    }
    noted.map_or(Ok(0), |noted| Ok(noted.parse::<Note>()?.runs))
}

/// Runs the job for the messages that have no inbox entry, and commits its changes together with their inbox entries.
async fn run(platform: &Arc<Platform>, job: &Job, messages: &[Message]) -> Result<(), JobError> {
    for attempt in 0..RACES {
        let marks: Vec<Key> = messages.iter().map(|message| mark(&message.id)).collect();
        let found = platform.documents.get(&marks, Consistency::Strong).await?;
        let mut todo: Vec<Message> = Vec::with_capacity(messages.len());
        for (message, found) in messages.iter().zip(found) {
            // A batch can contain the same message twice.
            if found.is_none() && !todo.iter().any(|other| other.id == message.id) {
                todo.push(message.clone());
            }
        }
        let Some(first) = todo.first() else {
            return Ok(());
        };
        let cx = Context::system(platform.clone()).traced(first.trace.as_deref());
        let (tx, pending) = Transaction::new(cx, attempt);
        let JobOutput { result, unfinished } = caught((job.run)(tx, todo.clone())).await?;
        let pending = take(&pending)?;
        let (mut changes, events, mut more) = (pending.changes, pending.events, pending.messages);
        // Work that follows from work of one account is of that account.
        if todo.iter().all(|message| message.account == first.account) {
            for message in &mut more {
                message.account = message.account.take().or_else(|| first.account.clone());
            }
        }
        // A job without effects writes no inbox entry: running it again is cheaper than the write.
        if changes.is_empty() && events.is_empty() && more.is_empty() && !todo.iter().any(|message| message.tracked) {
            return Ok(());
        }
        for message in &todo {
            changes.push(Change::Put {
                key: mark(&message.id),
                body: "{}".into(),
                counters: Vec::new(),
                expires_at: Some(clock::after(platform.clock.now(), REMEMBER_SECONDS)),
                condition: Condition::Absent,
                entries: Vec::new(),
                stale: Vec::new(),
            });
            if !unfinished {
                changes.extend(tracked::end(platform, message, Ok(result.clone())).await?);
            } else if result.is_some() {
                changes.extend(tracked::progress(platform, message, result.clone()).await?);
            }
        }
        match platform.commit(changes, events, more).await {
            Err(StoreError::Conflict(step)) => {
                if let Some(Some(error)) = pending.on_conflict.into_iter().nth(step) {
                    return Err(error);
                }
            }
            result => return Ok(result?),
        }
    }
    Err(JobError::Retry("others kept changing what it works on".into()))
}

/// Sends the retry or stores the dead letter that the fate of a message requires. Returns the outcome for the queue and
/// the name of the counter to increment.
async fn acknowledge(
    platform: &Arc<Platform>,
    jobs: &HashMap<&'static str, Job>,
    mut message: Message,
    fate: Fate,
) -> (Outcome, Option<&'static str>) {
    let error = match fate {
        Fate::Done => return (Outcome::Done, Some("done")),
        Fate::Expired => return (Outcome::Done, Some("expired")),
        Fate::Early => return (send_again(platform, message).await, None),
        Fate::Failed(JobError::Store(error @ StoreError::Unavailable(_))) => {
            // An outage is not a failed attempt: send the message again with a delay.
            tracing::warn!(%error, job = message.job, message_id = message.id, "job put off");
            message.delay(platform.now(), i64::from(OUTAGE_SECONDS) * 1000);
            return (send_again(platform, message).await, None);
        }
        Fate::Failed(error) => error,
        Fate::Poison => JobError::Fatal("its consumers ended before they had done it, again and again".into()),
        Fate::Unknown => JobError::Fatal("there is no such job".into()),
        Fate::Unsealed => {
            message.tracked = false;
            JobError::Fatal("it does not show that it is of the market that it names".into())
        }
    };
    let text: String = error.to_string().chars().take(MAX_ERROR).collect();
    message.attempts.push(Attempt {
        failed_at: platform.now(),
        error: text.clone(),
    });
    let retries = jobs.get(message.job.as_str()).map(|job| job.retries);
    let delay = match (&error, retries) {
        (JobError::Fatal(_), _) | (_, None) => None,
        (_, Some(retries)) => retries.delay_ms(message.attempts.len(), &*platform.random),
    };
    if let Some(delay) = delay {
        message.delay(platform.now(), delay);
        return (send_again(platform, message).await, Some("retried"));
    }
    match make_dead_letter(platform, &message, &text).await {
        Ok(()) => {
            let trace_id = trace_id(&message);
            tracing::error!(
                job = message.job,
                message_id = message.id,
                cause = text,
                trace_id,
                "job given up"
            );
            (Outcome::Done, Some("dead"))
        }
        Err(error) => {
            tracing::warn!(%error, job = message.job, message_id = message.id, "dead letter put off");
            (Outcome::Retry(OUTAGE_SECONDS), None)
        }
    }
}

async fn send_again(platform: &Platform, message: Message) -> Outcome {
    match platform.queue.send(std::slice::from_ref(&message)).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::warn!(%error, job = message.job, message_id = message.id, "message left with the queue");
            let delay = message.delay_seconds(platform.now());
            Outcome::Retry(u32::try_from(delay).unwrap_or(OUTAGE_SECONDS).max(1))
        }
    }
}

/// Stores a message as a dead letter.
async fn make_dead_letter(platform: &Arc<Platform>, message: &Message, error: &str) -> Result<(), StoreError> {
    let mut changes = vec![dead_letters::record(message, error, platform.now())?];
    if message.tracked
        && let Some(market) = platform.of_tenant(&message.tenant).await?
    {
        let ended = tracked::end(&market, message, Err(error.to_owned())).await?;
        let ended = ended.into_iter().collect();
        match market.home {
            None => changes.extend(message.tenant.commit(Commit::new(ended)).changes),
            // Another database. If what follows fails, both are done again.
            Some(_) => market.commit(ended, Vec::new(), Vec::new()).await?,
        }
    }
    platform.commit(changes, Vec::new(), Vec::new()).await
}

/// Handles the deliveries of the queue's own dead-letter queue: those that have not been shown to end their consumers were
/// given up with the batches of others, and run again; the others become dead letters.
pub(crate) async fn dead_letter(platform: &Arc<Platform>, deliveries: Vec<Delivery>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(deliveries.len());
    for Delivery { message, deliveries } in deliveries {
        outcomes.push(match given_up(platform, &message).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(%error, job = message.job, message_id = message.id, "dead letter put off");
                // Over days: the queue counts deliveries.
                Outcome::Retry(OUTAGE_SECONDS.saturating_mul(1 << deliveries.min(9)))
            }
        });
    }
    outcomes
}

async fn given_up(platform: &Arc<Platform>, message: &Message) -> Result<Outcome, StoreError> {
    if is_done(platform, message).await? {
        return Ok(Outcome::Done);
    }
    let noted = get_one(&*platform.documents, trial(&message.id)).await?;
    if !message.job.is_empty() && trials(noted.as_ref())? < MAX_TRIALS {
        return Ok(send_again(platform, message.clone()).await);
    }
    let why = "the queue gave it up: its consumers ended before they had done it";
    make_dead_letter(platform, message, why).await?;
    count(platform, message.lane, &[("dead", 1)]).await;
    Ok(Outcome::Done)
}
