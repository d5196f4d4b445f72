//! Verification of URLs: nobody can have Souk send events to a receiver that does not want them.
//!
//! Until a URL is verified, only `webhook.test` is sent to it, with the header `webhook-challenge`. The receiver verifies it
//! by responding with that value; or the owner reads it from the request and passes it to [`verify_webhook`]. Tests are
//! limited per account, whichever webhooks they are for.

use souk_core::Event;
use souk_kit::{By, Context, Failure, Fault, Limit, Stored, Transaction};

use super::{find_webhook, start_delivery};
use crate::delivery::Delivery;
use crate::error::WebhookError;
use crate::event::{WEBHOOK_TEST, WebhookEvent};
use crate::webhook::{Verification, WEBHOOK, Webhook, challenge};

/// Tests of an account. Each is a request to a receiver that has not agreed to it.
pub(crate) const TESTS: Limit = Limit::strict("webhook-tests", 20, 1_200, By::Subject);

/// Sends `webhook.test` to a webhook, even if its filter excludes the event.
pub async fn send_test(cx: &Context, id: &str) -> Result<Stored<Delivery>, WebhookError> {
    cx.commit(|tx| async move {
        let webhook = find_webhook(&tx, id).await?;
        if !webhook.enabled {
            return Err(WebhookError::Disabled);
        }
        start_test(&tx, &webhook, "someone tries it").await
    })
    .await
}

/// Starts the delivery of `webhook.test`.
pub(super) async fn start_test(
    tx: &Transaction<WebhookError>,
    webhook: &Webhook,
    reason: &str,
) -> Result<Stored<Delivery>, WebhookError> {
    tx.count(&TESTS, &tx.signed_in()?.account).await?;
    let data = WebhookEvent {
        webhook: webhook.id.clone(),
        owner: webhook.owner.clone(),
        reason: reason.to_owned(),
    };
    // The event is not emitted, because no other webhook or job may get it.
    let event = Event::new(WEBHOOK_TEST, &data, &tx.cause(), &*tx.clock, &*tx.random).map_err(Failure::from)?;
    Ok(start_delivery(tx, webhook, &event, None)?)
}

/// Verifies the URL of a webhook by the challenge that was sent to it.
pub async fn verify_webhook(cx: &Context, id: &str, input: &Verification) -> Result<Stored<Webhook>, Failure> {
    cx.commit(|tx| async move {
        let old = find_webhook(&tx, id).await?;
        if input.challenge != challenge(&tx.keys, &old) {
            let fault = Fault::invalid("is not the one that was sent to this URL");
            return Err(Failure::invalid("challenge", fault));
        }
        if old.verified {
            return Ok(old);
        }
        let new = verified(&old, tx.now());
        Ok(tx.update(&old.document, new).or_retry())
    })
    .await
}

/// Notes that the receiver at `url` has repeated the challenge.
pub(crate) async fn note_verified(cx: &Context, id: &str, url: &str) -> Result<(), Failure> {
    cx.commit(|tx| async move {
        let found: Option<Stored<Webhook>> = tx.read(WEBHOOK.key(id)).await?;
        if let Some(old) = found.filter(|old| old.url == url && !old.verified) {
            let new = verified(&old, tx.now());
            tx.update(&old.document, new).or_retry();
        }
        Ok(())
    })
    .await
}

fn verified(old: &Webhook, now: souk_core::Timestamp) -> Webhook {
    Webhook {
        verified: true,
        updated_at: now,
        ..old.clone()
    }
}
