//! Webhooks (PS-20): events, sent to other systems as [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! 1. The job `route` gets every event and finds the webhooks that receive it. For each it commits a *delivery* together with
//!    the message for the first attempt.
//! 2. The job `deliver` makes one attempt, notes it in the delivery, and asks for the next one by another message until the
//!    schedule ends.
//! 3. `health` keeps the rate of each webhook and disables those that have failed for too long.
//!
//! **Atomicity.** The deliveries of an event, their messages and the mark that the event is routed are one commit: no event is
//! routed twice, and none is lost. An attempt and the message for the next one are one commit. If the process dies between a
//! call and that commit, the call is repeated.

mod delivery;
mod error;
mod event;
mod health;
mod http;
mod jobs;
pub mod operations;
mod secret;
mod webhook;

use souk_core::EventType;
use souk_kit::Function;

pub use delivery::{Attempt, Delivery, NewReplay, Received, Sent, Status};
pub use error::WebhookError;
pub use secret::NewSecret;
pub use webhook::{NewWebhook, Scope, Webhook};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "webhooks",
        summary: "Events, delivered to other systems.",
        routes: http::routes(),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        kinds: &[webhook::WEBHOOK],
        events: EventType::of::<event::WebhookEvent>().collect(),
        ..Function::default()
    }
}
