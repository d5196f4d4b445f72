//! Health checks (CB-08) and API documentation (PS-02).
//!
//! `openapi.json` is a snapshot of the output of `souk openapi`, which is generated from the route tables of all
//! functions; a test checks that it is current. So every host documents the whole API, even if it serves a single
//! function.

pub mod purge;

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::http::{Access, Answer, Problem, Route, Schema, Viewer};
use souk_kit::{Context, Function};

/// The snapshot.
pub const OPENAPI: &str = include_str!("openapi.json");

const HTML: &str = "text/html; charset=utf-8";

/// The start page for developers at `/`, and the API documentation, which renders `/openapi.json`. They load nothing
/// from other origins.
const FILES: [(&str, &str, &str); 4] = [
    ("/", HTML, include_str!("docs/index.html")),
    ("/docs", HTML, include_str!("docs/docs.html")),
    (
        "/docs/docs.css",
        "text/css; charset=utf-8",
        include_str!("docs/docs.css"),
    ),
    (
        "/docs/docs.js",
        "text/javascript; charset=utf-8",
        include_str!("docs/docs.js"),
    ),
];

/// A health report.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// Always `ok`; a failed check is a 503 problem that names the unavailable parts.
    status: &'static str,
}

/// The function.
#[must_use]
pub fn function() -> Function {
    let health = || Some(Schema::of::<Health>());
    let mut routes = vec![
        Route::new(Method::GET, "/healthz", Access::Open, healthz)
            .summary("Check liveness", "Checks only that the function responds to requests.")
            .response(StatusCode::OK, "The function runs", health()),
        Route::new(Method::GET, "/readyz", Access::Open, readyz)
            .summary(
                "Check readiness",
                "Checks the document store, and the search index if it is used. A 503 names the unavailable ones.",
            )
            .response(StatusCode::OK, "The function can serve requests", health()),
        Route::new(Method::GET, "/openapi.json", Access::Public, openapi)
            .summary("Get the OpenAPI document", "OpenAPI 3.1, generated from the code.")
            .cached(300, 3600)
            .response(StatusCode::OK, "The description", None),
    ];
    routes.extend(FILES.map(|(path, content_type, body)| {
        let handler = move |viewer: Viewer| async move { viewer.answer(Answer::file(content_type, body)) };
        Route::new(Method::GET, path, Access::Public, handler)
            .summary("Get a file of the documentation page", "")
            .cached(300, 3600)
            .response(StatusCode::OK, "The file", None)
    }));
    Function {
        name: "ops",
        summary: "Health and documentation.",
        routes,
        ..Function::default()
    }
}

async fn healthz() -> Result<Answer, Problem> {
    Answer::json(&Health { status: "ok" })
}

async fn readyz(cx: Context) -> Result<Answer, Problem> {
    let detail = "a part that is needed does not answer";
    let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail);
    problem.retry_after = Some(5);
    let mut causes = Vec::new();
    if let Err(error) = cx.documents().ping().await {
        problem = problem.field("documents", "the document store does not answer");
        causes.push(error.to_string());
    }
    if cx.index.is_needed()
        && let Err(error) = cx.index.state().await
    {
        problem = problem.field("search", "the search index does not answer");
        causes.push(error.to_string());
    }
    if causes.is_empty() {
        return Answer::json(&Health { status: "ok" });
    }
    Err(problem.caused_by(causes.join("; ")))
}

async fn openapi(viewer: Viewer) -> Answer {
    viewer.answer(Answer::file("application/json", OPENAPI))
}
