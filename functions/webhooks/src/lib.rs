//! Webhooks (PS-20): events are sent to other systems according to [Standard
//! Webhooks](https://www.standardwebhooks.com).
//!
//! 1. The job `route` gets every event and finds the webhooks that receive it. For each it commits a *delivery*
//!    together with the message for the first attempt.
//! 2. The job `deliver` makes one attempt, records it in the delivery, and sends the message for the next attempt until
//!    the retry schedule ends.
//! 3. `health` limits the rate of each webhook and disables webhooks that have failed for too long.
//! 4. Until the receiver has shown that it wants events (`operations::verification`), only tests are sent to it.
//!
//! **Atomicity.** The deliveries of an event, their messages and the inbox entry of the event are one commit: no event
//! is routed twice, and none is lost. The outcome of an attempt and the message for the next attempt are one commit. If
//! the process crashes between a request and that commit, the request is repeated.

mod delivery;
mod error;
mod event;
mod health;
mod http;
mod jobs;
pub mod operations;
mod permissions;
mod secret;
mod webhook;

use souk_core::EventType;
use souk_kit::Partitions::Documents;
use souk_kit::{Function, StoreUse};

pub use delivery::{Attempt, Delivery, NewReplay, Received, Sent, Status};
pub use error::WebhookError;
pub use secret::NewSecret;
pub use webhook::{NewWebhook, Scope, Verification, Webhook};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "webhooks",
        summary: "Delivery of events to other systems.",
        problems: error::problems::ALL,
        routes: http::routes(),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        kinds: &[webhook::WEBHOOK],
        events: EventType::of::<event::WebhookEvent>().collect(),
        notification: Some(http::notification()),
        limits: &[&operations::TESTS],
        store: StoreUse {
            reads: &[
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("webhook/*"),
                Documents("webhooks-of/*"),
                Documents("webhook-secret/*"),
                Documents("deliveries/*"),
            ],
            writes: &[
                Documents("job/*"),
                Documents("webhook/*"),
                Documents("webhooks-of/*"),
                Documents("webhook-secret/*"),
                Documents("deliveries/*"),
                Documents("webhook-health/*"),
            ],
        },
        job_store: StoreUse {
            reads: &[
                Documents("role/*"),
                Documents("account/*"),
                Documents("vendor/*"),
                Documents("product/*"),
                Documents("category/*"),
                Documents("comment/*"),
                Documents("webhook/*"),
                Documents("webhooks-of/*"),
                Documents("webhook-secret/*"),
                Documents("deliveries/*"),
                Documents("webhook-health/*"),
            ],
            writes: &[
                Documents("webhook/*"),
                Documents("webhook-health/*"),
                Documents("deliveries/*"),
            ],
        },
        permissions: &[&permissions::WEBHOOKS_MARKET, &permissions::WEBHOOKS_WRITE],
        ..Function::default()
    }
}
