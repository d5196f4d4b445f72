//! Operations on deliveries.
//!
//! **Atomicity.** A round of attempts and the message for its first attempt are one commit.

use serde_json::Value;
use souk_core::{Document, Event, Query, id as ids};
use souk_kit::jobs::tracked::{self, Tracked};
use souk_kit::{Context, Failure, PageRequest, SortedPage, Stored, Transaction};

use super::find_webhook;
use crate::delivery::{Delivery, NewReplay, PREFIX, Status, partition};
use crate::error::WebhookError;
use crate::event::WEBHOOK_TEST;
use crate::jobs::deliver::Step;
use crate::jobs::replay::Range;
use crate::webhook::Webhook;

/// A page of the deliveries of a webhook, newest first.
pub async fn list_deliveries(cx: &Context, webhook: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let log = partition(&find_webhook(cx, webhook).await?.id);
    let query = Query {
        descending: true,
        ..Query::partition(log.clone(), page.limit)
    };
    cx.list(query, page, &log).await
}

/// A delivery of a webhook.
pub async fn find_delivery(cx: &Context, webhook: &str, id: &str) -> Result<Stored<Delivery>, Failure> {
    read_delivery(cx, &*find_webhook(cx, webhook).await?, id).await
}

/// Starts a new round of attempts of a delivery.
pub async fn replay_delivery(cx: &Context, webhook: &str, id: &str) -> Result<Stored<Delivery>, WebhookError> {
    cx.commit(|tx| async move {
        let webhook = find_enabled(&tx, webhook).await?;
        let Stored { mut value, document } = read_delivery(&tx, &webhook, id).await?;
        begin_round(&tx, &mut value, Some(&webhook.owner), None)?;
        Ok(tx.update(&document, value).or_retry())
    })
    .await
}

/// Starts the job that replays the deliveries of a time range.
pub async fn replay_deliveries(cx: &Context, webhook: &str, new: NewReplay) -> Result<Tracked, WebhookError> {
    let owner = &cx.signed_in()?.account;
    let (Some(from), Some(to)) = (new.from, new.to) else {
        return Err(Failure::Invalid(Vec::new()).into());
    };
    cx.commit(|tx| async move {
        let range = Range {
            webhook: find_enabled(&tx, webhook).await?.value.id,
            from,
            to,
            status: new.status,
        };
        Ok(tracked::start(&tx, &range, owner)?)
    })
    .await
}

/// Creates the delivery of an event to a webhook, perhaps with a snapshot of what it is about, and starts its first round.
pub(crate) fn start_delivery<E>(
    tx: &Transaction<E>,
    webhook: &Webhook,
    event: &Event,
    snapshot: Option<Value>,
) -> Result<Stored<Delivery>, Failure> {
    let mut delivery = Delivery::new(webhook, event, snapshot, tx.now(), &*tx.random)?;
    let url = (event.name == WEBHOOK_TEST).then(|| webhook.url.clone());
    begin_round(tx, &mut delivery, Some(&webhook.owner), url)?;
    let (key, expires_at) = (Delivery::key(&webhook.id, &delivery.id), delivery.expires_at());
    Ok(tx.create(key, delivery).expires_at(expires_at).or_retry())
}

/// Starts a new round of attempts, as work of this account. Messages of earlier rounds no longer have an effect. The first
/// round of a test is for one URL.
pub(crate) fn begin_round<E>(
    tx: &Transaction<E>,
    delivery: &mut Delivery,
    owner: Option<&str>,
    url: Option<String>,
) -> Result<(), Failure> {
    delivery.round = delivery.round.saturating_add(1);
    delivery.status = Status::Pending;
    delivery.error = None;
    delivery.updated_at = tx.now();
    delivery.next_attempt_at = Some(delivery.updated_at);
    let step = Step {
        webhook: delivery.webhook.clone(),
        delivery: delivery.id.clone(),
        round: delivery.round,
        failed: 0,
        number: 0,
        admitted: false,
        url,
    };
    let mut message = step.message(tx, 0)?;
    message.trace = delivery.trace.clone();
    message.account = owner.map(str::to_owned);
    tx.send(message);
    Ok(())
}

async fn find_enabled(cx: &Context, id: &str) -> Result<Stored<Webhook>, WebhookError> {
    let webhook = find_webhook(cx, id).await?;
    if webhook.enabled {
        Ok(webhook)
    } else {
        Err(WebhookError::Disabled)
    }
}

async fn read_delivery(cx: &Context, webhook: &Webhook, id: &str) -> Result<Stored<Delivery>, Failure> {
    const NOT_FOUND: Failure = Failure::NotFound("delivery");
    if !ids::is(PREFIX, id) {
        return Err(NOT_FOUND);
    }
    cx.read(Delivery::key(&webhook.id, id)).await?.ok_or(NOT_FOUND)
}
