//! Events of webhooks.

use serde::{Deserialize, Serialize};
use souk_core::EventData;
use utoipa::ToSchema;

/// Something happened to a webhook that its owner did not do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct WebhookEvent {
    /// The id of the webhook.
    pub(crate) webhook: String,
    /// The account that the webhook belongs to.
    pub(crate) owner: String,
    /// Why it happened, for people.
    pub(crate) reason: String,
}

/// `webhook.disabled`
pub(crate) const WEBHOOK_DISABLED: &str = "webhook.disabled";
/// `webhook.test`
pub(crate) const WEBHOOK_TEST: &str = "webhook.test";

impl EventData for WebhookEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (WEBHOOK_DISABLED, "A webhook that failed for too long was disabled."),
        (WEBHOOK_TEST, "A test of a webhook; it is sent to that webhook alone."),
    ];
}
