//! Puts values into the text of a JSON object, which is neither parsed into a tree nor serialized again.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of these fields of a JSON object, as parts of its text.
pub(super) fn find<'t>(fields: &[&str], text: &'t [u8]) -> serde_json::Result<Vec<Option<&'t RawValue>>> {
    Find(fields).deserialize(&mut serde_json::Deserializer::from_slice(text))
}

struct Find<'f>(&'f [&'f str]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(name) = map.next_key::<&str>()? {
            match self.0.iter().zip(&mut found).find(|(field, _)| **field == name) {
                Some((_, slot)) => *slot = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// A new value for a field of an object.
pub(super) struct Splice<'t> {
    pub(super) field: &'t str,
    /// The value that the object has there, as [`find`] found it in its text.
    pub(super) old: Option<&'t RawValue>,
    /// JSON.
    pub(super) new: Arc<[u8]>,
}

/// The object with the new values.
pub(super) fn spliced(text: &[u8], mut splices: Vec<Splice<'_>>) -> Vec<u8> {
    // A value is a part of the text, so its address tells its place. A new field comes last.
    let place = |splice: &Splice<'_>| match splice.old {
        Some(old) => (old.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize),
        None => text.len().saturating_sub(1),
    };
    splices.sort_by_key(place);
    let size: usize = splices
        .iter()
        .map(|splice| splice.field.len() + splice.new.len() + 4)
        .sum();
    let mut out = Vec::with_capacity(text.len() + size);
    let mut from = 0;
    for splice in &splices {
        let place = place(splice);
        out.extend_from_slice(text.get(from..place).unwrap_or_default());
        from = place;
        match splice.old {
            Some(old) => from += old.get().len(),
            None => {
                let comma = if out.len() > 1 { "," } else { "" };
                out.extend_from_slice(format!("{comma}\"{}\":", splice.field).as_bytes());
            }
        }
        out.extend_from_slice(&splice.new);
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_fields_change() {
        let names = ["vendor", "viewer", "category"];
        let new = |n: usize| json!({ "id": n, "text": "\"vendor\":\"}" });
        for text in [
            "{}",
            r#"{"vendor":null}"#,
            r#"{"category":"c","a":[{"vendor":"inner"}],"vendor":"v","b":"\"vendor\":1"}"#,
            r#"{"viewer":{"x":[1,2]},"é":"𝄞","category":1.50,"z":1.50}"#,
        ] {
            let old = find(&names, text.as_bytes()).unwrap();
            let splices = names.iter().zip(old).enumerate();
            let splices = splices.map(|(n, (field, old))| Splice {
                field,
                old,
                new: serde_json::to_vec(&new(n)).unwrap().into(),
            });
            let result = spliced(text.as_bytes(), splices.collect());
            let mut expected: Value = serde_json::from_str(text).unwrap();
            for (n, name) in names.iter().enumerate() {
                expected[*name] = new(n);
            }
            assert_eq!(serde_json::from_slice::<Value>(&result).unwrap(), expected, "{text}");
            assert_eq!(
                text.contains("\"z\":1.50"),
                result.windows(8).any(|part| part == b"\"z\":1.50")
            );
        }
    }
}
