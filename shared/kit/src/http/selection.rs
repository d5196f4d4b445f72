//! Renders stored documents for clients: the counters and the version are added to the stored body as text. The JSON is
//! parsed only for `fields` and `include` (CB-18).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use souk_core::documents::MAX_KEYS;
use souk_core::{Document, FieldError, Key, Kind, StoreError};

use super::{Answer, Problem, QueryParams};
use crate::operation::{Context, Failure};

/// The public form of a document: `{…body, …counters, "version": n}`. The body is a JSON object without private fields.
#[must_use]
pub fn render(document: &Document) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.body.len() + document.counters.len() + 32);
    view_into(document, &mut out);
    out
}

/// [`render`], appended to `out`.
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

/// Appends a number in decimal digits, without the cost of `format!`.
pub(crate) fn decimal(number: u64, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _ = serde_json::to_writer(out, &number);
}

/// The public fields of a document, by its kind.
pub fn public_fields(kind: Kind, document: &Document) -> Result<Map<String, Value>, StoreError> {
    let text = render(document);
    let mut map: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|e| StoreError::Corrupt(format!("{}: {e}", document.key.pk)))?;
    if !kind.public_fields.is_empty() {
        map.retain(|field, _| kind.public_fields.contains(&field.as_str()));
    }
    Ok(map)
}

/// The fields that a client selected, and the ids that it wants replaced by their documents.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    fields: Option<Vec<String>>,
    include: Vec<String>,
}

impl Selection {
    /// Reads `fields` and `include`; a name that is not in the given lists is a 400.
    pub fn read(params: &QueryParams, fields: &[&str], include: &[&str]) -> Result<Self, Problem> {
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
        Err(Failure::BadParameter(errors).into())
    }

    /// Whether neither `fields` nor `include` was sent, so that [`render`] gives the result.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.fields.is_none() && self.include.is_empty()
    }

    /// Whether `fields` has this name.
    #[must_use]
    pub fn names(&self, field: &str) -> bool {
        self.fields
            .as_ref()
            .is_some_and(|fields| fields.iter().any(|name| name == field))
    }

    /// Whether `include` has this name.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.include.iter().any(|included| included == name)
    }

    /// The selected fields of a document, without included documents.
    pub fn render(&self, document: &Document) -> Result<Vec<u8>, Problem> {
        let rendered = render(document);
        if self.is_plain() {
            Ok(rendered)
        } else {
            self.apply(&rendered)
        }
    }

    /// The selected fields of these documents.
    pub fn render_all(&self, documents: &[Document]) -> Result<Vec<Vec<u8>>, Problem> {
        documents.iter().map(|document| self.render(document)).collect()
    }

    /// The selected fields of these documents. Where `include` names one of these fields, its id is replaced by the
    /// document; all of these documents are read with one batched get.
    pub async fn render_with(
        &self,
        cx: &Context,
        documents: &[Document],
        references: &[(&str, Kind)],
    ) -> Result<Vec<Vec<u8>>, Problem> {
        let wanted = references.iter().filter(|(field, _)| self.includes(field));
        let wanted: Vec<(&str, Kind)> = wanted.copied().collect();
        if wanted.is_empty() {
            return self.render_all(documents);
        }
        let mut objects: Vec<Map<String, Value>> = Vec::with_capacity(documents.len());
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        for document in documents {
            let object: Map<String, Value> = serde_json::from_slice(&render(document))?;
            let ids = wanted
                .iter()
                .filter_map(|(field, kind)| Some(kind.key(object.get(*field)?.as_str()?)));
            keys.extend(ids);
            objects.push(object);
        }
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut opened: BTreeMap<Key, Document> = BTreeMap::new();
        for some in keys.chunks(MAX_KEYS) {
            let found = cx.get_all(some).await?.into_iter().flatten();
            opened.extend(found.map(|document| (document.key.clone(), document)));
        }
        for object in &mut objects {
            for (field, kind) in &wanted {
                let id = object.get(*field).and_then(Value::as_str);
                if let Some(document) = id.and_then(|id| opened.get(&kind.key(id))) {
                    let shown = public_fields(*kind, document)?;
                    object.insert((*field).to_owned(), Value::Object(shown));
                }
            }
        }
        let select = |mut object: Map<String, Value>| {
            self.select(&mut object);
            Ok(serde_json::to_vec(&object)?)
        };
        objects.into_iter().map(select).collect()
    }

    fn select(&self, object: &mut Map<String, Value>) {
        if let Some(fields) = &self.fields {
            object.retain(|name, _| fields.iter().any(|field| field == name));
        }
    }

    /// The response with the selected fields of a document.
    pub fn answer(&self, document: &Document) -> Result<Answer, Problem> {
        Ok(Answer::raw(self.render(document)?).version(document.version))
    }

    /// The response with the selected fields of a value.
    pub fn render_value(&self, value: &impl serde::Serialize) -> Result<Vec<u8>, Problem> {
        let rendered = serde_json::to_vec(value)?;
        if self.is_plain() {
            Ok(rendered)
        } else {
            self.apply(&rendered)
        }
    }

    /// The selected fields of a rendered document.
    fn apply(&self, rendered: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut object: Map<String, Value> = serde_json::from_slice(rendered)?;
        self.select(&mut object);
        Ok(serde_json::to_vec(&object)?)
    }
}
