//! The routes of webhooks and their deliveries.

mod deliveries;
mod webhooks;

use souk_kit::http::{Access, Notification, Route, Schema};

use crate::delivery::Payload;

const MEMBER: Access = Access::Member;

/// How receivers get events.
pub(crate) fn notification() -> Notification {
    Notification {
        body: Schema::of::<Payload<'_>>(),
        description: "Sent by POST to the URL of each webhook whose filter matches. See `POST /v1/webhooks` for signatures, retries \
                      and the verification of the URL. Respond with 2xx within 10 seconds.",
        headers: &[
            ("webhook-id", "The id of the delivery, the same in all its attempts."),
            ("webhook-timestamp", "When the attempt was made, in seconds since 1970."),
            (
                "webhook-signature",
                "The signature according to Standard Webhooks: `v1,` and base64; several are separated by spaces.",
            ),
        ],
    }
}

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = webhooks::routes();
    routes.extend(deliveries::routes());
    routes
}
