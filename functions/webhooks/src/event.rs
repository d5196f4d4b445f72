//! Events of webhooks.

use serde::{Deserialize, Serialize};
use souk_core::EventData;
use utoipa::ToSchema;

/// Data of the events about a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WebhookEvent {
    /// The id of the webhook.
    pub(crate) webhook: String,
    /// The account that the webhook belongs to.
    pub(crate) owner: String,
    /// A human-readable reason.
    pub(crate) reason: String,
}

/// `webhook.disabled`
pub(crate) const WEBHOOK_DISABLED: &str = "webhook.disabled";
/// `webhook.test`
pub(crate) const WEBHOOK_TEST: &str = "webhook.test";

impl EventData for WebhookEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (WEBHOOK_DISABLED, "A webhook that failed for too long was disabled."),
        (WEBHOOK_TEST, "A test event; it is sent only to the tested webhook."),
    ];
}
