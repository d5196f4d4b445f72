//! The `webhooks` of the document: one for each type of event, told apart by `type`.

use serde_json::{Map, Value, json};
use souk_core::EventType;

use super::super::route::Notification;
use super::schemas::{Components, plain};

/// The requests that subscribers get, by the type of the event. The envelope becomes one of the events.
pub(super) fn webhooks(
    tag: &str,
    notification: &Notification,
    events: &[&EventType],
    components: &mut Components,
) -> Map<String, Value> {
    let envelope = notification.body.own_schema();
    let mut all = Map::new();
    let (mut choices, mut mapping) = (Vec::new(), Map::new());
    for event in events {
        let schema = components.add(&format!("{}Event", camel(event.name)), || typed(&envelope, event));
        mapping.insert(event.name.to_owned(), schema.get("$ref").cloned().unwrap_or_default());
        choices.push(schema.clone());
        let path = json!({ "post": {
            "operationId": format!("on{}", camel(event.name)),
            "tags": [tag],
            "summary": event.summary,
            "description": notification.description,
            "security": [],
            "parameters": notification.headers.iter().map(|(name, about)| json!({
                "name": name, "in": "header", "required": true, "description": about, "schema": { "type": "string" },
            })).collect::<Vec<_>>(),
            "requestBody": { "required": true, "content": { "application/json": { "schema": schema } } },
            "responses": {
                "200": { "description": "The receiver has the event." },
                "410": { "description": "The receiver wants no more events." },
            },
        }});
        all.insert(event.name.to_owned(), path);
    }
    let about = envelope.get("description").cloned().unwrap_or_default();
    components.replace(
        &notification.body,
        json!({
            "description": about,
            "oneOf": choices,
            "discriminator": { "propertyName": "type", "mapping": mapping },
        }),
    );
    all
}

/// The envelope of an event of this type.
fn typed(envelope: &Value, event: &EventType) -> Value {
    let mut schema = envelope.clone();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), json!(event.summary));
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert(
                "type".into(),
                json!({ "type": "string", "const": event.name, "description": "The type of the event." }),
            );
            properties.insert("version".into(), json!({ "type": "integer", "const": event.version, "description": "The version of the schema of `data`." }));
            properties.insert("data".into(), plain(&event.schema));
        }
    }
    schema
}

/// `OrderPlaced` for `order.placed`.
fn camel(name: &str) -> String {
    let mut all = String::with_capacity(name.len());
    for word in name.split(['.', '_', '-']) {
        let mut letters = word.chars();
        all.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        all.push_str(letters.as_str());
    }
    all
}
