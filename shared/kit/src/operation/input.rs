//! Input of operations: deserialization, validation and merge patches.

use std::collections::HashSet;

use garde::Validate;
use serde::de::value;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use souk_core::fault::field_errors;
use souk_core::{Fault, FieldCode, FieldError};

use super::Failure;
use super::read::{Json, Misfit};

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

/// Deserializes a value; the error is the first field that does not fit.
pub fn deserialized<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(Json(value)).map_err(misfit)
}

/// Deserializes and validates the input; the error lists every invalid field.
pub fn validated<T: DeserializeOwned + Validate<Context = ()>>(value: Value) -> Result<T, Failure> {
    let mut value = value;
    let mut errors: Vec<FieldError> = Vec::new();
    // serde stops at the first invalid field. Record that field, remove it and deserialize again, to find all of them.
    // Unknown fields, of which there may be thousands, are removed together, so there is one round per field of `T`.
    let read: T = loop {
        match serde_path_to_error::deserialize(Json(&value)) {
            Ok(read) => break read,
            Err(error) => {
                let fault = misfit(error);
                let Some(fields) = value.as_object_mut() else {
                    return Err(Failure::Invalid(vec![fault]));
                };
                let (known, before) = (fields_of::<T>(), fields.len());
                fields.retain(|name, _| {
                    let stays = known.is_empty() || known.contains(&name.as_str());
                    if !stays {
                        errors.push(FieldError::new(name, Fault::unknown_field()));
                    }
                    stays
                });
                // This happens once. If the fault is another one it is found again.
                if fields.len() < before {
                    continue;
                }
                let removed = fields.remove(top(&fault.field)).is_some();
                // A value that was removed may be missing now.
                let is_known = errors.iter().any(|known| known.field == fault.field);
                if !is_known || fault.code != FieldCode::Required {
                    errors.push(fault);
                }
                if !removed {
                    return Err(Failure::Invalid(errors));
                }
            }
        }
    };
    if let Err(report) = read.validate() {
        let misfits: HashSet<String> = errors.iter().map(|error| top(&error.field).to_owned()).collect();
        errors.extend(field_errors(&report).filter(|error| !misfits.contains(top(&error.field))));
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
fn misfit(error: serde_path_to_error::Error<Misfit>) -> FieldError {
    let path = error.path().to_string();
    let Misfit { field: named, fault } = error.into_inner();
    let field = match (path.as_str(), named) {
        (".", named) => named.unwrap_or_default(),
        (path, Some(name)) if !path.ends_with(&*name) => format!("{path}.{name}"),
        (path, _) => path.to_owned(),
    };
    FieldError::new(field, fault)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use souk_core::check;

    use super::*;

    #[derive(Debug, serde::Deserialize, serde::Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[garde(custom(check::line(1, 9)))]
        #[serde(default)]
        name: String,
        #[garde(custom(check::range(0, 9)))]
        #[serde(default)]
        count: i32,
        #[garde(inner(custom(check::line(0, 3))))]
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

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[garde(skip)]
        must: String,
        #[garde(skip)]
        #[serde(default)]
        color: Option<Color>,
        #[garde(skip)]
        #[serde(default)]
        small: u8,
        #[garde(skip)]
        #[serde(default)]
        part: Option<Part>,
        #[garde(skip)]
        #[serde(default)]
        ratio: f64,
        #[garde(skip)]
        #[serde(default)]
        at: Option<souk_core::Timestamp>,
    }

    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
        Blue,
    }

    #[derive(Debug, serde::Deserialize, serde::Serialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        amount: i64,
        unit: String,
    }

    /// Every way in which a body can have the wrong shape, in the words and codes that clients get.
    #[test]
    fn serde_speaks_to_people_and_programs() {
        let error = |field: &str, code: &str, params: Value, detail: &str| {
            let mut error = json!({ "field": field, "code": code, "params": params, "detail": detail });
            if params == json!({})
                && let Some(error) = error.as_object_mut()
            {
                error.remove("params");
            }
            error
        };
        let expected =
            |field: &str, kind: &str, detail: &str| error(field, "wrong_type", json!({ "expected": kind }), detail);
        for (body, faults) in [
            (json!({}), vec![error("must", "required", json!({}), "is required")]),
            (
                json!({ "must": null }),
                vec![error("must", "required", json!({}), "is required")],
            ),
            (json!({ "must": [] }), vec![expected("must", "string", "must be text")]),
            (json!([]), vec![expected("", "object", "must be an object")]),
            (json!("text"), vec![expected("", "object", "must be an object")]),
            (
                json!({ "must": "a", "color": "green", "small": 300, "part": [1, "m"], "ratio": "1" }),
                vec![
                    error(
                        "color",
                        "not_one_of",
                        json!({ "allowed": ["red", "blue"] }),
                        "must be one of red, blue",
                    ),
                    expected("part", "object", "must be an object"),
                    expected("ratio", "number", "must be a number"),
                    error(
                        "small",
                        "out_of_range",
                        json!({ "min": 0, "max": 255 }),
                        "must be from 0 to 255",
                    ),
                ],
            ),
            (
                json!({ "must": "a", "color": 1, "small": 1.5, "part": { "amount": "1", "unit": "m" }, "at": "noon" }),
                vec![
                    error("at", "invalid_format", json!({}), "is not written as it must be"),
                    error(
                        "color",
                        "not_one_of",
                        json!({ "allowed": ["red", "blue"] }),
                        "must be one of red, blue",
                    ),
                    expected("part.amount", "integer", "must be a whole number"),
                    expected("small", "integer", "must be a whole number"),
                ],
            ),
            (
                json!({ "must": "a", "part": { "amount": 1, "unit": "m", "other": 1 } }),
                vec![error("part.other", "unknown_field", json!({}), "is not a known field")],
            ),
            (
                json!({ "must": "a", "part": { "amount": 1 } }),
                vec![error("part.unit", "required", json!({}), "is required")],
            ),
            (
                json!({ "must": "a", "other": 1 }),
                vec![error("other", "unknown_field", json!({}), "is not a known field")],
            ),
        ] {
            let Err(Failure::Invalid(errors)) = validated::<Shape>(body.clone()) else {
                unreachable!("{body}")
            };
            let mut errors: Vec<Value> = errors
                .iter()
                .map(|error| serde_json::to_value(error).unwrap())
                .collect();
            errors.sort_by_key(|error| error["field"].to_string());
            assert_eq!(errors, faults, "{body}");
        }
        // Forms send blanks for what was not filled in.
        let blank = json!({ "must": "", "color": "", "part": " ", "at": "" });
        let read: Shape = validated(blank).unwrap();
        assert!(read.must.is_empty() && read.color.is_none() && read.part.is_none() && read.at.is_none());
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
