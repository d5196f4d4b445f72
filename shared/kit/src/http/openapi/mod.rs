//! Generates the OpenAPI 3.1 document from the route table.

mod events;
mod operations;
mod responses;
mod schemas;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use souk_core::EventType;

use self::schemas::Components;
pub use self::versions::document_of_version_2;
use super::problem::ProblemDocument;
use super::route::{Notification, Route};
use super::schema::{Schema, Schemas};
use super::{ProblemType, problem_type};

/// The part of a function that goes into the OpenAPI document.
pub struct Section<'a> {
    /// The name of the function.
    pub name: &'a str,
    /// The description of the function's tag.
    pub summary: &'a str,
    /// The rows of its route table.
    pub routes: &'a [Route],
    /// The types of problems that only it has.
    pub problems: &'a [&'static ProblemType],
    /// The types of events that it emits.
    pub events: &'a [EventType],
    /// How it sends events to subscribers, if it does.
    pub notification: Option<&'a Notification>,
}

/// The names shared by two different schemas of these functions: the document would contain only one of the schemas.
#[must_use]
pub fn clashes(functions: &[Section<'_>]) -> BTreeSet<String> {
    let mut schemas: Schemas = Vec::new();
    for route in functions.iter().flat_map(|function| function.routes) {
        let bodies = route.responses.iter().filter_map(|response| response.schema.as_ref());
        bodies
            .chain(&route.body)
            .for_each(|schema| (schema.collect)(&mut schemas));
    }
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for (name, schema) in schemas {
        let schema = serde_json::to_value(schema).unwrap_or_default();
        if known.entry(name.clone()).or_insert_with(|| schema.clone()) != &schema {
            clashes.insert(name);
        }
    }
    clashes
}

/// The OpenAPI document of these functions. `examples` has the example of each operation by its id: the body of its
/// `request`, and that of its `response`.
#[must_use]
pub fn document(functions: &[Section<'_>], examples: &Value, version: &str) -> Value {
    let mut components = Components::default();
    let problem = Schema::of::<ProblemDocument>();
    components.reference(&problem);
    let mut described = problem.own_schema();
    if let Some(code) = described.pointer_mut("/properties/code") {
        *code = problem_codes(functions);
    }
    components.replace(&problem, described);
    let mut paths: Map<String, Value> = Map::new();
    for function in functions {
        for route in function.routes.iter().filter(|route| is_documented(route)) {
            let example = examples.get(route.id).unwrap_or(&Value::Null);
            let operation = operations::operation(function.name, route, example, &mut components);
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            if let Some(path) = path.as_object_mut() {
                path.insert(route.method.as_str().to_lowercase(), operation);
            }
        }
    }
    let events: Vec<&EventType> = functions.iter().flat_map(|function| function.events).collect();
    let mut webhooks = Map::new();
    for function in functions {
        if let Some(notification) = function.notification {
            webhooks.extend(events::webhooks(function.name, notification, &events, &mut components));
        }
    }
    let documented = functions.iter().flat_map(|function| function.routes);
    let responses = responses::components(documented.filter(|route| is_documented(route)));
    let tags = functions
        .iter()
        .map(|function| json!({ "name": function.name, "description": function.summary }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Souk",
            "version": version,
            "description": "A marketplace backend at the edge. Every error is a problem document (RFC 9457). A POST \
                            takes an `Idempotency-Key`, unless its description says that it ignores it. Every \
                            mutable resource has an `ETag` for `If-None-Match` and `If-Match`. Lists are paged with \
                            opaque cursors.",
            "contact": { "name": "The developers of Souk", "url": env!("CARGO_PKG_REPOSITORY") },
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The host that serves this document." }],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": components.into_schemas(),
            "responses": responses,
            "headers": responses::headers(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                           "description": "The `access_token` of `POST /v1/sessions`, or a personal access token (`soukpat_…`), which may \
                                           do what `x-access` says is for a `member`. Pages of this origin may have the cookie \
                                           `__Host-souk` in its place." },
            },
        },
    })
}

/// The schema of `code` in a problem document: every code, with its status and explanation.
fn problem_codes(functions: &[Section<'_>]) -> Value {
    let own = functions.iter().flat_map(|function| function.problems);
    let mut all: Vec<&ProblemType> = problem_type::ALL.iter().chain(own).copied().collect();
    all.sort_by_key(|kind| kind.status);
    let about = |kind: &&ProblemType| format!("{}: {}", kind.status.as_u16(), kind.about());
    json!({
        "type": "string",
        "description": "The error code. Codes are stable; new ones may come.",
        "enum": all.iter().map(|kind| kind.code).collect::<Vec<_>>(),
        "x-enum-descriptions": all.iter().map(about).collect::<Vec<_>>(),
    })
}

/// Whether the row is an operation of the API; pages and the fallback are not.
fn is_documented(route: &Route) -> bool {
    !route.id.is_empty()
}
