//! Generates the OpenAPI 3.1 document from the route table.

use std::collections::{BTreeMap, BTreeSet};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;

use super::problem::ProblemDocument;
use super::route::{Access, CachePolicy, Param, Route, Schema, Schemas, Shape};
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
}

/// The names shared by two different schemas of these functions: the document would contain only one of the schemas.
#[must_use]
pub fn clashes(functions: &[Section<'_>]) -> BTreeSet<String> {
    let mut schemas: Schemas = Vec::new();
    for route in functions.iter().flat_map(|function| function.routes) {
        let bodies = route.responses.iter().filter_map(|(_, _, schema)| schema.as_ref());
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

/// The OpenAPI document of these functions.
#[must_use]
pub fn document(functions: &[Section<'_>], version: &str) -> Value {
    let mut schemas: Schemas = Vec::new();
    let mut components = Map::new();
    let mut paths: Map<String, Value> = Map::new();
    (Schema::of::<ProblemDocument>().collect)(&mut schemas);
    for function in functions {
        for route in function.routes.iter().filter(|route| is_documented(route)) {
            let operation = operation(function.name, route, &mut schemas, &mut components);
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            if let Some(path) = path.as_object_mut() {
                path.insert(route.method.as_str().to_lowercase(), operation);
            }
        }
    }
    for (name, schema) in schemas {
        components
            .entry(name)
            .or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
    }
    if let Some(code) = components
        .get_mut("Problem")
        .and_then(|problem| problem.pointer_mut("/properties/code"))
    {
        *code = problem_codes(functions);
    }
    let documented = functions
        .iter()
        .flat_map(|function| function.routes)
        .filter(|route| is_documented(route));
    let statuses = documented.flat_map(failures);
    let problems: Map<String, Value> = statuses
        .map(|status| (response_name(status), problem(status)))
        .collect();
    let tags: Vec<_> = functions
        .iter()
        .map(|f| json!({ "name": f.name, "description": f.summary }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Souk",
            "version": version,
            "description": "A marketplace backend at the edge. Every error is a problem document (RFC 9457). Every \
                            POST accepts an `Idempotency-Key`. Every mutable resource has an `ETag` for \
                            `If-None-Match` and `If-Match`. Lists are paged with opaque cursors.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": problems,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                           "description": "The `access_token` of `POST /v1/sessions`." },
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

fn operation(tag: &str, route: &Route, schemas: &mut Schemas, components: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = path_names(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    for param in route.policy.params {
        let mut schema: Value = serde_json::from_str(param.schema).unwrap_or_default();
        if param.name == Param::FIELDS.name {
            schema = names_of(route);
        }
        let name = param.name.replace('*', "NAME");
        parameters.push(json!({ "name": name, "in": "query", "description": param.summary, "schema": schema }));
    }
    parameters.extend(headers(route));

    let mut responses = Map::new();
    for (status, about, schema) in &route.responses {
        let mut response = json!({ "description": about, "headers": response_headers(route, *status) });
        if let (Some(schema), Some(response)) = (schema, response.as_object_mut()) {
            let part = status.is_success() && route.policy.params.iter().any(|param| param.name == Param::FIELDS.name);
            let content = reference(schema, part, schemas, components);
            response.insert("content".into(), json!({ "application/json": { "schema": content } }));
        }
        responses.insert(status.as_u16().to_string(), response);
    }
    if route.method == Method::GET {
        responses.insert(
            "304".into(),
            json!({ "description": "Not modified: `If-None-Match` matches the current `ETag`." }),
        );
    }
    for status in failures(route) {
        let name = response_name(status);
        responses.insert(
            status.as_u16().to_string(),
            json!({ "$ref": format!("#/components/responses/{name}") }),
        );
    }

    let mut operation = json!({
        "operationId": route.id,
        "tags": [tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
        "x-access": match route.policy.access {
            Access::Public | Access::Open => json!("public"),
            Access::Role(role) => json!(role),
        },
    });
    if let Some(operation) = operation.as_object_mut() {
        if !route.description.is_empty() {
            operation.insert("description".into(), json!(route.description));
        }
        operation.insert(
            "security".into(),
            match route.policy.access {
                Access::Public => json!([{}, { "token": [] }]),
                Access::Open => json!([]),
                Access::Role(_) => json!([{ "token": [] }]),
            },
        );
        if let Some(schema) = &route.body {
            let content = reference(schema, false, schemas, components);
            let kind = if route.method == Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            let kinds = [kind, "application/json"].map(|kind| (kind.to_owned(), json!({ "schema": content })));
            let kinds: Map<String, Value> = kinds.into_iter().collect();
            operation.insert("requestBody".into(), json!({ "required": true, "content": kinds }));
        } else if route.policy.takes_raw {
            let content = json!({ "application/octet-stream": {} });
            operation.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

/// The request headers of this route.
fn headers(route: &Route) -> Vec<Value> {
    let header = |name: &str, about: &str, pattern: &str| {
        let schema = json!({ "type": "string", "pattern": pattern });
        json!({ "name": name, "in": "header", "description": about, "schema": schema })
    };
    let mut all = Vec::new();
    if route.method == Method::GET {
        let about = "The `ETag` of your cached copy: 304 if it is still current.";
        all.push(header("If-None-Match", about, r#"^(\*|(W/)?"[!#-~]*")$"#));
    }
    if route.method == Method::POST {
        let about = "A unique key, such as a UUID: a retry with the same key gets the first response.";
        all.push(header("Idempotency-Key", about, "^[!#-~]([ -~]{0,253}[!#-~])?$"));
    }
    if failures(route).contains(&StatusCode::PRECONDITION_FAILED) {
        let about = "The `ETag` of the version that you read: 412 if it has changed since. Also if a proxy has weakened it (`W/`).";
        all.push(header("If-Match", about, r#"^(\*|(W/)?"[!#-~]*")$"#));
    }
    all
}

/// The schema of `fields`: names of response fields, separated by commas.
fn names_of(route: &Route) -> Value {
    let mut schemas: Schemas = Vec::new();
    if let Some((_, _, Some(schema))) = route.responses.first() {
        (schema.collect)(&mut schemas);
    }
    let merged = merged(&schemas);
    let properties = merged.get("properties").and_then(Value::as_object);
    let names: Vec<_> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    let one = format!("({})", names.join("|"));
    json!({ "type": "string", "pattern": format!("^{one}(,{one})*$") })
}

/// The first of these schemas, with its `allOf` parts merged into one object.
fn merged(schemas: &Schemas) -> Value {
    let plain = |schema: &RefOr<utoipa::openapi::Schema>| serde_json::to_value(schema).unwrap_or_default();
    let mut whole = schemas.first().map(|(_, schema)| plain(schema)).unwrap_or_default();
    let Some(Value::Array(parts)) = whole.as_object_mut().and_then(|schema| schema.remove("allOf")) else {
        return whole;
    };
    let mut properties = Map::new();
    for part in parts {
        let name = part.get("$ref").and_then(|path| path.as_str()?.rsplit('/').next());
        let named = schemas.iter().find(|(other, _)| Some(other.as_str()) == name);
        let part = named.map_or(part, |(_, schema)| plain(schema));
        let own = part.get("properties").and_then(Value::as_object);
        properties.extend(
            own.into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), schema.clone())),
        );
    }
    if let Some(whole) = whole.as_object_mut() {
        whole.insert("type".into(), json!("object"));
        whole.insert("properties".into(), Value::Object(properties));
    }
    whole
}

/// The error statuses that follow from the row, and those that it declares.
fn failures(route: &Route) -> Vec<StatusCode> {
    let mut all = vec![
        StatusCode::BAD_REQUEST,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::URI_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    match route.policy.access {
        Access::Role(souk_core::Role::Member) => all.push(StatusCode::UNAUTHORIZED),
        Access::Role(_) => all.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Access::Public => all.push(StatusCode::UNAUTHORIZED),
        Access::Open => {}
    }
    // A body may be encoded in an unknown way.
    let takes_body = route.policy.body > 0;
    if takes_body {
        all.push(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if takes_body || route.method == Method::POST {
        all.push(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if route.path.contains('{') {
        all.push(StatusCode::NOT_FOUND);
    }
    if route.method == Method::PATCH {
        all.extend([StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT]);
    }
    all.extend(&route.errors);
    all
}

fn response_headers(route: &Route, status: StatusCode) -> Map<String, Value> {
    let text = |about: &str| json!({ "description": about, "required": true, "schema": { "type": "string" } });
    let caching = match route.policy.cache {
        CachePolicy::NoStore => "Always `no-store`.",
        CachePolicy::Public { .. } => "Public for requests without a credential, else `private, no-cache`.",
    };
    let mut headers = Map::new();
    headers.insert("x-request-id".into(), text("The id of this request in the logs."));
    headers.insert("cache-control".into(), text(caching));
    if status == StatusCode::CREATED && !route.path.starts_with("/v1/sessions") {
        headers.insert("location".into(), text("The path of the new resource."));
    }
    if status == StatusCode::PERMANENT_REDIRECT {
        headers.insert("location".into(), text("The path of the resource by its current name."));
    }
    if status == StatusCode::ACCEPTED {
        headers.insert("location".into(), text("The path of the job, to poll its status."));
    }
    headers
}

/// `NotFound` for 404.
fn response_name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("").replace(' ', "")
}

fn problem(status: StatusCode) -> Value {
    let text = |about: &str| json!({ "description": about, "required": true, "schema": { "type": "string" } });
    let mut headers = Map::new();
    headers.insert("x-request-id".into(), text("The id of this request in the logs."));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            "www-authenticate".into(),
            text("`Bearer`; with `error=\"invalid_token\"` if a token was sent that is of no use (RFC 6750)."),
        );
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert("retry-after".into(), text("Seconds to wait before a retry."));
    }
    json!({
        "description": status.canonical_reason().unwrap_or(""),
        "headers": headers,
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

/// A reference to the schema; with `part`, alternatively the schema without required fields.
fn reference(schema: &Schema, part: bool, schemas: &mut Schemas, components: &mut Map<String, Value>) -> Value {
    let mut own: Schemas = Vec::new();
    (schema.collect)(&mut own);
    let first = merged(&own);
    if schema.shape == Shape::Patch {
        own.remove(0);
    }
    schemas.extend(own);
    let mut one = json!({ "$ref": format!("#/components/schemas/{}", schema.name) });
    if part {
        let name = format!("{}Part", schema.name);
        let about = format!("The fields of {} selected by `fields`.", schema.name);
        components.insert(name.clone(), relaxed(first.clone(), &about));
        one = json!({ "anyOf": [one, { "$ref": format!("#/components/schemas/{name}") }] });
    }
    match schema.shape {
        Shape::One => one,
        Shape::List => {
            let name = format!("{}List", schema.name);
            components.insert(name.clone(), json!({
                "type": "object",
                "required": ["items", "next_cursor", "prev_cursor", "total", "total_is_exact"],
                "properties": {
                    "items": { "type": "array", "items": one },
                    "next_cursor": { "type": ["string", "null"], "description": "The cursor of the next page; null on the last page." },
                    "prev_cursor": { "type": ["string", "null"], "description": "The cursor of the page before; null on the first page, and in lists that are only read forwards." },
                    "total": { "type": ["integer", "null"], "minimum": 0, "description": "The number of items of the list, counted for its first page; null if it is not counted." },
                    "total_is_exact": { "type": "boolean", "description": "Whether `total` is exact; if not, there are at least so many." },
                },
            }));
            json!({ "$ref": format!("#/components/schemas/{name}") })
        }
        Shape::Patch => {
            components.insert(schema.name.clone(), patch_of(first));
            one
        }
    }
}

/// The schema of a merge patch: no field is required.
#[must_use]
pub fn patch_of(schema: Value) -> Value {
    relaxed(
        schema,
        "A merge patch (RFC 7396): absent fields are unchanged, null clears a field.",
    )
}

fn relaxed(mut schema: Value, about: &str) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
        schema.insert("description".into(), json!(about));
    }
    schema
}

/// Whether the row is an operation of the API; pages and the fallback are not.
fn is_documented(route: &Route) -> bool {
    !route.id.is_empty()
}

fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
