//! The job that makes one delivery attempt.
//!
//! A failed attempt is not a failed job. The outcome of the attempt and the message for the next attempt, delayed by
//! [`SCHEDULE`], are one commit. The next message has a new id, `{delivery}.{round}.{number}`, where the number counts
//! the messages of a round. If the process crashes between the request and the commit, the message is delivered again
//! and the request is repeated with the same `webhook-id`: delivery is at least once.
//!
//! No request is sent and no attempt is counted in four cases: the URL is not verified (and the event is no test), the
//! circuit of the webhook is open (each webhook is a separate dependency of `souk_kit::outbound`, so webhooks on one host do
//! not affect each other), its rate limit is reached, or its owner has reached the limit of concurrent requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use souk_core::outbound::{Call, OutboundError, Reply, USUAL_REPLY};
use souk_core::queue::Payload;
use souk_core::{Document, Lane, Message, Timestamp, random};
use souk_kit::jobs::{JobError, JobOutput, JobTransaction};
use souk_kit::{Context, Failure, Platform};

use crate::delivery::{Attempt, Delivery, Received, Sent, Status, describe};
use crate::event::WEBHOOK_TEST;
use crate::health::Health;
use crate::operations::{disable, note_outcome, note_verified, reserve_slot};
use crate::secret::Secrets;
use crate::webhook::{WEBHOOK, Webhook, challenge};

/// The delay after each failed attempt in seconds, with up to 10% of jitter added. Nine attempts in 22 hours.
const SCHEDULE: [u32; 8] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200];
/// The time-out of an attempt, in milliseconds.
const TIMEOUT_MS: u32 = 10_000;
/// The shortest delay of a delivery whose circuit is open, in milliseconds. The delay is a quarter of the time that the
/// delivery has waited already, within bounds, so that many waiting deliveries cause little load.
const SOONEST_MS: i64 = 15_000;
/// The shortest delay of a delivery whose owner has too many requests in flight.
const SOONEST_BUSY_MS: i64 = 1_000;
/// The shortest and the longest delay of a delivery that waits for its URL to be verified; each is as long as it has waited
/// already.
const SOONEST_UNVERIFIED_MS: i64 = 1_000;
const LATEST_UNVERIFIED_MS: i64 = 300_000;
/// The longest delay in the other cases.
const LATEST_MS: i64 = 3_600_000;
/// How long deliveries wait until the URL is verified, in milliseconds.
const VERIFICATION_MS: i64 = 24 * 3_600_000;
/// How many attempts there are to send a test to a URL that is not verified.
const TEST_ATTEMPTS: usize = 3;

/// The next attempt of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) webhook: String,
    pub(crate) delivery: String,
    pub(crate) round: u32,
    /// How many attempts of this round have failed.
    pub(crate) failed: u32,
    /// The number of the message within its round; makes its id unique.
    pub(crate) number: u32,
    /// Whether it has reserved a slot of the webhook's rate limit.
    #[serde(default)]
    pub(crate) admitted: bool,
    /// The URL that a test was sent for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

impl Payload for Step {
    const JOB: &'static str = "webhooks.deliver";
    const LANE: Lane = Lane::Notifications;
}

impl Step {
    /// The message for this step, due in `delay_ms`. The same step always has the same message id.
    pub(crate) fn message(&self, cx: &Context, delay_ms: i64) -> Result<Message, Failure> {
        let mut message = cx.message(self)?;
        message.id = format!("{}.{}.{}", self.delivery, self.round, self.number);
        if delay_ms > 0 {
            message.delay(cx.now(), delay_ms);
        }
        Ok(message)
    }

    fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            admitted: false,
            ..self
        }
    }
}

pub(crate) async fn deliver(tx: JobTransaction, step: Step, _: Message) -> Result<JobOutput, JobError> {
    attempt(&tx, step).await?;
    Ok(JobOutput::default())
}

async fn attempt(tx: &JobTransaction, step: Step) -> Result<(), Failure> {
    let keys = [
        Delivery::key(&step.webhook, &step.delivery),
        WEBHOOK.key(&step.webhook),
        Secrets::key(&step.webhook),
        Health::key(&step.webhook),
    ];
    let mut found = tx.get_all(&keys).await?.into_iter();
    let mut next = || found.next().flatten();
    let (delivery, webhook, secrets, health) = (next(), next(), next(), next());
    let Some(document) = delivery else {
        return Ok(());
    };
    let mut delivery: Delivery = document.parse()?;
    if delivery.round != step.round || delivery.status != Status::Pending {
        // A later round has started.
        return Ok(());
    }
    let (Some(webhook), Some(secrets)) = (webhook, secrets) else {
        give_up(tx, &document, delivery, "the webhook was removed");
        return Ok(());
    };
    let (webhook, secrets): (Webhook, Secrets) = (webhook.parse()?, secrets.parse()?);
    if !webhook.enabled {
        give_up(tx, &document, delivery, "the webhook is switched off");
        return Ok(());
    }
    let challenge = (!webhook.verified).then(|| challenge(&tx.keys, &webhook));
    if challenge.is_some() && delivery.name != WEBHOOK_TEST {
        let age = tx
            .now()
            .as_millisecond()
            .saturating_sub(delivery.updated_at.as_millisecond());
        if age > VERIFICATION_MS {
            give_up(tx, &document, delivery, "the URL was not verified within a day");
        } else {
            let wait = age.clamp(SOONEST_UNVERIFIED_MS, LATEST_UNVERIFIED_MS);
            tx.send(step.next().message(tx, spread(wait, tx))?);
        }
        return Ok(());
    }
    if step.url.as_ref().is_some_and(|url| *url != webhook.url) {
        give_up(tx, &document, delivery, "the webhook has another URL since");
        return Ok(());
    }
    if challenge.is_some() && delivery.round > 1 {
        // Replays are not limited.
        give_up(tx, &document, delivery, "the URL is not verified: send a new test");
        return Ok(());
    }
    if !step.admitted {
        let wait = reserve_slot(tx, &webhook.id).await?;
        if wait > 0 {
            let reserved = Step {
                admitted: true,
                ..step.next()
            };
            tx.send(reserved.message(tx, wait)?);
            return Ok(());
        }
    }
    let at = tx.now();
    let Some(signature) = secrets.sign(&tx.keys, &delivery.id, at, delivery.payload.get()) else {
        let why = "the secret can no longer be opened, because the market's keys have changed: rotate it";
        give_up(tx, &document, delivery, why);
        return Ok(());
    };
    let mut call = request(&webhook, &delivery, at, signature);
    let sent = Sent {
        url: call.url.clone(),
        headers: call.headers.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    // The log does not show it: only who sees the requests at the URL can know it.
    call.headers.extend(
        challenge
            .clone()
            .map(|challenge| ("webhook-challenge".to_owned(), challenge)),
    );
    let result = tx.outbound.call_for(&webhook.owner, &webhook.id, call).await;
    let soonest = match result {
        Err(OutboundError::Open) => Some(SOONEST_MS),
        Err(OutboundError::Busy) => Some(SOONEST_BUSY_MS),
        _ => None,
    };
    if let Some(soonest) = soonest {
        let age = at.as_millisecond().saturating_sub(delivery.updated_at.as_millisecond());
        tx.send(step.next().message(tx, put_off(age, soonest, tx))?);
        return Ok(());
    }
    let now = tx.now();
    let status = result.as_ref().ok().map(|reply| reply.status);
    let is_success = status.is_some_and(|status| (200..300).contains(&status));
    delivery.note(Attempt {
        round: step.round,
        started_at: at,
        duration_ms: now.as_millisecond().saturating_sub(at.as_millisecond()),
        request: sent,
        response: result.as_ref().ok().map(|reply| shown(reply, challenge.is_some())),
        error: result.as_ref().err().map(describe),
    });
    let health: Option<Health> = health.map(|health| health.parse()).transpose()?;
    let was_failing = health.is_some_and(|health| health.failures > 0);
    let noted = if status == Some(410) {
        disable(tx, &webhook.id, "the receiver has answered that it is gone (410)").await
    } else if is_success && !was_failing {
        Ok(())
    } else {
        note_outcome(tx, &webhook.id, is_success).await
    };
    if let Err(error) = noted {
        tracing::warn!(%error, webhook = webhook.id, "the outcome of an attempt was not noted");
    }
    delivery.updated_at = now;
    delivery.next_attempt_at = None;
    if is_success {
        if let (Some(challenge), Ok(reply)) = (&challenge, &result) {
            if !repeats(reply, challenge) {
                let why = "the response is not the challenge, so the URL is not verified";
                give_up(tx, &document, delivery, why);
                return Ok(());
            }
            note_verified(tx, &webhook.id, &webhook.url).await?;
        }
        delivery.status = Status::Delivered;
        tx.update(&document, delivery).or_retry();
        return Ok(());
    }
    let attempts = if challenge.is_some() {
        TEST_ATTEMPTS - 1
    } else {
        SCHEDULE.len()
    };
    let delay = usize::try_from(step.failed)
        .ok()
        .and_then(|failed| SCHEDULE.get(..attempts)?.get(failed));
    match delay {
        Some(_) if status == Some(410) => give_up(tx, &document, delivery, "the receiver is gone"),
        Some(seconds) => {
            let next = Step {
                failed: step.failed.saturating_add(1),
                ..step.next()
            };
            let message = next.message(tx, spread(i64::from(*seconds) * 1_000, tx))?;
            delivery.next_attempt_at = message.not_before;
            tx.send(message);
            tx.update(&document, delivery).or_retry();
        }
        None => give_up(tx, &document, delivery, "every attempt has failed"),
    }
    Ok(())
}

/// The delay of a delivery that has waited for `age_ms` already.
fn put_off(age_ms: i64, soonest_ms: i64, platform: &Platform) -> i64 {
    spread((age_ms / 4).clamp(soonest_ms, LATEST_MS), platform)
}

/// Whether the response is the challenge, as text or in JSON. A page that shows all headers of its request is not.
fn repeats(reply: &Reply, challenge: &str) -> bool {
    #[derive(Deserialize)]
    struct Response {
        challenge: String,
    }
    let body = reply.text();
    let body = body.trim();
    body == challenge || serde_json::from_str::<Response>(body).is_ok_and(|response| response.challenge == challenge)
}

/// What the log shows of a response: of one to a challenge only the status, because the receiver may show in it what it got,
/// in whichever form.
fn shown(reply: &Reply, is_challenged: bool) -> Received {
    if !is_challenged {
        return Received::new(reply);
    }
    Received {
        status: reply.status,
        headers: BTreeMap::new(),
        body: "(responses are shown once the URL is verified)".into(),
    }
}

/// Adds up to 10% of jitter.
fn spread(wait_ms: i64, platform: &Platform) -> i64 {
    let part = i64::from(u16::from_le_bytes(random::bytes(&*platform.random)));
    wait_ms.saturating_add(wait_ms.saturating_mul(part) / (10 * 65_536))
}

fn request(webhook: &Webhook, delivery: &Delivery, at: Timestamp, signature: String) -> Call {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("user-agent", "Souk-Webhooks/1".to_owned()),
        ("webhook-id", delivery.id.clone()),
        ("webhook-timestamp", at.as_second().to_string()),
        ("webhook-signature", signature),
    ];
    Call {
        method: "POST".into(),
        url: webhook.url.clone(),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        body: delivery.payload.get().to_owned(),
        timeout_ms: TIMEOUT_MS,
        max_reply: USUAL_REPLY,
    }
}

fn give_up(tx: &JobTransaction, document: &Document, mut delivery: Delivery, why: &str) {
    delivery.status = Status::Failed;
    delivery.error = Some(why.to_owned());
    delivery.next_attempt_at = None;
    delivery.updated_at = tx.now();
    tx.update(document, delivery).or_retry();
}
