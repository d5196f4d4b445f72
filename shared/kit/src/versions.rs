//! Later versions of the API, by how they differ from the first.

use serde_json::{Map, Value};
use souk_core::Kind;

/// The version that paths have of which a later one differs.
const FIRST: &str = "/v1/";

/// How documents of a kind differ from version 2 on: references, which are ids or, if `include` names them, objects, become two
/// fields. `{field}_id` always has the id, and `{field}` the object, if it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct VersionChange {
    /// The kind of the documents.
    pub kind: Kind,
    /// The references.
    pub references: &'static [&'static str],
    /// Where requests have them: the beginnings of paths.
    pub paths: &'static [&'static str],
}

/// The path of the first version of a path of the second; `None` for other paths.
pub(crate) fn first(path: &str) -> Option<String> {
    Some([FIRST, path.strip_prefix("/v2/")?].concat())
}

impl VersionChange {
    /// Changes the fields of a request of version 2 into those of the first. Fails with the field that version 2 does not know.
    pub(crate) fn request(&self, path: &str, body: &mut Value) -> Result<(), &'static str> {
        let Value::Object(fields) = body else {
            return Ok(());
        };
        if !self.paths.iter().any(|start| path.starts_with(start)) {
            return Ok(());
        }
        for field in self.references {
            if fields.contains_key(*field) {
                return Err(field);
            }
            if let Some(id) = fields.remove(&id_of(field)) {
                fields.insert((*field).to_owned(), id);
            }
        }
        Ok(())
    }

    /// Gives a reference in an example of a request its name in version 2.
    #[cfg(feature = "openapi")]
    pub(crate) fn rename_field(&self, path: &str, example: &mut Value, field: &str) {
        if let Value::Object(fields) = example
            && self.paths.iter().any(|start| path.starts_with(start))
            && let Some(id) = fields.remove(field)
        {
            fields.insert(id_of(field), id);
        }
    }

    /// Changes an answer of the first version into one of version 2, wherever it has such documents.
    pub(crate) fn response(&self, value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|item| self.response(item)),
            Value::Object(fields) => {
                let is_ours = fields
                    .get("id")
                    .and_then(Value::as_str)
                    .is_some_and(|id| self.kind.is_id(id));
                if is_ours {
                    self.split(fields);
                    // What else such a document has is its owner's, such as attributes.
                    for field in self.references {
                        if let Some(object) = fields.get_mut(*field) {
                            self.response(object);
                        }
                    }
                } else {
                    fields.values_mut().for_each(|item| self.response(item));
                }
            }
            _ => {}
        }
    }

    fn split(&self, fields: &mut Map<String, Value>) {
        for field in self.references {
            let id = match fields.get(*field) {
                Some(Value::Object(object)) => object.get("id").cloned(),
                Some(_) => fields.remove(*field),
                None => continue,
            };
            fields.insert(id_of(field), id.unwrap_or_default());
        }
    }

    /// The name that a field has in the first version: for the parameter `fields`.
    pub(crate) fn old_name<'n>(&self, name: &'n str) -> Option<&'n str> {
        let field = name.strip_suffix("_id")?;
        self.references.contains(&field).then_some(field)
    }

    /// The name that a field has in version 2, for errors.
    pub(crate) fn new_name(&self, name: &str) -> Option<String> {
        self.references.contains(&name).then(|| id_of(name))
    }
}

fn id_of(field: &str) -> String {
    format!("{field}_id")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CHANGE: VersionChange = VersionChange {
        kind: Kind::new("thing", "thg"),
        references: &["maker", "shelf"],
        paths: &["/v1/things"],
    };

    #[test]
    fn a_reference_is_an_id_and_perhaps_an_object() {
        let id = "thg_0194bbd7e6007abc8def0123456789ab";
        let mut answer = json!({ "items": [
            { "id": id, "maker": "mkr_1", "shelf": null, "name": "A" },
            { "id": id, "maker": { "id": "mkr_1", "name": "M" }, "attributes": [{ "id": id, "shelf": "s" }] },
            { "id": "other", "maker": "mkr_1" },
        ]});
        CHANGE.response(&mut answer);
        let expected = json!({ "items": [
            { "id": id, "maker_id": "mkr_1", "shelf_id": null, "name": "A" },
            { "id": id, "maker_id": "mkr_1", "maker": { "id": "mkr_1", "name": "M" }, "attributes": [{ "id": id, "shelf": "s" }] },
            { "id": "other", "maker": "mkr_1" },
        ]});
        assert_eq!(answer, expected);
    }

    #[test]
    fn requests_have_ids_only() {
        let mut body = json!({ "maker_id": "mkr_1", "name": "A" });
        assert_eq!(CHANGE.request("/v1/things/1", &mut body), Ok(()));
        assert_eq!(body, json!({ "maker": "mkr_1", "name": "A" }));
        let mut old = json!({ "shelf": "s" });
        assert_eq!(CHANGE.request("/v1/things", &mut old), Err("shelf"));
        assert_eq!(CHANGE.request("/v1/others", &mut old), Ok(()));
    }
}
