//! Analytics, settings and the state of the index, for staff.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Serialize;
use souk_core::{Fault, Timestamp};
use souk_kit::http::{Access, Answer, Json, Param, Problem, QueryParams, Route, Schema};
use souk_kit::jobs::tracked::Tracked;
use souk_kit::{Context, IfMatch};

use crate::Memory;
use crate::analytics::SearchAnalytics;
use crate::operations::{analytics, rebuild, settings};
use crate::permissions::{SEARCH_READ, SEARCH_REBUILD, SEARCH_WRITE};
use crate::settings::{NewSearchSettings, SearchSettings};
use crate::usage;

const DAY: &[Param] = &[Param {
    name: "day",
    summary: "The day, in UTC; today by default.",
    schema: r#"{"type":"string","format":"date","example":"2026-01-31"}"#,
}];

/// The state of the search index.
#[derive(Serialize, utoipa::ToSchema)]
struct SearchState {
    /// The active generation of the index, which serves queries; 0 before the first rebuild.
    generation: u64,
    /// Number of products in the active generation.
    products: u64,
    /// The generation that is being built, if any.
    #[schema(required = true)]
    building: Option<u64>,
}

pub(super) fn routes(memory: &Arc<Memory>) -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&SEARCH_READ), Access::Permission(&SEARCH_WRITE));
    let (showing, replacing) = (memory.clone(), memory.clone());
    let settings = || Some(Schema::of::<SearchSettings>());
    vec![
        Route::new(
            "getSearchAnalytics",
            Method::GET,
            "/v1/search/analytics",
            reader,
            move |cx, params| show_analytics(showing.clone(), cx, params),
        )
        .summary(
            "Get search analytics",
            "Analytics are per day, kept for 90 days, and delayed by some seconds. Searches that a shared cache \
             serves are not counted; the least frequent queries may be left out.",
        )
        .params(DAY)
        .response(
            StatusCode::OK,
            "The analytics of the day",
            Some(Schema::of::<SearchAnalytics>()),
        ),
        Route::new(
            "getSearchSettings",
            Method::GET,
            "/v1/search/settings",
            reader,
            show_settings,
        )
        .summary("Get the search settings", "The weights of fields, and the synonyms.")
        .params(&[Param::AS_OF])
        .response(StatusCode::OK, "The settings", settings()),
        Route::new(
            "replaceSearchSettings",
            Method::PUT,
            "/v1/search/settings",
            writer,
            move |cx, if_match, new| replace_settings(replacing.clone(), cx, if_match, new),
        )
        .summary(
            "Replace the search settings",
            "All instances use the new settings within ten seconds.",
        )
        .body(Schema::of::<NewSearchSettings>(), 128 * 1024)
        .response(StatusCode::OK, "The settings", settings())
        .errors(&[StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT]),
        Route::new("getSearchState", Method::GET, "/v1/search/state", reader, show_state)
            .summary(
                "Get the state of the search index",
                "Which generation serves queries, and which is being built.",
            )
            .response(StatusCode::OK, "The state", Some(Schema::of::<SearchState>())),
        Route::new(
            "rebuildSearchIndex",
            Method::POST,
            "/v1/search/reindex",
            Access::Permission(&SEARCH_REBUILD),
            reindex,
        )
        .summary(
            "Rebuild the search index",
            "Starts a job that builds a new index from the documents. The current index serves queries until it \
                 is complete.",
        )
        .response(
            StatusCode::ACCEPTED,
            "The job that rebuilds the index",
            Some(Schema::of::<Tracked>()),
        ),
    ]
}

async fn show_analytics(memory: Arc<Memory>, cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let day = match params.get("day") {
        None => usage::day(cx.now()),
        Some(day) if day.len() == 10 && format!("{day}T00:00:00Z").parse::<Timestamp>().is_ok() => day.to_owned(),
        Some(_) => {
            return Err(Problem::bad_parameter(
                "day",
                Fault::format("must be a day such as 2026-01-31"),
            ));
        }
    };
    Answer::json(&analytics::read_analytics(&cx, &memory, day).await?)
}

async fn show_settings(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    if let Some(at) = params.as_of()? {
        return Ok(Answer::document(&settings::settings_as_of(&cx, at).await?.document));
    }
    Ok(Answer::document(&settings::read_settings(&cx).await?.document))
}

async fn replace_settings(
    memory: Arc<Memory>,
    cx: Context,
    if_match: IfMatch,
    Json(new): Json<NewSearchSettings>,
) -> Result<Answer, Problem> {
    let settings = settings::replace_settings(&cx, &memory, &if_match, &new).await?;
    Ok(Answer::document(&settings.document))
}

async fn show_state(cx: Context) -> Result<Answer, Problem> {
    let state = rebuild::index_state(&cx).await?;
    Answer::json(&SearchState {
        generation: state.live,
        products: state.listings,
        building: state.building,
    })
}

async fn reindex(cx: Context) -> Result<Answer, Problem> {
    let job = rebuild::start_rebuild(&cx).await?;
    Ok(Answer::json(&job)?.accepted(format!("/v1/jobs/{}", job.id)))
}
