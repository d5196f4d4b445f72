//! Operations, as far as clients see them: health (CB-08) and the API's own description (PS-02).
//!
//! `openapi.json` is a snapshot of what `souk openapi` makes from the route tables of all functions; a test holds it to
//! them. So every host, also one that serves a single function, describes the whole API, at no cost.

pub mod purge;

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::{Access, Answer, Function, Problem, Route, Schema, State, Viewer};

/// The snapshot.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The documentation page: it renders `/openapi.json`, with nothing from anywhere else.
const DOCS: [(&str, &str, &str); 3] = [
    ("/docs", "text/html; charset=utf-8", include_str!("docs/docs.html")),
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

/// How a part is.
#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    /// Always `ok`; a part that fails makes it a 503 that names it.
    status: &'static str,
}

/// The function's rows.
#[must_use]
pub fn function() -> Function {
    let health = || Some(Schema::of::<Health>());
    let mut routes = vec![
        Route::new(Method::GET, "/healthz", Access::Public, healthz)
            .about("Is the function alive?", "Looks at nothing else.")
            .answers(StatusCode::OK, "It is", health()),
        Route::new(Method::GET, "/readyz", Access::Public, readyz)
            .about(
                "Can it serve?",
                "Asks every part that it needs; a 503 names those that fail.",
            )
            .answers(StatusCode::OK, "It can", health()),
        Route::new(Method::GET, "/openapi.json", Access::Public, openapi)
            .about("This description", "OpenAPI 3.1, made from the code.")
            .cached(300, 3600)
            .answers(StatusCode::OK, "The description", None),
    ];
    routes.extend(DOCS.map(|(path, content_type, body)| {
        let handler = move |viewer: Viewer| async move { viewer.answer(Answer::file(content_type, body)) };
        Route::new(Method::GET, path, Access::Public, handler)
            .about("The documentation page", "")
            .cached(300, 3600)
            .answers(StatusCode::OK, "A file of the page", None)
    }));
    Function::new("ops", "Health and documentation.", routes)
}

async fn healthz() -> Result<Answer, Problem> {
    Answer::json(&Health { status: "ok" })
}

async fn readyz(platform: State) -> Result<Answer, Problem> {
    let detail = "a part that is needed does not answer";
    let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail);
    problem.retry_after = Some(5);
    let mut causes = Vec::new();
    if let Err(error) = platform.documents.ping().await {
        problem = problem.field("documents", "the document store does not answer");
        causes.push(error.to_string());
    }
    if platform.search.is_needed()
        && let Err(error) = platform.search.state().await
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
