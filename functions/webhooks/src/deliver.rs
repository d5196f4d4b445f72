//! The job that makes one attempt.
//!
//! A failed attempt is not a failed job. The job commits what came of the attempt, whatever it was, together with the
//! message that asks for the next one, due by [`SCHEDULE`]. That message is another piece of work, so its id is another:
//! `{delivery}.{round}.{number}`, where the number counts the messages of a round. If we die after the call and before the
//! commit, the message comes again and so does the call: at least once, with the same `webhook-id`.
//!
//! Nobody is called, and no attempt is used up, while the webhook's circuit is open (`souk_kit::outbound`: each
//! webhook is a dependency of its own, so that those of one host are no concern of each other), its rate is used up, or as
//! many calls as its owner may have at once are under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use souk_core::outbound::{Call, OutboundError};
use souk_core::{Condition, Message, Timestamp, random};
use souk_kit::Platform;
use souk_kit::work::{Effects, JobError, cause_of};

use crate::delivery::{Attempt, Delivery, Received, Sent, Status, Step, describe};
use crate::health::{self, Health};
use crate::secret::Secrets;
use crate::webhook::{WEBHOOK, Webhook};

/// The job's name.
pub(crate) const JOB: &str = "webhooks.deliver";
/// How long after an attempt that failed the next one is due, in seconds, each with up to a tenth more. Nine attempts in
/// 22 hours.
pub(crate) const SCHEDULE: [u32; 8] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200];
/// How long an attempt may take, in milliseconds.
pub(crate) const TIMEOUT_MS: u32 = 10_000;
/// How soon a delivery comes back to a circuit that is open, in milliseconds: when it has waited a quarter longer than it
/// has already, within these bounds, so that many that wait for long are not a load by waiting.
const SOONEST_MS: i64 = 15_000;
/// The same where its owner's share of calls was under way.
const SOONEST_BUSY_MS: i64 = 1_000;
const LATEST_MS: i64 = 3_600_000;

pub(crate) async fn deliver(platform: Arc<Platform>, message: Message) -> Result<Effects, JobError> {
    let step: Step = serde_json::from_value(message.body.clone()).map_err(|e| JobError::Fatal(e.to_string()))?;
    let keys = [
        Delivery::key(&step.webhook, &step.delivery),
        WEBHOOK.key(&step.webhook),
        Secrets::key(&step.webhook),
        Health::key(&step.webhook),
    ];
    let mut found = platform.documents.get(&keys).await?.into_iter();
    let mut next = || found.next().flatten();
    let (delivery, webhook, secrets, health) = (next(), next(), next(), next());
    let Some(document) = delivery else {
        return Ok(Effects::default());
    };
    let mut delivery: Delivery = document.parse()?;
    // Another round has begun since.
    if delivery.round != step.round || delivery.status != Status::Pending {
        return Ok(Effects::default());
    }
    let condition = Condition::Version(document.version);
    let (Some(webhook), Some(secrets)) = (webhook, secrets) else {
        return give_up(&platform, delivery, condition, "the webhook was removed");
    };
    let (webhook, secrets): (Webhook, Secrets) = (webhook.parse()?, secrets.parse()?);
    if !webhook.enabled {
        return give_up(&platform, delivery, condition, "the webhook is switched off");
    }
    if !step.admitted {
        let wait = health::take_turn(&platform, &webhook.id).await?;
        if wait > 0 {
            return postpone(&platform, &step, true, wait, &message);
        }
    }
    let at = platform.now();
    let Some(signature) = secrets.sign(&platform.keys, &delivery.id, at, delivery.payload.get()) else {
        let why = "the secret can no longer be opened, because the market's keys have changed: rotate it";
        return give_up(&platform, delivery, condition, why);
    };
    let call = request(&webhook, &delivery, at, signature);
    let sent = Sent {
        url: call.url.clone(),
        headers: call.headers.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let result = platform.outbound.call_for(&webhook.owner, &webhook.id, call).await;
    let soonest = match result {
        Err(OutboundError::Open) => Some(SOONEST_MS),
        Err(OutboundError::Busy) => Some(SOONEST_BUSY_MS),
        _ => None,
    };
    if let Some(soonest) = soonest {
        let age = at.as_millisecond().saturating_sub(delivery.updated_at.as_millisecond());
        let wait = spread((age / 4).clamp(soonest, LATEST_MS), &platform);
        return postpone(&platform, &step, false, wait, &message);
    }
    let now = platform.now();
    let status = result.as_ref().ok().map(|reply| reply.status);
    let healthy = status.is_some_and(|status| (200..300).contains(&status));
    delivery.note(Attempt {
        round: step.round,
        at,
        duration_ms: now.as_millisecond().saturating_sub(at.as_millisecond()),
        request: sent,
        response: result.as_ref().ok().map(Received::new),
        error: result.as_ref().err().map(describe),
    });
    let was_failing = health
        .map(|health| health.parse::<Health>())
        .transpose()?
        .is_some_and(|h| h.failures > 0);
    let cause = cause_of(&message);
    let noted = if status == Some(410) {
        let reason = "the receiver has answered that it is gone (410)".to_owned();
        health::switch_off(&platform, &webhook.id, reason, &cause).await
    } else if healthy && !was_failing {
        Ok(())
    } else {
        health::note(&platform, &webhook.id, healthy, &cause).await
    };
    if let Err(error) = noted {
        tracing::warn!(%error, webhook = webhook.id, "the outcome of an attempt was not noted");
    }
    delivery.updated_at = now;
    delivery.next_attempt_at = None;
    if healthy {
        delivery.status = Status::Delivered;
        return effects(&delivery, condition, None);
    }
    let delay = usize::try_from(step.failed)
        .ok()
        .and_then(|failed| SCHEDULE.get(failed));
    match delay {
        Some(_) if status == Some(410) => give_up(&platform, delivery, condition, "the receiver is gone"),
        Some(seconds) => {
            let next = Step {
                failed: step.failed.saturating_add(1),
                number: step.number.saturating_add(1),
                admitted: false,
                ..step
            };
            let wait = spread(i64::from(*seconds) * 1_000, &platform);
            let message = next.message(&platform, wait, message.trace.clone())?;
            delivery.next_attempt_at = message.not_before;
            effects(&delivery, condition, Some(message))
        }
        None => give_up(&platform, delivery, condition, "every attempt has failed"),
    }
}

/// Up to a tenth more.
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
    }
}

/// The same attempt, later.
fn postpone(
    platform: &Platform,
    step: &Step,
    admitted: bool,
    wait_ms: i64,
    message: &Message,
) -> Result<Effects, JobError> {
    let next = Step {
        number: step.number.saturating_add(1),
        admitted,
        ..step.clone()
    };
    Ok(Effects {
        messages: vec![next.message(platform, wait_ms, message.trace.clone())?],
        ..Effects::default()
    })
}

fn give_up(platform: &Platform, mut delivery: Delivery, condition: Condition, why: &str) -> Result<Effects, JobError> {
    delivery.status = Status::Failed;
    delivery.error = Some(why.to_owned());
    delivery.next_attempt_at = None;
    delivery.updated_at = platform.now();
    effects(&delivery, condition, None)
}

fn effects(delivery: &Delivery, condition: Condition, next: Option<Message>) -> Result<Effects, JobError> {
    Ok(Effects {
        changes: vec![delivery.put(condition)?],
        messages: next.into_iter().collect(),
        ..Effects::default()
    })
}
