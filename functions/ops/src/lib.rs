//! Health checks (CB-08) and API documentation (PS-02).
//!
//! `assets/openapi.json` is a snapshot of the output of `souk openapi`, which is generated from the route tables of all
//! functions; a test checks that it is current. So every host documents the whole API, even if it serves a single
//! function. The pages render it and load nothing from other origins.

pub mod purge;

use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use souk_core::documents::OUTDATED;
use souk_kit::Partitions::Documents;
use souk_kit::http::{Access, Answer, Param, Problem, QueryParams, Route, Schema, Viewer};
use souk_kit::platform::{FormatError, is_loopback};
use souk_kit::{Context, Failure, Fault, FieldCode, Function, StoreUse};

/// Declares the static files, each with the paths that it is served at.
macro_rules! files {
    ($($file:literal at $($path:literal),+;)+) => {
        /// The static files, for hosts that embed them.
        pub const FILES: &[(&str, &[u8])] = &[$(($file, include_bytes!(concat!("../assets/", $file)))),+];

        /// The paths of the static files.
        const PAGES: &[(&str, &str)] = &[$($(($path, $file)),+),+];
    };
}

files! {
    "index.html" at "/";
    "openapi.json" at "/openapi.json";
    "openapi-v2.json" at "/openapi-v2.json";
    // The page reads from its own path which guide to show.
    "docs.html" at "/docs", "/docs/guides/start", "/docs/guides/sessions", "/docs/guides/roles", "/docs/guides/errors", "/docs/guides/paging",
        "/docs/guides/idempotency", "/docs/guides/caching", "/docs/guides/money", "/docs/guides/limits", "/docs/guides/cors",
        "/docs/guides/webhooks", "/docs/guides/versioning", "/docs/guides/markets", "/docs/guides/gate";
    "account.html" at "/account";
    "account.css" at "/account/account.css";
    "account.js" at "/account/account.js";
    "account-enter.js" at "/account/account-enter.js";
    "account-form.js" at "/account/account-form.js";
    "account-security.js" at "/account/account-security.js";
    "dev-mail.html" at "/dev/mail";
    "dev-mail.js" at "/dev/mail.js";
    "docs.css" at "/docs/docs.css";
    "docs.js" at "/docs/docs.js";
    "dom.js" at "/docs/dom.js";
    "operation.js" at "/docs/operation.js";
    "request.js" at "/docs/request.js";
    "schema.js" at "/docs/schema.js";
    "session.js" at "/docs/session.js";
    "tokens.js" at "/docs/tokens.js";
    "guides/start.md" at "/docs/guides/start.md";
    "guides/sessions.md" at "/docs/guides/sessions.md";
    "guides/roles.md" at "/docs/guides/roles.md";
    "guides/errors.md" at "/docs/guides/errors.md";
    "guides/paging.md" at "/docs/guides/paging.md";
    "guides/idempotency.md" at "/docs/guides/idempotency.md";
    "guides/caching.md" at "/docs/guides/caching.md";
    "guides/money.md" at "/docs/guides/money.md";
    "guides/limits.md" at "/docs/guides/limits.md";
    "guides/cors.md" at "/docs/guides/cors.md";
    "guides/webhooks.md" at "/docs/guides/webhooks.md";
    "guides/versioning.md" at "/docs/guides/versioning.md";
    "guides/markets.md" at "/docs/guides/markets.md";
    "guides/gate.md" at "/docs/guides/gate.md";
}

/// The media type of a file with this name.
fn content_type(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("md") => "text/markdown; charset=utf-8",
        _ => "application/json",
    }
}

/// The parameter `to` of the mails that nobody sends.
const TO: Param = Param {
    name: "to",
    summary: "Only mails to this address.",
    schema: r#"{"type":"string","minLength":1,"maxLength":254}"#,
};

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
        Route::new("checkLiveness", Method::GET, "/healthz", Access::Open, healthz)
            .summary("Check liveness", "Checks only that the function responds to requests.")
            .response(StatusCode::OK, "The function runs", health()),
        Route::new("checkReadiness", Method::GET, "/readyz", Access::Open, readyz)
            .summary(
                "Check readiness",
                "Checks the document store, and the search index if it is used. A 503 names the unavailable ones.",
            )
            .response(StatusCode::OK, "The function can serve requests", health()),
    ];
    routes.extend(PAGES.iter().map(|&(path, file)| {
        let handler = move |cx: Context, viewer: Viewer| async move {
            let content = cx.assets.get(file).await.map_err(Problem::internal)?;
            Ok::<_, Problem>(viewer.answer(Answer::file(content_type(file), content)))
        };
        Route::page(path, handler).cached(300, 3600)
    }));
    let mails = Route::new("", Method::GET, "/dev/mail/messages", Access::Open, kept_mails);
    routes.push(mails.params(&[TO]));
    Function {
        name: "ops",
        problems: problems::ALL,
        summary: "Health and documentation.",
        routes,
        store: StoreUse {
            reads: &[Documents("ping/*"), Documents("dev-mail"), Documents("dev-mail-to/*")],
            ..StoreUse::default()
        },
        ..Function::default()
    }
}

/// The types of problems that only this function has.
mod problems {
    souk_kit::problem_types! {
        /// A part that is needed cannot be used; `errors` names it.
        NOT_READY: SERVICE_UNAVAILABLE "not_ready";
    }
}

/// What the operator can know of an error without the log.
fn fault(cause: &str) -> &'static str {
    if cause.contains(OUTDATED) {
        "lacks a migration: run infra/deploy again"
    } else {
        "does not answer"
    }
}

/// The mails that nobody sends, in development.
async fn kept_mails(cx: Context, params: QueryParams, headers: HeaderMap) -> Result<Answer, Problem> {
    // The page of another site may have a name that leads to this machine.
    let host = ["souk-host", "host"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok());
    let name = host
        .unwrap_or_default()
        .rsplit_once(':')
        .map_or(host.unwrap_or_default(), |(name, _)| name);
    if !is_loopback(name) {
        return Err(Failure::NotFound("page").into());
    }
    match cx.kept_mails(params.get("to")).await? {
        Some(mails) => Answer::json(&mails),
        None => Err(Failure::NotFound("page").into()),
    }
}

async fn healthz() -> Result<Answer, Problem> {
    Answer::json(&Health { status: "ok" })
}

async fn readyz(cx: Context) -> Result<Answer, Problem> {
    let detail = "a part that is needed cannot be used";
    let mut problem = Problem::new(problems::NOT_READY, detail).retry_after(5);
    let unavailable = |detail: &str| Fault::new(FieldCode::Unavailable, detail);
    let mut causes = Vec::new();
    let documents = match cx.documents().ping().await {
        Ok(()) => cx.platform().check_format().await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = documents {
        let cause = error.to_string();
        let detail = match error {
            FormatError::Newer(_) => "the document store is of a newer version than this program",
            FormatError::Store(_) => fault(&cause),
        };
        problem = problem.field("documents", unavailable(detail));
        causes.push(cause);
    }
    if cx.index.is_needed()
        && let Err(error) = cx.index.state().await
    {
        let cause = error.to_string();
        problem = problem.field("search", unavailable(fault(&cause)));
        causes.push(cause);
    }
    if causes.is_empty() {
        return Answer::json(&Health { status: "ok" });
    }
    Err(problem.caused_by(causes.join("; ")))
}
