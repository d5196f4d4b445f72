//! The schemas of bodies: those that types declare, pages of them, and merge patches.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;

use super::super::schema::{Schema, Schemas, Shape};

/// The path of schemas in the document.
const PATH: &str = "#/components/schemas/";

/// The schemas of the document, by name.
#[derive(Default)]
pub(super) struct Components(Map<String, Value>);

impl Components {
    /// The schemas.
    pub(super) fn into_schemas(self) -> Map<String, Value> {
        self.0
    }

    /// A media type with a body of this schema, and perhaps an example.
    pub(super) fn content(&mut self, schema: &Schema, example: Option<&Value>) -> Value {
        let mut content = json!({ "schema": self.reference(schema) });
        if let (Some(content), Some(example)) = (content.as_object_mut(), example) {
            content.insert("example".into(), example.clone());
        }
        content
    }

    /// Adds a schema, unless there is one of this name, and refers to it.
    pub(super) fn add(&mut self, name: &str, schema: impl FnOnce() -> Value) -> Value {
        if !self.0.contains_key(name) {
            let schema = schema();
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("{PATH}{name}") })
    }

    /// Adds a schema in place of one of this name.
    pub(super) fn replace(&mut self, old: &Schema, new: Value) {
        self.0.insert(old.name.clone(), new);
    }

    /// Adds the schema and those that it refers to, and refers to it.
    pub(super) fn reference(&mut self, schema: &Schema) -> Value {
        let mut own = schema.collected();
        let first = (!own.is_empty()).then(|| own.remove(0));
        for (name, nested) in own {
            self.add(&name, || plain(&nested));
        }
        let first = first.map(|(_, schema)| plain(&schema)).unwrap_or_default();
        match schema.shape {
            Shape::One => self.add(&schema.name, || first),
            Shape::List => {
                let item = self.add(&schema.name, || first);
                self.add(&format!("{}List", schema.name), || {
                    json!({
                        "type": "object",
                        "description": format!("A page of items, each a {}.", schema.name),
                        "required": ["items", "next_cursor", "prev_cursor", "total", "total_is_exact"],
                        "properties": {
                            "items": { "type": "array", "items": item, "description": "The items." },
                            "next_cursor": {
                                "type": ["string", "null"],
                                "description": "The cursor of the next page; null on the last page.",
                            },
                            "prev_cursor": {
                                "type": ["string", "null"],
                                "description": "The cursor of the page before; null on the first page, and in lists that are only read forwards.",
                            },
                            "total": {
                                "type": ["integer", "null"],
                                "minimum": 0,
                                "description": "The number of items of the list, counted for its first page; null if it is not counted.",
                            },
                            "total_is_exact": {
                                "type": "boolean",
                                "description": "Whether `total` is exact; if not, there are at least so many.",
                            },
                        },
                    })
                })
            }
            Shape::Patch { without } => {
                let patch = self.patch(first, without);
                self.add(&schema.name, || patch)
            }
        }
    }

    /// The schema of a merge patch (RFC 7396) of this schema: no field is required, and a field that may be absent may be
    /// null, which clears it. Objects in it are patches too.
    fn patch(&mut self, mut schema: Value, without: &[&str]) -> Value {
        let Some(fields) = schema.as_object_mut() else {
            return schema;
        };
        let required = fields.remove("required").unwrap_or_default();
        let is_required = |name: &str| {
            required
                .as_array()
                .is_some_and(|names| names.iter().any(|one| one == name))
        };
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            properties.retain(|name, _| !without.contains(&name.as_str()));
            for (name, property) in properties.iter_mut() {
                self.patch_property(property);
                if !is_required(name) {
                    nullable(property);
                }
            }
        }
        let about = "A merge patch (RFC 7396): absent fields are unchanged, null clears a field.";
        fields.insert("description".into(), json!(about));
        schema
    }

    /// What a patch may give a field of this schema.
    fn patch_property(&mut self, property: &mut Value) {
        let Some(fields) = property.as_object_mut() else {
            return;
        };
        // An absent field is unchanged.
        fields.remove("default");
        if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
            choices.iter_mut().for_each(|choice| self.patch_property(choice));
        }
        if let Some(values) = fields
            .get_mut("additionalProperties")
            .filter(|values| values.is_object())
        {
            nullable(values);
        }
        let name = fields.get("$ref").and_then(|path| path.as_str()?.strip_prefix(PATH));
        let name = name.map(str::to_owned).unwrap_or_default();
        let target = self.0.get(&name).filter(|schema| schema.get("properties").is_some());
        if let Some(target) = target.cloned() {
            let patch = self.patch(target, &[]);
            let reference = self.add(&format!("Update{name}"), || patch);
            if let Value::Object(reference) = reference {
                fields.extend(reference);
            }
        }
    }
}

impl Schema {
    /// The schema itself.
    pub(super) fn own_schema(&self) -> Value {
        self.collected()
            .first()
            .map(|(_, schema)| plain(schema))
            .unwrap_or_default()
    }

    fn collected(&self) -> Schemas {
        let mut all = Vec::new();
        (self.collect)(&mut all);
        all
    }

    /// The names of the properties, of a page those of its items, with those of `allOf` parts.
    pub(super) fn property_names(&self) -> Vec<String> {
        let schemas = self.collected();
        let resolved = |schema: &Value| {
            let name = schema.get("$ref").and_then(|path| path.as_str()?.strip_prefix(PATH));
            let named = schemas.iter().find(|(other, _)| Some(other.as_str()) == name);
            named.map_or_else(|| schema.clone(), |(_, schema)| plain(schema))
        };
        let own = self.own_schema();
        let first = resolved(own.pointer("/properties/items/items").unwrap_or(&own));
        let parts = first.get("allOf").and_then(Value::as_array);
        let mut names = Vec::new();
        for part in parts.map_or(std::slice::from_ref(&first), Vec::as_slice) {
            let part = resolved(part);
            let properties = part.get("properties").and_then(Value::as_object);
            names.extend(properties.into_iter().flat_map(Map::keys).cloned());
        }
        names.sort_unstable();
        names
    }
}

/// A schema as JSON.
pub(super) fn plain(schema: &RefOr<utoipa::openapi::Schema>) -> Value {
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    unwrap_single(&mut schema);
    schema
}

/// Replaces each choice of one schema by that schema, with the description of the choice.
fn unwrap_single(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(unwrap_single);
            if let Some(Value::Array(choices)) = fields.get("oneOf")
                && let [Value::Object(only)] = choices.as_slice()
            {
                let only = only.clone();
                fields.remove("oneOf");
                for (name, value) in only {
                    fields.entry(name).or_insert(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_single),
        _ => {}
    }
}

/// Allows null beside what the schema allows.
fn nullable(schema: &mut Value) {
    let nothing = json!({ "type": "null" });
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(choices)) = fields.get_mut("oneOf") {
        if !choices.contains(&nothing) {
            choices.push(nothing);
        }
        return;
    }
    match fields.get("type").cloned() {
        Some(Value::String(kind)) => {
            fields.insert("type".into(), json!([kind, "null"]));
        }
        Some(Value::Array(kinds)) if !kinds.iter().any(|kind| kind == "null") => {
            let kinds: Vec<Value> = kinds.into_iter().chain([json!("null")]).collect();
            fields.insert("type".into(), Value::Array(kinds));
        }
        Some(_) => {}
        None => {
            let about = fields.remove("description");
            let mut choices = json!({ "oneOf": [Value::Object(fields.clone()), nothing] });
            if let (Some(choices), Some(about)) = (choices.as_object_mut(), about) {
                choices.insert("description".into(), about);
            }
            *schema = choices;
        }
    }
}
