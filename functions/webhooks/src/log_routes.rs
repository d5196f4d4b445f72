//! The handlers for deliveries: the log, tests and replays.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::fact::{WEBHOOK_TEST, WebhookFact};
use souk_core::{Condition, Document, Lane, Query, StoreError, Timestamp, id as ids};
use souk_kit::work::tracked;
use souk_kit::{
    Answer, CommitError, Json, Member, Once, Paging, Params, Path, Platform, Problem, State, list_documents, view,
    written,
};

use crate::delivery::{Delivery, PREFIX, Status, partition};
use crate::replay::{self, Range};
use crate::routes::find;
use crate::webhook::Webhook;

/// How often a write that lost a race is tried anew.
const ATTEMPTS: usize = 8;

/// Which deliveries to send again.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReplay {
    /// Those made from then on ...
    #[garde(required)]
    #[serde(default)]
    #[schema(value_type = String, format = DateTime, required = true)]
    from: Option<Timestamp>,
    /// ... and before then.
    #[garde(required, custom(|to: &Option<Timestamp>, _: &()| after(*to, self.from)))]
    #[serde(default)]
    #[schema(value_type = String, format = DateTime, required = true)]
    to: Option<Timestamp>,
    /// Only those that stand so: `delivered` or `failed`. Both, if it is not given; what is pending needs no replay.
    #[garde(skip)]
    #[serde(default)]
    status: Option<Status>,
}

fn after(to: Option<Timestamp>, from: Option<Timestamp>) -> garde::Result {
    match (to, from) {
        (Some(to), Some(from)) if to <= from => Err(garde::Error::new("must be later than from")),
        _ => Ok(()),
    }
}

fn enabled(webhook: &Webhook) -> Result<(), Problem> {
    if webhook.enabled {
        Ok(())
    } else {
        Err(Problem::conflict(
            "webhook_disabled",
            "the webhook is switched off: enable it first",
        ))
    }
}

async fn find_delivery(platform: &Platform, webhook: &Webhook, id: &str) -> Result<Document, Problem> {
    let none = || Problem::not_found("delivery");
    if !ids::is(PREFIX, id) {
        return Err(none());
    }
    get_one(&*platform.documents, Delivery::key(&webhook.id, id))
        .await?
        .ok_or_else(none)
}

fn path(delivery: &Delivery) -> String {
    format!("/v1/webhooks/{}/deliveries/{}", delivery.webhook, delivery.id)
}

pub(crate) async fn list(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    params: Params,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    let log = partition(&webhook.id);
    let paging = Paging::read(&params, &log)?;
    let query = Query {
        descending: true,
        after: paging.after.clone(),
        ..Query::partition(log, paging.limit)
    };
    let page = platform.documents.query(&query).await?;
    let documents: Vec<Document> = page.items.into_iter().map(|item| item.document).collect();
    let next = page.next.map(|sort| paging.cursor(&sort));
    Ok(list_documents(&documents, next.as_deref()))
}

pub(crate) async fn show(
    platform: State,
    Member(principal): Member,
    Path((id, delivery)): Path<(String, String)>,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    let document = find_delivery(&platform, &webhook, &delivery).await?;
    Ok(Answer::raw(view(&document)).version(document.version))
}

pub(crate) async fn test(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    enabled(&webhook)?;
    let fact = WebhookFact {
        webhook: webhook.id.clone(),
        owner: webhook.owner.clone(),
        reason: "someone tries it".into(),
    };
    // For this webhook alone, whatever its filter: so it goes to no outbox, but straight into the log.
    let event = once.event(WEBHOOK_TEST, &fact)?;
    let (delivery, message) = Delivery::new(&platform, &webhook, &event)?;
    let change = delivery.put(Condition::Absent)?;
    let (_, shown) = written(Delivery::key(&webhook.id, &delivery.id), &delivery, "{}", 1)?;
    let answer = shown.accepted(path(&delivery));
    Ok(once.commit_all(vec![change], Vec::new(), vec![message], answer).await?)
}

pub(crate) async fn replay_one(
    platform: State,
    Member(principal): Member,
    Path((id, delivery)): Path<(String, String)>,
    once: Once,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    enabled(&webhook)?;
    for _ in 0..ATTEMPTS {
        let document = find_delivery(&platform, &webhook, &delivery).await?;
        let mut delivery: Delivery = document.parse()?;
        let message = delivery.begin(&platform)?;
        let change = delivery.put(Condition::Version(document.version))?;
        let (_, shown) = written(document.key, &delivery, "{}", document.version + 1)?;
        let answer = shown.accepted(path(&delivery));
        match once.commit_all(vec![change], Vec::new(), vec![message], answer).await {
            Err(CommitError::Conflict(_)) => {}
            result => return Ok(result?),
        }
    }
    Err(StoreError::Conflict(0).into())
}

pub(crate) async fn replay_range(
    platform: State,
    Member(principal): Member,
    Path(id): Path<String>,
    once: Once,
    Json(new): Json<NewReplay>,
) -> Result<Answer, Problem> {
    let (_, webhook) = find(&platform, &principal, &id).await?;
    enabled(&webhook)?;
    let (Some(from), Some(to)) = (new.from, new.to) else {
        return Err(Problem::invalid());
    };
    let range = Range {
        webhook: webhook.id,
        from,
        to,
        status: new.status,
    };
    let body = serde_json::to_value(&range).map_err(|e| Problem::internal(e.to_string()))?;
    let trace = once.cause().trace.clone();
    let owner = &principal.account;
    let (message, change, job) = tracked::start(&platform, replay::JOB, Lane::Notifications, body, owner, trace)?;
    let answer = Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id));
    Ok(once.commit_all(vec![change], Vec::new(), vec![message], answer).await?)
}
