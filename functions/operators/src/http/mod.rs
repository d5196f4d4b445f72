//! The routes for operators.

mod gate;

use http::{Method, StatusCode};
use serde::Serialize;
use souk_core::{Event, Lane};
use souk_kit::http::{
    Access, Answer, Param, Path, Problem, QueryParams, Route, Schema, Viewer, list, list_json, list_whole,
};
use souk_kit::jobs::Runs;
use souk_kit::jobs::dead_letters::DeadLetter;
use souk_kit::jobs::tracked::Tracked;
use souk_kit::outbound::Dependency;
use souk_kit::{Context, Fault, PageRequest};
use utoipa::openapi::RefOr;

use crate::operations::{self, AuditFilter, LaneState, ShownRecord, Summary};
use crate::permissions::{AUDIT_READ, EVENTS_READ, QUEUES_READ, QUEUES_WRITE};

const LANE: Param = Param {
    name: "lane",
    summary: "Only dead letters of this lane.",
    schema: r#"{"type":"string","enum":["high","default","notifications","low"]}"#,
};
const TYPE: Param = Param::text(
    "type",
    "Only events of this type; `product.*` for all types that start with `product.`.",
);
const AFTER: Param = Param {
    name: "after",
    summary: "Only events from this time on; the default is one hour ago.",
    schema: r#"{"type":"string","format":"date-time"}"#,
};

const ACTOR: Param = Param::text("actor", "Only what this account did, by username or id.");
const DOCUMENT: Param = Param::text(
    "document",
    "Only what was done to this document, such as `product/prd_…`.",
);
const PERMISSION: Param = Param::text("permission", "Only what was done by this permission.");
const NUMBER: Param = Param {
    name: "after",
    summary: "The number of a record: only those after it.",
    schema: r#"{"type":"integer","minimum":0,"maximum":999999999999}"#,
};

/// An event type.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = EventType)]
struct EventTypeView {
    /// The name, such as `order.placed`.
    #[serde(rename = "type")]
    name: &'static str,
    /// The current version of the schema of `data`.
    version: u32,
    /// Description of the event.
    about: &'static str,
    /// The JSON schema of `data`.
    #[schema(value_type = HashMap<String, serde_json::Value>)]
    schema: RefOr<utoipa::openapi::Schema>,
}

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = dead_letter_routes();
    routes.extend(state_routes());
    routes.extend(event_routes());
    routes.extend(audit_routes());
    routes.extend(gate::routes());
    routes
}

fn dead_letter_routes() -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&QUEUES_READ), Access::Permission(&QUEUES_WRITE));
    vec![
        Route::new(
            "listDeadLetters",
            Method::GET,
            "/v1/dead-letters",
            reader,
            list_dead_letters,
        )
        .summary(
            "List dead letters",
            "Messages that failed permanently, grouped by lane.",
        )
        .params(&[LANE, Param::LIMIT, Param::CURSOR])
        .response(
            StatusCode::OK,
            "A page of dead letters",
            Some(Schema::list_of::<Summary>()),
        ),
        Route::new(
            "replayLane",
            Method::POST,
            "/v1/dead-letters/{lane}/replay",
            writer,
            replay_lane,
        )
        .summary(
            "Replay all dead letters of a lane",
            "Starts a job that replays the current dead letters of the lane; its result is their number.",
        )
        .response(
            StatusCode::ACCEPTED,
            "The job that replays the dead letters",
            Some(Schema::of::<Tracked>()),
        ),
        Route::new(
            "getDeadLetter",
            Method::GET,
            "/v1/dead-letters/{lane}/{id}",
            reader,
            show_dead_letter,
        )
        .summary("Get a dead letter", "With its message and all attempts.")
        .response(StatusCode::OK, "The dead letter", Some(Schema::of::<DeadLetter>())),
        Route::new(
            "discardDeadLetter",
            Method::DELETE,
            "/v1/dead-letters/{lane}/{id}",
            writer,
            discard,
        )
        .summary("Delete a dead letter", "The message is not processed.")
        .response(StatusCode::NO_CONTENT, "The dead letter was deleted", None),
        Route::new(
            "replayDeadLetter",
            Method::POST,
            "/v1/dead-letters/{lane}/{id}/replay",
            writer,
            replay,
        )
        .summary(
            "Replay a dead letter",
            "Sends the message to its lane again, with new attempts. If the message was processed after all, it \
                 has no second effect.",
        )
        .response(StatusCode::NO_CONTENT, "The message was sent to its lane", None),
    ]
}

fn state_routes() -> Vec<Route> {
    let reader = Access::Permission(&QUEUES_READ);
    vec![
        Route::new("listLanes", Method::GET, "/v1/lanes", reader, list_lanes)
            .summary(
                "List queue lanes",
                "With the backlog and the recent throughput of each.",
            )
            .response(StatusCode::OK, "All lanes", Some(Schema::list_of::<LaneState>())),
        Route::new("listSchedules", Method::GET, "/v1/schedules", reader, list_schedules)
            .summary(
                "List scheduled runs",
                "The latest runs of every schedule, newest first.",
            )
            .response(StatusCode::OK, "All schedules", Some(Schema::list_of::<Runs>())),
        Route::new(
            "listDependencies",
            Method::GET,
            "/v1/dependencies",
            reader,
            list_dependencies,
        )
        .summary(
            "List dependencies",
            "The external systems that the responding instance has called recently, with the state of their \
                 circuit breakers.",
        )
        .response(
            StatusCode::OK,
            "All dependencies of this instance",
            Some(Schema::list_of::<Dependency>()),
        ),
        Route::new("getJob", Method::GET, "/v1/jobs/{id}", Access::Member, show_job)
            .summary(
                "Get a job",
                "Only for the account that started it, and with the permission `jobs:read`. Jobs are kept for a week.",
            )
            .response(StatusCode::OK, "The job", Some(Schema::of::<Tracked>())),
    ]
}

fn event_routes() -> Vec<Route> {
    vec![
        Route::new(
            "listEvents",
            Method::GET,
            "/v1/events",
            Access::Permission(&EVENTS_READ),
            list_events,
        )
        .summary(
            "List events",
            "The events of the last seven days, oldest first. A page may have few or no items and still have a \
                 `next_cursor`: continue as long as there is one. An event that arrives late is inserted at its time.",
        )
        .params(&[TYPE, AFTER, Param::LIMIT, Param::CURSOR])
        .response(StatusCode::OK, "A page of events", Some(Schema::list_of::<Event>())),
        Route::new(
            "listEventTypes",
            Method::GET,
            "/v1/events/catalog",
            Access::Public,
            list_event_types,
        )
        .summary(
            "List event types",
            "With the version and the JSON schema of their `data`.",
        )
        .cached(300, 3600)
        .response(
            StatusCode::OK,
            "All event types",
            Some(Schema::list_of::<EventTypeView>()),
        ),
    ]
}

fn audit_routes() -> [Route; 2] {
    let reader = Access::Permission(&AUDIT_READ);
    [
        Route::new("listAuditRecords", Method::GET, "/v1/audit", reader, list_audit)
            .summary(
                "List the audit log",
                "What staff did by their permissions, newest first. One of `actor`, `document` and `permission` narrows it.",
            )
            .params(&[ACTOR, DOCUMENT, PERMISSION, Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of records", Some(Schema::list_of::<ShownRecord>()))
            // There is no such account.
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new("exportAuditLog", Method::GET, "/v1/audit/export", reader, export_audit)
            .summary(
                "Export the audit log",
                "As NDJSON, the oldest records first, up to 500. Continue with `after`, the number of the last one, until there are no \
                 more. `souk audit verify` checks the lines.",
            )
            .params(&[NUMBER])
            .response(StatusCode::OK, "Records, one a line, each with its hash", None)
            .response(StatusCode::NO_CONTENT, "There are no more", None),
    ]
}

fn lane_named(name: &str) -> Result<Lane, Problem> {
    Lane::parse(name).ok_or_else(|| Problem::not_found("lane"))
}

async fn list_dead_letters(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let lane = params.get("lane").map(|name| {
        let fault = || Fault::not_one_of(&Lane::ALL.map(Lane::name));
        Lane::parse(name).ok_or_else(|| Problem::bad_parameter("lane", fault()))
    });
    let page = operations::list_dead_letters(&cx, lane.transpose()?, &PageRequest::read(&params)?).await?;
    list_json(&page)
}

async fn show_dead_letter(cx: Context, Path((lane, id)): Path<(String, String)>) -> Result<Answer, Problem> {
    let letter = operations::find_dead_letter(&cx, lane_named(&lane)?, &id).await?;
    Answer::json(&letter.value)
}

async fn discard(cx: Context, Path((lane, id)): Path<(String, String)>) -> Result<Answer, Problem> {
    operations::discard_dead_letter(&cx, lane_named(&lane)?, &id).await?;
    Ok(Answer::no_content())
}

async fn replay(cx: Context, Path((lane, id)): Path<(String, String)>) -> Result<Answer, Problem> {
    operations::replay_dead_letter(&cx, lane_named(&lane)?, &id).await?;
    Ok(Answer::no_content())
}

async fn replay_lane(cx: Context, Path(lane): Path<String>) -> Result<Answer, Problem> {
    let job = operations::replay_lane(&cx, lane_named(&lane)?).await?;
    Ok(Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id)))
}

async fn list_lanes(cx: Context) -> Result<Answer, Problem> {
    list_whole(operations::lanes(&cx).await?)
}

async fn list_schedules(cx: Context) -> Result<Answer, Problem> {
    list_whole(operations::list_schedules(&cx).await?)
}

async fn list_dependencies(cx: Context) -> Result<Answer, Problem> {
    list_whole(cx.dependencies())
}

async fn show_job(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let job = operations::find_job(&cx, &id).await?;
    Answer::json(&job.value)
}

async fn list_events(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let after = params.get("after").map(|text| {
        let detail = "must be a time such as 2030-01-31T12:00:00Z";
        text.parse()
            .map_err(|_| Problem::bad_parameter("after", Fault::format(detail)))
    });
    let types = params.get("type").unwrap_or("*");
    let page = operations::list_events(&cx, types, after.transpose()?, &PageRequest::read(&params)?).await?;
    let events: Vec<&str> = page.items.iter().map(|document| document.body.as_str()).collect();
    Ok(list(&events, &page))
}

async fn list_event_types(cx: Context, viewer: Viewer) -> Result<Answer, Problem> {
    let types = cx.registry.events.iter().cloned().map(|of| EventTypeView {
        name: of.name,
        version: of.version,
        about: of.summary,
        schema: of.schema,
    });
    Ok(viewer.answer(list_whole(types.collect::<Vec<_>>())?))
}

async fn list_audit(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    let filter = AuditFilter {
        actor: text("actor"),
        document: text("document"),
        permission: text("permission"),
    };
    list_json(&operations::list_audit(&cx, &filter, &PageRequest::read(&params)?).await?)
}

async fn export_audit(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let after = params.get("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let lines = operations::export_audit(&cx, after).await?;
    if lines.is_empty() {
        return Ok(Answer::no_content());
    }
    Ok(Answer::file("application/x-ndjson", lines.into_bytes().into()))
}
