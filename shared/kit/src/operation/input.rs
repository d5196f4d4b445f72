//! Input of operations: deserialization, validation and merge patches.

use std::collections::HashSet;

use garde::Validate;
use serde::de::value;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use souk_core::FieldError;

use super::Failure;

/// A JSON merge patch (RFC 7396): an absent field is unchanged, null clears it, a value replaces it.
#[derive(Clone, Debug)]
pub struct MergePatch(Map<String, Value>);

impl MergePatch {
    /// A patch of these fields.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// The value that it gives a field, if it names the field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Applies the patch to `current` and validates the result with the rules of `T`, so that a patch needs no rules of
    /// its own.
    pub fn apply<T>(&self, current: &T) -> Result<T, Failure>
    where
        T: DeserializeOwned + serde::Serialize + Validate<Context = ()>,
    {
        let mut value = serde_json::to_value(current)?;
        json_patch::merge(&mut value, &Value::Object(self.0.clone()));
        validated(value)
    }
}

/// Deserializes and validates the input; the error lists every invalid field.
pub fn validated<T: DeserializeOwned + Validate<Context = ()>>(value: Value) -> Result<T, Failure> {
    // serde would also accept an array with the fields in order.
    if !value.is_object() {
        return Err(Failure::invalid("", "must be a JSON object"));
    }
    let mut value = value;
    let mut errors: Vec<FieldError> = Vec::new();
    // serde stops at the first invalid field. Record that field, remove it and deserialize again, to find all of them.
    // Unknown fields, of which there may be thousands, are removed together, so there is one round per field of `T`.
    let read: T = loop {
        match serde_path_to_error::deserialize(&value) {
            Ok(read) => break read,
            Err(error) => {
                let fault = misfit(&error);
                let Some(fields) = value.as_object_mut() else {
                    return Err(Failure::Invalid(vec![fault]));
                };
                let (known, before) = (fields_of::<T>(), fields.len());
                fields.retain(|name, _| {
                    let stays = known.is_empty() || known.contains(&name.as_str());
                    if !stays {
                        errors.push(FieldError::new(name, "is not a known field"));
                    }
                    stays
                });
                // This happens once. If the fault is another one it is found again.
                if fields.len() < before {
                    continue;
                }
                let removed = fields.remove(top(&fault.field)).is_some();
                errors.push(fault);
                if !removed {
                    return Err(Failure::Invalid(errors));
                }
            }
        }
    };
    if let Err(report) = read.validate() {
        let misfits: HashSet<String> = errors.iter().map(|error| top(&error.field).to_owned()).collect();
        for (path, error) in report.iter() {
            let field = path.to_string();
            if !misfits.contains(top(&field)) {
                errors.push(FieldError {
                    field,
                    detail: error.message().to_owned(),
                });
            }
        }
    }
    if errors.is_empty() {
        Ok(read)
    } else {
        Err(Failure::Invalid(errors))
    }
}

/// The names of the fields of a struct, as its `Deserialize` knows them; none if `T` is not a struct.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    /// Notes the fields that the struct asks for, and fails.
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
            Err(value::Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, value::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }
        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut fields: &'static [&'static str] = &[];
    drop(T::deserialize(Probe(&mut fields)));
    fields
}

/// The first field of a path such as `price.amount` or `tags[2]`.
fn top(path: &str) -> &str {
    path.split(['.', '[']).next().unwrap_or(path)
}

/// The invalid field, and the reason.
fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let path = error.path().to_string();
    let detail = error.inner().to_string();
    // The name of an unknown or missing field is only in the message.
    let named = detail.split('`').nth(1).filter(|_| detail.contains("field `"));
    let field = match (path.as_str(), named) {
        (".", Some(name)) => name.to_owned(),
        (path, Some(name)) if !path.ends_with(name) => format!("{path}.{name}"),
        (".", None) => String::new(),
        (path, _) => path.to_owned(),
    };
    FieldError { field, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, serde::Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[garde(length(min = 1))]
        #[serde(default)]
        name: String,
        #[garde(range(min = 0))]
        #[serde(default)]
        count: i32,
        #[garde(inner(length(max = 3)))]
        #[serde(default)]
        tags: Vec<String>,
        #[garde(skip)]
        #[serde(default)]
        note: Option<String>,
    }

    fn set(names: &[&str]) -> std::collections::BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn faults(json: &str) -> Vec<String> {
        let Err(Failure::Invalid(errors)) = validated::<Sample>(serde_json::from_str(json).unwrap()) else {
            unreachable!()
        };
        errors.into_iter().map(|e| e.field).collect()
    }

    #[test]
    fn every_fault_names_its_field() {
        assert_eq!(
            faults(r#"{"name": "", "count": -1, "tags": ["ok", "long"]}"#),
            ["count", "name", "tags[1]"]
        );
        assert_eq!(faults(r#"{"name": 7}"#), ["name"]);
        assert_eq!(faults(r#"{"name": "a", "tags": ["a", 1]}"#), ["tags[1]"]);
        assert_eq!(faults(r#"{"name": "a", "color": "red"}"#), ["color"]);
        let all = r#"{"name": 7, "count": -1, "tags": [1], "color": "red", "note": true}"#;
        assert_eq!(
            faults(all).into_iter().collect::<std::collections::BTreeSet<_>>(),
            set(&["name", "count", "tags[0]", "color", "note"])
        );
        assert_eq!(faults("[]"), [""]);
        // A field with the path of a nested one as its name.
        assert_eq!(
            faults(r#"{"name": "a", "tags[0]": 1, "tags": [1], "count.x": 1, "count": {"x": 1}}"#),
            ["count.x", "tags[0]", "count", "tags[0]"]
        );
    }

    /// A body with thousands of faults is read once per known field, not once per fault: then this would take minutes.
    #[test]
    fn unknown_fields_are_found_together() {
        let mut body: Map<String, Value> = (0..20_000).map(|n| (format!("x{n}"), Value::Null)).collect();
        body.insert("count".into(), Value::from("many"));
        body.insert("name".into(), Value::from(""));
        let Err(Failure::Invalid(errors)) = validated::<Sample>(Value::Object(body)) else {
            unreachable!()
        };
        assert_eq!(errors.len(), 20_002);
        assert_eq!(fields_of::<Sample>(), ["name", "count", "tags", "note"]);
        assert!(fields_of::<Vec<Sample>>().is_empty());
    }

    #[test]
    fn a_patch_tells_absent_null_and_value_apart() {
        let now = Sample {
            name: "a".into(),
            count: 1,
            tags: vec!["x".into()],
            note: Some("n".into()),
        };
        let Value::Object(map) = serde_json::json!({ "note": null, "count": 2 }) else {
            unreachable!()
        };
        let next = MergePatch(map).apply(&now).unwrap();
        assert_eq!(
            (next.name.as_str(), next.count, next.tags.len(), next.note),
            ("a", 2, 1, None)
        );
        let Value::Object(map) = serde_json::json!({ "name": null }) else {
            unreachable!()
        };
        assert!(MergePatch(map).apply(&now).is_err());
    }
}
