//! Operations on the health of a webhook. Each is a separate commit from that of the delivery.

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_kit::{Context, Failure, Stored};

use super::read_or_default;
use crate::event::{WEBHOOK_DISABLED, WebhookEvent};
use crate::health::Health;
use crate::webhook::{WEBHOOK, Webhook};

/// Reserves the next slot for a request to a webhook; returns the milliseconds until it is due.
pub(crate) async fn reserve_slot(cx: &Context, webhook: &str) -> Result<i64, Failure> {
    let now = cx.now().as_millisecond();
    update(cx, webhook, |health| health.reserve(now)).await
}

/// Records the outcome of a request, and disables the webhook if it has failed for too long.
pub(crate) async fn note_outcome(cx: &Context, webhook: &str, is_success: bool) -> Result<(), Failure> {
    let now = cx.now();
    let (is_due, failures) = update(cx, webhook, |health| (health.note(is_success, now), health.failures)).await?;
    if is_due {
        let reason = format!("{failures} attempts in a row have failed, over a day and more");
        disable(cx, webhook, &reason).await?;
    }
    Ok(())
}

async fn update<T: Serialize + DeserializeOwned>(
    cx: &Context,
    webhook: &str,
    change: impl Fn(&mut Health) -> T,
) -> Result<T, Failure> {
    let change = &change;
    cx.commit(|tx| async move {
        let key = Health::key(webhook);
        let (mut health, document) = read_or_default(&tx, key.clone()).await?;
        let result = change(&mut health);
        tx.create_or_update(key, document.as_ref(), health).or_retry();
        Ok(result)
    })
    .await
}

/// Disables a webhook and emits `webhook.disabled`, in one commit; does nothing if it is already disabled or deleted.
pub(crate) async fn disable(cx: &Context, id: &str, reason: &str) -> Result<(), Failure> {
    let was_enabled = cx
        .commit(|tx| async move {
            let found: Option<Stored<Webhook>> = tx.read(WEBHOOK.key(id)).await?;
            let Some(old) = found.filter(|webhook| webhook.enabled) else {
                return Ok::<bool, Failure>(false);
            };
            let data = WebhookEvent {
                webhook: old.id.clone(),
                owner: old.owner.clone(),
                reason: reason.to_owned(),
            };
            tx.emit(WEBHOOK_DISABLED, &data);
            let new = Webhook {
                enabled: false,
                disabled_reason: Some(reason.to_owned()),
                updated_at: tx.now(),
                ..old.value
            };
            tx.update(&old.document, new).or_retry();
            Ok(true)
        })
        .await?;
    if was_enabled {
        tracing::warn!(webhook = id, reason, "webhook disabled");
    }
    Ok(())
}
