//! From a stored document to what a client sees: the body as it is stored, with its counters and version spliced in.
//!
//! No parsing on the way. Only `fields` and `include` (CB-18) take the JSON apart.

use serde_json::{Map, Value};
use souk_core::{Change, Condition, Document, Key, Kind};

use crate::route::Params;
use crate::{Answer, FieldError, Problem};

/// The document as clients see it: `{…body, …counters, "version": n}`. Bodies are JSON objects that hold nothing private.
#[must_use]
pub fn view(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.body.len() + document.counters.len() + 32);
    view_into(document, &mut out);
    out
}

/// [`view`], behind what is in `out` already.
pub(crate) fn view_into(document: &Document, out: &mut Vec<u8>) {
    out.push(b'{');
    for object in [&document.body, &document.counters] {
        let inner = object
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or("");
        if !inner.is_empty() {
            out.extend_from_slice(inner.as_bytes());
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"version\":");
    decimal(document.version, out);
    out.push(b'}');
}

/// A number, behind what is in `out` already. JSON's digits come without the machinery of `format!`.
pub(crate) fn decimal(number: u64, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = serde_json::to_writer(out, &number);
}

/// An account as others see it, for `include=author`.
pub fn profile(account: &Document) -> Result<Map<String, Value>, Problem> {
    const PUBLIC: [&str; 6] = ["id", "username", "name", "bio", "avatar", "created_at"];
    let mut map: Map<String, Value> =
        serde_json::from_str(&account.body).map_err(|e| Problem::internal(e.to_string()))?;
    map.retain(|field, _| PUBLIC.contains(&field.as_str()));
    Ok(map)
}

/// For `skip_serializing_if`: such fields (counters, the version) are kept beside the body, and [`view`] puts them back.
pub fn beside<T>(_: &T) -> bool {
    true
}

/// The body to store for `thing`, and the answer that shows it at `version` with these counters.
pub fn written(
    key: Key,
    thing: &impl serde::Serialize,
    counters: &str,
    version: u64,
) -> Result<(String, Answer), Problem> {
    let body = serde_json::to_string(thing).map_err(|e| Problem::internal(e.to_string()))?;
    let document = Document {
        key,
        version,
        body,
        counters: counters.to_owned(),
        expires_at: None,
    };
    let answer = Answer::raw(view(&document)).version(version);
    Ok((document.body, answer))
}

/// The changes that give a thing another unique name: claim the new one, give back the old one.
#[must_use]
pub fn rename(kind: Kind, old: &str, new: &str, id: &str) -> Vec<Change> {
    if old == new {
        return Vec::new();
    }
    let give_back = Change::Delete {
        key: kind.name_key(old),
        condition: Condition::Exists,
        stale: Vec::new(),
    };
    vec![Change::claim(kind.name_key(new), id), give_back]
}

/// Which fields a client wants, and which ids it wants opened out.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    fields: Option<Vec<String>>,
    /// The names after `include=`.
    pub include: Vec<String>,
}

impl Selection {
    /// Reads `fields` and `include`, and refuses names that are not among those given.
    pub fn read(params: &Params, fields: &[&str], include: &[&str]) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let mut names = |name: &str, known: &[&str]| {
            params.get(name).map(|text| {
                let chosen: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
                for unknown in chosen.iter().filter(|part| !known.contains(&part.as_str())) {
                    let detail = format!("{unknown:?} is not one of {}", known.join(", "));
                    errors.push(FieldError {
                        field: name.into(),
                        detail,
                    });
                }
                chosen
            })
        };
        let selection = Self {
            fields: names("fields", fields),
            include: names("include", include).unwrap_or_default(),
        };
        if errors.is_empty() {
            return Ok(selection);
        }
        let mut problem = Problem::bad_request("a parameter is not valid");
        problem.errors = errors;
        Err(problem)
    }

    /// Whether nothing special was asked for, so that [`view`] is the answer.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.fields.is_none() && self.include.is_empty()
    }

    /// Whether this id shall be opened out.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.include.iter().any(|included| included == name)
    }

    /// The chosen fields of a viewed document, with `open` given the chance to replace ids by what they name.
    pub fn apply(&self, viewed: &[u8], open: impl FnOnce(&mut Map<String, Value>)) -> Result<Vec<u8>, Problem> {
        let failed = |e: serde_json::Error| Problem::internal(e.to_string());
        let mut map: Map<String, Value> = serde_json::from_slice(viewed).map_err(failed)?;
        open(&mut map);
        if let Some(fields) = &self.fields {
            map.retain(|name, _| fields.iter().any(|field| field == name));
        }
        serde_json::to_vec(&map).map_err(failed)
    }
}
