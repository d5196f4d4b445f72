//! The responses of an operation: those of its row, the failures that follow from the row, and their headers.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::super::route::{Access, Response, Route};
use super::schemas::Components;

/// The headers of responses: the name of the component, that of the header, its description, and whether it is always sent.
const HEADERS: [(&str, &str, &str, bool); 10] = [
    ("RequestId", "X-Request-Id", "The id of this request in the logs.", true),
    (
        "TraceParent",
        "Traceparent",
        "The W3C trace context of this request.",
        true,
    ),
    (
        "CacheControl",
        "Cache-Control",
        "Who may store the response, and for how long.",
        true,
    ),
    (
        "ETag",
        "ETag",
        "Identifies this state of the resource, for `If-None-Match` and, of a resource with a `version`, for `If-Match`.",
        true,
    ),
    ("Location", "Location", "Where the resource is.", true),
    (
        "IdempotencyReplayed",
        "Idempotency-Replayed",
        "`true` if this is the response to an earlier request with the same `Idempotency-Key`.",
        false,
    ),
    ("RetryAfter", "Retry-After", "Seconds to wait before a retry.", true),
    (
        "RateLimit",
        "RateLimit",
        "For each limit that counted this request: `r`, how much is left, and `t`, in how many seconds all of it is there again.",
        false,
    ),
    (
        "RateLimitPolicy",
        "RateLimit-Policy",
        "The limits that counted this request: `q` requests in each window of `w` seconds, which begins with the first of them.",
        false,
    ),
    (
        "WwwAuthenticate",
        "WWW-Authenticate",
        "`Bearer`; with `error=\"invalid_token\"` if a token was sent that is of no use (RFC 6750).",
        true,
    ),
];

const LIMITS: [&str; 2] = ["RateLimit", "RateLimitPolicy"];
const RETRY_LATER: [StatusCode; 2] = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];

/// The headers that responses refer to.
pub(super) fn headers() -> Map<String, Value> {
    let one = |(name, _, about, is_required): (&str, &str, &str, bool)| {
        let header = json!({ "description": about, "required": is_required, "schema": { "type": "string" } });
        (name.to_owned(), header)
    };
    HEADERS.into_iter().map(one).collect()
}

/// References to these of the headers, beside those of every response.
fn references(wanted: &[&str]) -> Map<String, Value> {
    let is_sent = |name: &str| ["RequestId", "TraceParent", "CacheControl"].contains(&name) || wanted.contains(&name);
    let sent = HEADERS.into_iter().filter(|(name, ..)| is_sent(name));
    sent.map(|(name, header, ..)| {
        (
            header.to_owned(),
            json!({ "$ref": format!("#/components/headers/{name}") }),
        )
    })
    .collect()
}

/// The failures of these rows, and the response that a cached copy is current.
pub(super) fn components<'a>(routes: impl Iterator<Item = &'a Route> + Clone) -> Map<String, Value> {
    let statuses: BTreeSet<StatusCode> = routes.flat_map(failures).collect();
    let mut all: Map<String, Value> = statuses
        .into_iter()
        .map(|status| (response_name(status), problem(status)))
        .collect();
    let about = "Not modified: `If-None-Match` matches the current `ETag`.";
    let unmodified = json!({ "description": about, "headers": references(&["ETag"]) });
    all.insert(response_name(StatusCode::NOT_MODIFIED), unmodified);
    all
}

/// All responses of this row, by status.
pub(super) fn of(route: &Route, example: &Value, components: &mut Components) -> Map<String, Value> {
    let mut all = Map::new();
    for response in &route.responses {
        let headers = success_headers(route, response);
        let mut shown = json!({ "description": response.about, "headers": references(&headers) });
        if let (Some(schema), Some(shown)) = (&response.schema, shown.as_object_mut()) {
            let example = example.get("response").filter(|_| response.status.is_success());
            let content = components.content(schema, example);
            shown.insert("content".into(), json!({ "application/json": content }));
        }
        all.insert(response.status.as_u16().to_string(), shown);
    }
    let unmodified = may_be_unmodified(route).then_some(StatusCode::NOT_MODIFIED);
    for status in failures(route).into_iter().chain(unmodified) {
        let name = response_name(status);
        all.insert(
            status.as_u16().to_string(),
            json!({ "$ref": format!("#/components/responses/{name}") }),
        );
    }
    all
}

/// Whether this response has an `ETag`.
fn has_etag(route: &Route, response: &Response) -> bool {
    response.status.is_success() && response.schema.is_some() && !route.is_secret
}

/// Whether the row answers 304 to a client whose copy is current.
pub(super) fn may_be_unmodified(route: &Route) -> bool {
    let mut responses = route.responses.iter();
    route.method == Method::GET && responses.any(|response| has_etag(route, response))
}

/// Whether the row takes `If-Match`.
pub(super) fn checks_version(route: &Route) -> bool {
    route.method == Method::PATCH || route.errors.contains(&StatusCode::PRECONDITION_FAILED)
}

/// The headers of a response that the row declares, beside those of every response.
fn success_headers(route: &Route, response: &Response) -> Vec<&'static str> {
    let mut all = Vec::new();
    if has_etag(route, response) {
        all.push("ETag");
    }
    if response.has_location {
        all.push("Location");
    }
    if route.method == Method::POST && response.status.is_success() {
        all.push("IdempotencyReplayed");
    }
    if !route.limits.is_empty() {
        all.extend(LIMITS);
    }
    all
}

/// The error statuses that follow from the row, and those that it declares. An unknown parameter is a 400 everywhere.
fn failures(route: &Route) -> BTreeSet<StatusCode> {
    let mut all = BTreeSet::from([
        StatusCode::BAD_REQUEST,
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE,
    ]);
    match route.policy.access {
        Access::Member | Access::Public => all.extend([StatusCode::UNAUTHORIZED]),
        Access::Permission(_) | Access::Session => all.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Access::Open => {}
    }
    if route.policy.body > 0 {
        all.extend([
            StatusCode::PAYLOAD_TOO_LARGE,
            // A body may be encoded in an unknown way.
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]);
    }
    if route.method == Method::POST {
        // The idempotency key was used for another request, or its result is lost.
        all.extend([StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT]);
    }
    if !route.method.is_safe() && route.policy.access == Access::Member {
        // What is somebody else's may take a permission, and a reason.
        all.insert(StatusCode::FORBIDDEN);
    }
    if route.path.contains('{') {
        all.insert(StatusCode::NOT_FOUND);
    }
    if checks_version(route) {
        all.extend([StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT]);
    }
    if !route.limits.is_empty() {
        all.insert(StatusCode::TOO_MANY_REQUESTS);
    }
    all.extend(&route.errors);
    all
}

/// `NotFound` for 404.
fn response_name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("").replace(' ', "")
}

fn problem(status: StatusCode) -> Value {
    let mut headers = Vec::new();
    if status == StatusCode::UNAUTHORIZED {
        headers.push("WwwAuthenticate");
    }
    if RETRY_LATER.contains(&status) {
        headers.push("RetryAfter");
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.extend(LIMITS);
    }
    json!({
        "description": status.canonical_reason().unwrap_or(""),
        "headers": references(&headers),
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}
