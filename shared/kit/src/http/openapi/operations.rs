//! The operation of a row: its parameters, its request body and its responses.

use http::Method;
use serde_json::{Map, Value, json};

use super::super::params::Param;
use super::super::route::{Access, Route};
use super::responses;
use super::schemas::Components;

/// The operation of this row, which belongs to the function `tag`.
pub(super) fn operation(tag: &str, route: &Route, example: &Value, components: &mut Components) -> Value {
    let mut parameters: Vec<Value> = path_names(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
        .collect();
    parameters.extend(route.policy.params.iter().map(|param| query_parameter(param, route)));
    parameters.extend(header_parameters(route));
    let mut operation = json!({
        "operationId": route.id,
        "tags": [tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses::of(route, example, components),
        "x-access": match route.policy.access {
            Access::Public | Access::Open => json!("public"),
            Access::Member => json!("member"),
            Access::Session => json!("session"),
            Access::Permission(permission) => json!(permission.name),
        },
        "security": match route.policy.access {
            Access::Public => json!([{}, { "token": [] }]),
            Access::Open => json!([]),
            Access::Member | Access::Session | Access::Permission(_) => json!([{ "token": [] }]),
        },
    });
    let mut insert = |name: &str, value: Value| {
        if let Some(operation) = operation.as_object_mut() {
            operation.insert(name.to_owned(), value);
        }
    };
    if !route.description.is_empty() {
        insert("description", json!(route.description));
    }
    if let Some(content) = request_body(route, example, components) {
        insert("requestBody", json!({ "required": true, "content": content }));
    }
    operation
}

fn request_body(route: &Route, example: &Value, components: &mut Components) -> Option<Value> {
    let Some(schema) = &route.body else {
        let mut content = json!({ "schema": { "type": "string", "format": "binary" } });
        if let (Some(content), Some(example)) = (content.as_object_mut(), example.get("request")) {
            content.insert("example".into(), example.clone());
        }
        let content = json!({ "application/octet-stream": content });
        return route.policy.takes_raw.then_some(content);
    };
    let content = components.content(schema, example.get("request"));
    let mut all = Map::new();
    if route.method == Method::PATCH {
        all.insert("application/merge-patch+json".into(), content.clone());
    }
    all.insert("application/json".into(), content);
    Some(Value::Object(all))
}

fn query_parameter(param: &Param, route: &Route) -> Value {
    let mut schema: Value = serde_json::from_str(param.schema).unwrap_or_default();
    if param.name == Param::FIELDS.name {
        let names = route.responses.first().and_then(|response| response.schema.as_ref());
        let names = names.map(|schema| schema.property_names()).unwrap_or_default();
        schema = json!({ "type": "array", "items": { "type": "string", "enum": names } });
    }
    let is_list = schema.get("type").is_some_and(|kind| kind == "array");
    let mut parameter = json!({ "name": param.name, "in": "query", "description": param.summary });
    let styled = match param.name.strip_suffix(".*") {
        // OpenAPI cannot describe `attr.size=XL`; an object in this style is `attr[size]=XL`, which means the same.
        Some(name) => json!({
            "name": name, "style": "deepObject", "explode": true,
            "schema": { "type": "object", "additionalProperties": schema },
        }),
        None if is_list => json!({ "style": "form", "explode": false, "schema": schema }),
        None => json!({ "schema": schema }),
    };
    if let (Some(parameter), Value::Object(styled)) = (parameter.as_object_mut(), styled) {
        parameter.extend(styled);
    }
    parameter
}

/// The request headers of this route.
fn header_parameters(route: &Route) -> Vec<Value> {
    let header = |name: &str, about: &str, pattern: &str| {
        let schema = json!({ "type": "string", "pattern": pattern });
        json!({ "name": name, "in": "header", "description": about, "schema": schema })
    };
    let mut all = Vec::new();
    if responses::may_be_unmodified(route) {
        let about = "The `ETag` of your cached copy: 304 if it is still current.";
        all.push(header("If-None-Match", about, r#"^(\*|(W/)?"[!#-~]*")$"#));
    }
    if route.method == Method::POST {
        let about = "A unique key, such as a UUID: a retry with the same key gets the first response.";
        all.push(header("Idempotency-Key", about, "^[!#-~]([ -~]{0,253}[!#-~])?$"));
    }
    if !route.method.is_safe() && !matches!(route.policy.access, Access::Open | Access::Public) {
        let about = "Why you do this to what is somebody else's; required if a permission of yours lets you. It is in the audit log. At most 500 characters; what is not ASCII may be percent-encoded.";
        all.push(header("Souk-Reason", about, "^[ -$&-~]{0,500}$"));
    }
    if responses::checks_version(route) {
        let about = "The `ETag` of the version that you read: 412 if it has changed since. Also if a proxy has weakened it (`W/`).";
        all.push(header("If-Match", about, r#"^(\*|(W/)?"[!#-~]*")$"#));
    }
    all
}

fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
