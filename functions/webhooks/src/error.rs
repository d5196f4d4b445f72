//! Why an operation on webhooks failed.

use http::StatusCode;
use souk_kit::Failure;
use souk_kit::http::Problem;

use crate::webhook::MAX_WEBHOOKS;

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
    /// The account has sent too many tests; the seconds until it may send the next.
    #[error("too many tests were sent for your account, which sends one whenever a URL is new: wait a little")]
    TooManyTests(u32),
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        match error {
            WebhookError::Failure(failure) => failure.into(),
            WebhookError::TooMany => Problem::conflict("too_many_webhooks", detail),
            WebhookError::Disabled => Problem::conflict("webhook_disabled", detail),
            WebhookError::TooManyTests(seconds) => {
                let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tests", detail);
                problem.retry_after = Some(seconds);
                problem
            }
        }
    }
}
