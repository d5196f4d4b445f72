//! Why an operation on webhooks failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

use crate::webhook::MAX_WEBHOOKS;

/// Why an operation on webhooks failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WebhookError {
    /// A failure that any operation can have.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The account, the vendor or the market has as many webhooks as it may have.
    #[error("there are {MAX_WEBHOOKS} webhooks already")]
    TooMany,
    /// Nothing is sent to a webhook that is disabled.
    #[error("the webhook is switched off: enable it first")]
    Disabled,
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        match error {
            WebhookError::Failure(failure) => failure.into(),
            WebhookError::TooMany => Problem::conflict("too_many_webhooks", detail),
            WebhookError::Disabled => Problem::conflict("webhook_disabled", detail),
        }
    }
}
