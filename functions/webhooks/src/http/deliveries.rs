//! The routes of deliveries: the log, tests and replays.

use http::{Method, StatusCode};
use souk_kit::http::{Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, list_documents};
use souk_kit::jobs::tracked::Tracked;
use souk_kit::{Context, PageRequest, Stored};

use super::MEMBER;
use crate::delivery::{Delivery, NewReplay};
use crate::operations;

const MAX_BODY: usize = 1024;

pub(super) fn routes() -> Vec<Route> {
    const DELIVERY: &str = "/v1/webhooks/{id}/deliveries/{delivery}";
    const REPLAY: &str = "/v1/webhooks/{id}/deliveries/{delivery}/replay";
    let delivery = || Some(Schema::of::<Delivery>());
    let deliveries = Some(Schema::list_of::<Delivery>());
    vec![
        Route::new("testWebhook", Method::POST, "/v1/webhooks/{id}/test", MEMBER, test)
            .summary(
                "Send a test event to a webhook",
                "Sends the event `webhook.test` at once, even if the filter of the webhook excludes it. At most 20 in 20 \
                 minutes, those for new URLs included, for all webhooks of your account. A test to a \
                 URL that is not verified has the header `webhook-challenge`, three attempts, and no replays.",
            )
            .response(StatusCode::ACCEPTED, "The pending delivery", delivery())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("listDeliveries", Method::GET, "/v1/webhooks/{id}/deliveries", MEMBER, list)
            .summary("List the deliveries of a webhook", "The deliveries of the last 30 days, newest first.")
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of deliveries", deliveries),
        Route::new("getDelivery", Method::GET, DELIVERY, MEMBER, show)
            .summary("Get a delivery", "With the request and response of its attempts.")
            .response(StatusCode::OK, "The delivery", delivery()),
        Route::new("replayDelivery", Method::POST, REPLAY, MEMBER, replay)
            .summary(
                "Replay a delivery",
                "Sends the delivery again with the same `webhook-id`; the retry schedule starts over.",
            )
            .response(StatusCode::ACCEPTED, "The pending delivery", delivery())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("replayDeliveries", Method::POST, "/v1/webhooks/{id}/replay", MEMBER, replay_range)
            .summary(
                "Replay the deliveries of a time range",
                "Starts a job that replays up to 1,000 deliveries. Its result has their number, and the start of the \
                 remaining range if there are more.",
            )
            .body(Schema::of::<NewReplay>(), MAX_BODY)
            .response(
                StatusCode::ACCEPTED,
                "The job that replays the deliveries",
                Some(Schema::of::<Tracked>()),
            )
            .errors(&[StatusCode::CONFLICT]),
    ]
}

fn accepted(delivery: &Stored<Delivery>) -> Answer {
    let path = format!("/v1/webhooks/{}/deliveries/{}", delivery.webhook, delivery.id);
    Answer::document(&delivery.document).accepted(path)
}

async fn list(cx: Context, Path(id): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    let page = operations::list_deliveries(&cx, &id, &PageRequest::read(&params)?).await?;
    Ok(list_documents(&page))
}

async fn show(cx: Context, Path((id, delivery)): Path<(String, String)>) -> Result<Answer, Problem> {
    let delivery = operations::find_delivery(&cx, &id, &delivery).await?;
    Ok(Answer::document(&delivery.document))
}

async fn test(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Ok(accepted(&operations::send_test(&cx, &id).await?))
}

async fn replay(cx: Context, Path((id, delivery)): Path<(String, String)>) -> Result<Answer, Problem> {
    Ok(accepted(&operations::replay_delivery(&cx, &id, &delivery).await?))
}

async fn replay_range(cx: Context, Path(id): Path<String>, Json(new): Json<NewReplay>) -> Result<Answer, Problem> {
    let job = operations::replay_deliveries(&cx, &id, new).await?;
    Ok(Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id)))
}
