//! The document of version 2: that of the first, with the changes that functions declare.

use serde_json::{Map, Value, json};

use crate::versions::VersionChange;

/// The document of version 2.
#[must_use]
pub fn document_of_version_2(first: &Value, changes: &[VersionChange]) -> Value {
    let mut document = first.clone();
    let old = first.pointer("/components/schemas").cloned().unwrap_or_default();
    let mut requests = Vec::new();
    let paths = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .map(std::mem::take);
    let mut renamed = Map::new();
    for (path, mut operations) in paths.unwrap_or_default() {
        for operation in operations.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
            for change in changes {
                change_examples(operation, &path, change);
                if change.paths.iter().any(|start| path.starts_with(start)) {
                    requests.extend(schema_names(operation.get("requestBody")));
                }
            }
        }
        let path = path
            .strip_prefix("/v1/")
            .map_or_else(|| path.clone(), |rest| format!("/v2/{rest}"));
        renamed.insert(path, operations);
    }
    if let Some(paths) = document.get_mut("paths") {
        *paths = renamed.into();
    }
    let mut left = Vec::new();
    let schemas = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut);
    for (name, schema) in schemas.into_iter().flatten() {
        for change in changes {
            let starts = format!("^{}_", change.kind.prefix);
            let pattern = schema.pointer("/properties/id/pattern").and_then(Value::as_str);
            if pattern.is_some_and(|pattern| pattern.starts_with(&starts)) {
                left.extend(split(schema, change, &old));
            } else if requests.contains(name) {
                rename(schema, change);
            }
        }
    }
    // What nothing refers to any more.
    let text = document.to_string();
    left.retain(|name| !text.contains(&format!("\"#/components/schemas/{name}\"")));
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        schemas.retain(|name, _| !left.contains(name));
    }
    document
}

/// The names of the schemas that a part of the document refers to directly.
fn schema_names(body: Option<&Value>) -> Vec<String> {
    let contents = body.and_then(|body| body.get("content")).and_then(Value::as_object);
    let names = contents.into_iter().flatten().filter_map(|(_, content)| {
        let name = content.pointer("/schema/$ref")?.as_str()?;
        Some(name.rsplit('/').next()?.to_owned())
    });
    names.collect()
}

fn change_examples(operation: &mut Value, path: &str, change: &VersionChange) {
    let examples = |body: &mut Value, each: &dyn Fn(&mut Value)| {
        let contents = body.get_mut("content").and_then(Value::as_object_mut);
        for content in contents.into_iter().flat_map(|map| map.values_mut()) {
            content.get_mut("example").into_iter().for_each(each);
        }
    };
    if let Some(body) = operation.get_mut("requestBody") {
        examples(body, &|example| {
            for field in change.references {
                change.rename_field(path, example, field);
            }
        });
    }
    let responses = operation.get_mut("responses").and_then(Value::as_object_mut);
    for response in responses.into_iter().flat_map(|map| map.values_mut()) {
        examples(response, &|example| change.response(example));
    }
}

/// Gives a document's schema two fields for each reference. Returns the names of the schemas that they had.
fn split(schema: &mut Value, change: &VersionChange, old: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for field in change.references {
        let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
            return names;
        };
        let Some(before) = properties.remove(*field) else {
            continue;
        };
        let parts = before.get("oneOf").and_then(Value::as_array);
        let is_nullable = parts.is_some_and(|parts| parts.iter().any(|part| part["type"] == "null"));
        let reference = before
            .get("$ref")
            .or_else(|| parts?.iter().find_map(|part| part.get("$ref")));
        let name = reference
            .and_then(Value::as_str)
            .and_then(|name| name.rsplit('/').next());
        names.extend(name.map(str::to_owned));
        let members = name.and_then(|name| old.get(name)?.get("oneOf")?.as_array());
        let object = members.and_then(|members| members.iter().find(|member| member.get("$ref").is_some()));
        let kind = if is_nullable {
            json!(["string", "null"])
        } else {
            json!("string")
        };
        properties.insert(
            format!("{field}_id"),
            json!({ "type": kind, "description": format!("The id of the {field}.") }),
        );
        if let Some(object) = object {
            let mut object = object.clone();
            if let Some(object) = object.as_object_mut() {
                let text = format!("The {field}, with `include={field}`.");
                object.insert("description".to_owned(), text.into());
            }
            properties.insert((*field).to_owned(), object);
        }
        require(schema, field);
    }
    names
}

/// Gives the references in a schema of requests their new names.
fn rename(schema: &mut Value, change: &VersionChange) {
    for field in change.references {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        let Some(properties) = properties else {
            return;
        };
        if let Some(property) = properties.remove(*field) {
            properties.insert(format!("{field}_id"), property);
            require(schema, field);
        }
    }
}

fn require(schema: &mut Value, field: &str) {
    let required = schema.get_mut("required").and_then(Value::as_array_mut);
    for name in required.into_iter().flatten().filter(|name| *name == field) {
        *name = format!("{field}_id").into();
    }
}
