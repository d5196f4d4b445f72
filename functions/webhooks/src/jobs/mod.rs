//! The jobs of webhooks.

pub(crate) mod deliver;
pub(crate) mod replay;
pub(crate) mod route;

use souk_core::Lane;
use souk_core::queue::Payload as _;
use souk_kit::Subscription;
use souk_kit::jobs::Job;

pub(crate) const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    event: "*",
    job: route::RoutedEvent::JOB,
    // Not the lane of the deliveries: a slow receiver must not delay the routing of events.
    lane: Lane::Default,
    fold: None,
}];

pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job::batch(
            "Creates the deliveries of an event to the webhooks that receive it.",
            route::BATCH,
            route::route,
        ),
        Job::single("Makes one attempt to deliver an event to a webhook.", deliver::deliver),
        Job::single("Replays the deliveries of a time range.", replay::replay),
    ]
}
