//! OpenAPI 3.1, from the route table.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::Function;
use crate::problem::ProblemDocument;
use crate::route::{Access, Cache, Route, Schema, Schemas, Shape};

/// The description of an API made of these functions.
#[must_use]
pub fn document(functions: &[Function], version: &str) -> Value {
    let mut schemas: Schemas = Vec::new();
    let mut components = Map::new();
    let mut paths: Map<String, Value> = Map::new();
    (Schema::of::<ProblemDocument>().collect)(&mut schemas);
    for function in functions {
        for route in &function.routes {
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
    let tags: Vec<_> = functions
        .iter()
        .map(|f| json!({ "name": f.name, "description": f.about }))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Souk",
            "version": version,
            "description": "A marketplace backend at the edge. Every error is a problem document (RFC 9457); every POST \
                            takes an `Idempotency-Key`; every changeable thing has an `ETag` for `If-None-Match` and \
                            `If-Match`; lists are paged by opaque cursors.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                           "description": "The `access_token` of `POST /v1/sessions`." },
            },
        },
    })
}

fn operation(tag: &str, route: &Route, schemas: &mut Schemas, components: &mut Map<String, Value>) -> Value {
    let mut parameters: Vec<Value> = path_names(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    for param in route.policy.params {
        let schema: Value = serde_json::from_str(param.schema).unwrap_or_default();
        let name = param.name.replace('*', "NAME");
        parameters.push(json!({ "name": name, "in": "query", "description": param.about, "schema": schema }));
    }
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } });
    if route.method == Method::POST {
        parameters.push(header(
            "Idempotency-Key",
            "A key of your own (a UUID): a repeat with it is answered as the first was.",
        ));
    }
    if route.method == Method::PATCH || (route.method == Method::DELETE && !path_is_fixed(route.path)) {
        parameters.push(header(
            "If-Match",
            "The `ETag` that you read: 412 if it has changed since.",
        ));
    }

    let mut responses = Map::new();
    for (status, about, schema) in &route.success {
        let mut response = json!({ "description": about, "headers": response_headers(route, *status) });
        if let (Some(schema), Some(response)) = (schema, response.as_object_mut()) {
            let content = reference(schema, schemas, components);
            response.insert("content".into(), json!({ "application/json": { "schema": content } }));
        }
        responses.insert(status.as_u16().to_string(), response);
    }
    if route.method == Method::GET {
        responses.insert(
            "304".into(),
            json!({ "description": "You have it already (`If-None-Match`)." }),
        );
    }
    for status in failures(route) {
        responses
            .entry(status.as_u16().to_string())
            .or_insert_with(|| problem(status.canonical_reason().unwrap_or("")));
    }
    responses.insert("default".into(), problem("Any other failure"));

    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
        "x-access": match route.policy.access {
            Access::Public => json!("public"),
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
                Access::Role(_) => json!([{ "token": [] }]),
            },
        );
        if let Some(schema) = &route.request {
            let content = reference(schema, schemas, components);
            let kind = if route.method == Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            let kinds = [kind, "application/json"].map(|kind| (kind.to_owned(), json!({ "schema": content })));
            let kinds: Map<String, Value> = kinds.into_iter().collect();
            operation.insert("requestBody".into(), json!({ "required": true, "content": kinds }));
        }
    }
    operation
}

/// The failures that follow from the row, and those it names.
fn failures(route: &Route) -> Vec<StatusCode> {
    let mut all = vec![StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE];
    match route.policy.access {
        Access::Role(souk_core::Role::Member) => all.push(StatusCode::UNAUTHORIZED),
        Access::Role(_) => all.extend([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Access::Public => {}
    }
    if route.request.is_some() {
        all.extend([StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNSUPPORTED_MEDIA_TYPE]);
    }
    if route.request.is_some() || route.method == Method::POST {
        all.push(StatusCode::UNPROCESSABLE_ENTITY);
    }
    if route.path.contains('{') {
        all.push(StatusCode::NOT_FOUND);
    }
    if route.method == Method::PATCH {
        all.extend([StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT]);
    }
    all.extend(&route.failures);
    all
}

fn response_headers(route: &Route, status: StatusCode) -> Map<String, Value> {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    let caching = match route.policy.cache {
        Cache::NoStore => "Always `no-store`.",
        Cache::Public { .. } => "Public for requests without a credential, else `private, no-store`.",
    };
    let mut headers = Map::new();
    headers.insert("x-request-id".into(), text("Names this request in the logs."));
    headers.insert("cache-control".into(), text(caching));
    if status == StatusCode::CREATED && !route.path.starts_with("/v1/sessions") {
        headers.insert("location".into(), text("Where the new one is."));
    }
    headers
}

fn problem(about: &str) -> Value {
    json!({ "description": about, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } })
}

fn reference(schema: &Schema, schemas: &mut Schemas, components: &mut Map<String, Value>) -> Value {
    let mut own: Schemas = Vec::new();
    (schema.collect)(&mut own);
    let first = own
        .first()
        .map(|(_, schema)| serde_json::to_value(schema).unwrap_or_default())
        .unwrap_or_default();
    schemas.extend(own);
    match schema.shape {
        Shape::One => json!({ "$ref": format!("#/components/schemas/{}", schema.name) }),
        Shape::List => {
            let name = format!("{}List", schema.name);
            components.insert(name.clone(), json!({
                "type": "object",
                "required": ["items", "next_cursor"],
                "properties": {
                    "items": { "type": "array", "items": { "$ref": format!("#/components/schemas/{}", schema.name) } },
                    "next_cursor": { "type": ["string", "null"], "description": "For the next page; null at the end." },
                },
            }));
            json!({ "$ref": format!("#/components/schemas/{name}") })
        }
        Shape::Patch => {
            let name = format!("{}Patch", schema.name);
            components.insert(name.clone(), patch_of(first));
            json!({ "$ref": format!("#/components/schemas/{name}") })
        }
    }
}

/// The schema of a merge patch: nothing is required.
#[must_use]
pub fn patch_of(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("required");
        schema.insert(
            "description".into(),
            json!("A merge patch (RFC 7396): absent fields stay, null clears."),
        );
    }
    schema
}

fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_is_fixed(path: &str) -> bool {
    path_names(path).next().is_none()
}

/// `get_v1_products_id` becomes `getProductsById`: stable, unique, readable in generated clients.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_lowercase();
    for part in route.path.split('/').filter(|part| !part.is_empty() && *part != "v1") {
        let (by, word) = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(word) => ("By", word),
            None => ("", part),
        };
        id.push_str(by);
        for piece in word
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|piece| !piece.is_empty())
        {
            let mut chars = piece.chars();
            id.extend(chars.next().map(|first| first.to_ascii_uppercase()));
            id.push_str(chars.as_str());
        }
    }
    id
}
