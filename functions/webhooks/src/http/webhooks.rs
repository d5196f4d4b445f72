//! The routes of webhooks.

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::http::{Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, list_documents};
use souk_kit::{Context, Fault, IfMatch, MergePatch, PageRequest};

use super::MEMBER;
use crate::operations::{self, Listed};
use crate::secret::NewSecret;
use crate::webhook::{NewWebhook, Verification, Webhook};

const MAX_BODY: usize = 16 * 1024;

/// The contract with receivers; `jobs::deliver` and `health` implement it.
const CONTRACT: &str = "Each event is sent by POST as JSON (`WebhookEvent`), signed according to Standard Webhooks with \
    the headers `webhook-id` (the id of the delivery, the same in all its attempts), `webhook-timestamp` and \
    `webhook-signature`. Respond with 2xx within 10 seconds. Any other response, including a redirect, is a failed \
    attempt. Retries follow after 5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h and 12 h, each with up to 10% of jitter \
    added; then the delivery has failed, and can be replayed. Events may be delivered more than once and out of \
    order. At most 20 deliveries are sent at once, and then 10 per second. After five consecutive failures, nothing \
    is sent to the webhook for at least half a minute, which does not count as an attempt. A 410 disables the \
    webhook at once, and so do 20 consecutive failures over at least a day; the event `webhook.disabled` reports it. \
    **Verification.** When a webhook gets a URL, `webhook.test` is sent to it with the header `webhook-challenge`. Respond \
    with 2xx and that value, as plain text or as `{\"challenge\": \"…\"}`; or read it from the request and pass it to \
    `POST /v1/webhooks/{id}/verify`. Until then all other events wait, for at most a day. **Snapshots.** Events about an \
    update name the fields that `changed`. With `snapshot`, each payload also has the product, vendor, category or comment \
    that the event is about, as it is when the delivery is made.";

/// A webhook with its secret.
#[derive(Serialize, utoipa::ToSchema)]
struct CreatedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// Secret that deliveries are signed with. Keep it: it is not shown again.
    #[schema(pattern = "^whsec_")]
    secret: String,
    // A separate field, because the flattened webhook is serialized without its version.
    #[schema(ignore)]
    version: u64,
}

pub(super) fn routes() -> Vec<Route> {
    const LIST: &[Param] = &[
        Param::LIMIT,
        Param::CURSOR,
        Param::text("vendor", "Webhooks of this vendor, by id or slug."),
        Param {
            name: "scope",
            summary: "`market`: webhooks that receive all events; takes the permission `webhooks:market`.",
            schema: r#"{"type":"string","enum":["market"]}"#,
        },
    ];
    let webhook = || Some(Schema::of::<Webhook>());
    vec![
        Route::new("listWebhooks", Method::GET, "/v1/webhooks", MEMBER, list)
            .summary(
                "List webhooks",
                "The webhooks of your account or of a vendor, oldest first.",
            )
            .params(LIST)
            .response(StatusCode::OK, "A page of webhooks", Some(Schema::list_of::<Webhook>())),
        Route::new("createWebhook", Method::POST, "/v1/webhooks", MEMBER, create)
            .summary("Create a webhook", CONTRACT)
            .body(Schema::of::<NewWebhook>(), MAX_BODY)
            .response(
                StatusCode::CREATED,
                "The webhook with its secret, which is not shown again",
                Some(Schema::of::<CreatedWebhook>()),
            )
            .secret()
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getWebhook", Method::GET, "/v1/webhooks/{id}", MEMBER, show)
            .summary("Get a webhook", "Without its secret.")
            .response(StatusCode::OK, "The webhook", webhook()),
        Route::new("updateWebhook", Method::PATCH, "/v1/webhooks/{id}", MEMBER, edit)
            .summary(
                "Update a webhook",
                "Enabling a disabled webhook resets its failure count. A new URL has to be verified.",
            )
            .body(
                Schema::patch_of::<NewWebhook>("UpdateWebhook").without(&["scope", "vendor"]),
                MAX_BODY,
            )
            .response(StatusCode::OK, "The webhook", webhook()),
        Route::new("deleteWebhook", Method::DELETE, "/v1/webhooks/{id}", MEMBER, delete)
            .summary("Delete a webhook", "Its pending deliveries fail.")
            .response(StatusCode::NO_CONTENT, "The webhook was deleted", None),
        Route::new(
            "verifyWebhook",
            Method::POST,
            "/v1/webhooks/{id}/verify",
            MEMBER,
            verify,
        )
        .summary(
            "Verify the URL of a webhook",
            "For receivers that do not respond with the challenge themselves.",
        )
        .body(Schema::of::<Verification>(), MAX_BODY)
        .response(StatusCode::OK, "The verified webhook", webhook()),
        Route::new(
            "rotateWebhookSecret",
            Method::POST,
            "/v1/webhooks/{id}/rotate",
            MEMBER,
            rotate,
        )
        .summary(
            "Rotate the secret of a webhook",
            "For 24 hours, deliveries are also signed with the previous secret: they have two signatures, separated by \
                 a space.",
        )
        .response(StatusCode::OK, "The new secret", Some(Schema::of::<NewSecret>()))
        .secret(),
    ]
}

async fn list(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let listed = match (params.get("scope"), params.get("vendor")) {
        (None, None) => Listed::Own,
        (None, Some(vendor)) => Listed::Vendor(vendor),
        (Some("market"), None) => Listed::Market,
        _ => {
            return Err(Problem::bad_parameter(
                "scope",
                Fault::not_one_of(&["market"]).because("must be market, and without a vendor"),
            ));
        }
    };
    let page = operations::list_webhooks(&cx, listed, &PageRequest::read(&params)?).await?;
    Ok(list_documents(&page))
}

async fn create(cx: Context, Json(new): Json<NewWebhook>) -> Result<Answer, Problem> {
    let (webhook, secret) = operations::create_webhook(&cx, new).await?;
    let (version, location) = (webhook.version(), format!("/v1/webhooks/{}", webhook.id));
    let shown = CreatedWebhook {
        webhook: webhook.value,
        secret,
        version,
    };
    Ok(Answer::json(&shown)?.version(version).created(location))
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let webhook = operations::find_webhook(&cx, &id).await?;
    Ok(Answer::document(&webhook.document))
}

async fn edit(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let webhook = operations::edit_webhook(&cx, &id, &if_match, &patch).await?;
    Ok(Answer::document(&webhook.document))
}

async fn delete(cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    operations::delete_webhook(&cx, &id, &if_match).await?;
    Ok(Answer::no_content())
}

async fn verify(cx: Context, Path(id): Path<String>, Json(input): Json<Verification>) -> Result<Answer, Problem> {
    Ok(Answer::document(
        &operations::verify_webhook(&cx, &id, &input).await?.document,
    ))
}

async fn rotate(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    Answer::json(&operations::rotate_secret(&cx, &id).await?)
}
