//! Why an operation on webhooks failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

use crate::webhook::MAX_WEBHOOKS;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// There are as many webhooks as there may be.
        TOO_MANY_WEBHOOKS: CONFLICT "too_many_webhooks";
        /// The webhook is switched off. Enable it first.
        WEBHOOK_DISABLED: CONFLICT "webhook_disabled";
    }
}

/// Why an operation on webhooks failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WebhookError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The account, the vendor or the market has reached the maximum number of webhooks.
    #[error("there are {MAX_WEBHOOKS} webhooks already")]
    TooMany,
    /// The webhook is disabled, so nothing is sent to it.
    #[error("the webhook is switched off: enable it first")]
    Disabled,
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        match error {
            WebhookError::Failure(failure) => failure.into(),
            WebhookError::TooMany => Problem::new(problems::TOO_MANY_WEBHOOKS, detail),
            WebhookError::Disabled => Problem::new(problems::WEBHOOK_DISABLED, detail),
        }
    }
}
