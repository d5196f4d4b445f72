//! Webhooks (PS-20): events, sent to other systems as [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! 1. `route` gets every event and finds the webhooks of all whom it concerns; for each it commits a *delivery* together
//!    with the message that begins it.
//! 2. `deliver` makes one attempt, notes it in the delivery, and asks for the next one by another message until the
//!    schedule ends.
//! 3. `health` keeps the rate of each webhook and switches off what has failed for too long.
//!
//! **Atomicity.** A delivery and its message are one commit, marked with the event's: no event is routed twice, and none
//! gets lost. An attempt and its successor's message are one commit. Dying between a call and that commit repeats the call.

mod deliver;
mod delivery;
mod health;
mod log_routes;
mod replay;
mod route;
mod routes;
mod secret;
mod webhook;

use http::{Method, StatusCode};
use souk_core::{Lane, Role};
use souk_kit::work::tracked::Tracked;
use souk_kit::work::{Job, Subscription};
use souk_kit::{Access, Function, Param, Route, Schema};

pub use delivery::Delivery;
pub use webhook::{NewWebhook, Webhook};

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    event: "*",
    job: route::JOB,
    // Not the lane of the deliveries: no receiver, however slow, holds up the events of others.
    lane: Lane::Default,
}];

/// What receivers need to know; `deliver` and `health` make it true.
const CONTRACT: &str = "Each event is sent by POST as JSON (`Payload`), signed as Standard Webhooks says: headers `webhook-id` (the \
    delivery, the same in all its attempts), `webhook-timestamp` and `webhook-signature`. Answer with 2xx within 10 seconds; anything \
    else, redirects included, is a failed attempt. It is tried again after 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h and 12 h, each with up \
    to a tenth more; then the delivery has failed, and can be replayed. Events may arrive more than once and out of order. At most \
    20 deliveries come at once and then 10 a second. After five failures in a row a webhook is left alone for half a minute and \
    longer, which uses up no attempts. 410 switches it off at once, 20 failures in a row over a day do so too: the event \
    `webhook.disabled` tells of it.";

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let mut routes = webhook_routes();
    routes.extend(log_rows());
    let jobs = vec![
        Job::fold(
            route::JOB,
            "Finds the webhooks that want an event.",
            route::BATCH,
            route::route,
        ),
        Job::each(deliver::JOB, "Sends an event to a webhook, once.", deliver::deliver),
        Job::each(
            replay::JOB,
            "Sends the events of a range of time again.",
            replay::replay,
        ),
    ];
    Function {
        jobs,
        subscriptions: SUBSCRIPTIONS,
        ..Function::new("webhooks", "Events, delivered to other systems.", routes)
    }
}

const MEMBER: Access = Access::Role(Role::Member);

fn webhook_routes() -> Vec<Route> {
    const LIST: &[Param] = &[
        Param::LIMIT,
        Param::CURSOR,
        Param::text("vendor", "Those of this vendor, by id or slug."),
        Param {
            name: "scope",
            about: "`market`: those that get everything; for admins.",
            schema: r#"{"type":"string","enum":["market"]}"#,
        },
    ];
    vec![
        Route::new(Method::GET, "/v1/webhooks", MEMBER, routes::list)
            .about("List webhooks", "One's own, or a vendor's; oldest first.")
            .params(LIST)
            .answers(StatusCode::OK, "A page of webhooks", Some(Schema::list_of::<Webhook>())),
        Route::new(Method::POST, "/v1/webhooks", MEMBER, routes::create)
            .about("Add a webhook", CONTRACT)
            .takes(Schema::of::<NewWebhook>(), 16 * 1024)
            .answers(
                StatusCode::CREATED,
                "The webhook with its secret, which is not shown again",
                Some(Schema::of::<routes::CreatedWebhook>()),
            )
            .fails(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/webhooks/{id}", MEMBER, routes::show)
            .about("Show a webhook", "Without its secret.")
            .answers(StatusCode::OK, "The webhook", Some(Schema::of::<Webhook>())),
        Route::new(Method::PATCH, "/v1/webhooks/{id}", MEMBER, routes::edit)
            .about(
                "Change a webhook",
                "To enable one that was switched off forgives its failures.",
            )
            .takes(Schema::patch_of::<NewWebhook>(), 16 * 1024)
            .answers(StatusCode::OK, "The webhook", Some(Schema::of::<Webhook>())),
        Route::new(Method::DELETE, "/v1/webhooks/{id}", MEMBER, routes::remove)
            .about("Remove a webhook", "What is under way to it comes to nothing.")
            .answers(StatusCode::NO_CONTENT, "It is gone", None),
        Route::new(Method::POST, "/v1/webhooks/{id}/rotate", MEMBER, routes::rotate)
            .about(
                "Replace the secret",
                "For 24 hours deliveries are signed with the old one as well: two signatures, separated by a space.",
            )
            .answers(
                StatusCode::OK,
                "The new secret",
                Some(Schema::of::<routes::NewSecret>()),
            ),
    ]
}

fn log_rows() -> Vec<Route> {
    const PAGE: &[Param] = &[Param::LIMIT, Param::CURSOR];
    let delivery = || Some(Schema::of::<Delivery>());
    vec![
        Route::new(Method::POST, "/v1/webhooks/{id}/test", MEMBER, log_routes::test)
            .about("Send a test event", "`webhook.test`, now, whatever the filter.")
            .answers(StatusCode::ACCEPTED, "The delivery, under way", delivery())
            .fails(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/webhooks/{id}/deliveries", MEMBER, log_routes::list)
            .about("List deliveries", "The log of 30 days, newest first.")
            .params(PAGE)
            .answers(
                StatusCode::OK,
                "A page of deliveries",
                Some(Schema::list_of::<Delivery>()),
            ),
        Route::new(
            Method::GET,
            "/v1/webhooks/{id}/deliveries/{delivery}",
            MEMBER,
            log_routes::show,
        )
        .about("Show a delivery", "With its attempts.")
        .answers(StatusCode::OK, "The delivery", delivery()),
        Route::new(
            Method::POST,
            "/v1/webhooks/{id}/deliveries/{delivery}/replay",
            MEMBER,
            log_routes::replay_one,
        )
        .about(
            "Send a delivery again",
            "With the same `webhook-id`; the schedule begins anew.",
        )
        .answers(StatusCode::ACCEPTED, "The delivery, under way", delivery())
        .fails(&[StatusCode::CONFLICT]),
        Route::new(
            Method::POST,
            "/v1/webhooks/{id}/replay",
            MEMBER,
            log_routes::replay_range,
        )
        .about(
            "Send a range of time again",
            "Up to 1,000 deliveries; the job's result says how many, and from when on there are more.",
        )
        .takes(Schema::of::<log_routes::NewReplay>(), 1024)
        .answers(
            StatusCode::ACCEPTED,
            "The job that does it",
            Some(Schema::of::<Tracked>()),
        )
        .fails(&[StatusCode::CONFLICT]),
    ]
}
