//! Renders stored documents for clients: the counters and the version are added to the stored body as text. The JSON is
//! parsed only for `fields` and `include` (CB-18), and only as far as the fields: their values stay text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use souk_core::documents::MAX_KEYS;
use souk_core::include::Make;
use souk_core::{Document, Fault, FieldError, Include, Key, Kind, StoreError};

use super::splice::{Splice, find, spliced};
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

/// The same as text, of which no value is parsed.
fn public_text(kind: Kind, document: &Document) -> Result<Vec<u8>, StoreError> {
    let text = render(document);
    if kind.public_fields.is_empty() {
        return Ok(text);
    }
    let select = || {
        let mut fields: Fields<'_> = serde_json::from_slice(&text)?;
        fields.retain(|field, _| kind.public_fields.contains(field));
        serde_json::to_vec(&fields)
    };
    select().map_err(|e| StoreError::Corrupt(format!("{}: {e}", document.key.pk)))
}

/// The fields of a JSON object, with their values as text.
type Fields<'a> = BTreeMap<&'a str, &'a RawValue>;

/// A value that takes a field of a document.
struct Addition<'a> {
    field: &'a str,
    /// The value that the document has there.
    old: Option<&'a RawValue>,
    source: Source,
}

/// Where the value of an [`Addition`] comes from.
enum Source {
    /// The document of this kind, by its place among [`Wanted`].
    Reference(Kind, usize),
    /// The documents, by their places, and what is made from them.
    Lookup(Vec<usize>, Make),
    /// Nowhere: it is `null`.
    Nothing,
}

/// The keys of all documents that a page needs, each once.
#[derive(Default)]
struct Wanted(HashMap<Key, usize>);

impl Wanted {
    /// The place of a key.
    fn place(&mut self, key: Key) -> usize {
        let next = self.0.len();
        *self.0.entry(key).or_insert(next)
    }

    /// The keys, by their places.
    fn into_keys(self) -> Vec<Key> {
        let mut keys: Vec<(Key, usize)> = self.0.into_iter().collect();
        keys.sort_unstable_by_key(|(_, place)| *place);
        keys.into_iter().map(|(key, _)| key).collect()
    }
}

/// The fields that a client selected, and the ids that it wants replaced by their documents.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    fields: Option<Vec<String>>,
    include: Vec<String>,
}

impl Selection {
    /// Reads `fields` and `include`; a name that is not in the given lists is a 400, as is including what `fields` leaves out.
    pub fn read(params: &QueryParams, fields: &[&str], include: &[&str]) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let mut names = |name: &str, known: &[&str]| {
            params.get(name).map(|text| {
                let chosen: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
                for unknown in chosen.iter().filter(|part| !known.contains(&part.as_str())) {
                    let detail = format!("{unknown:?} is not one of {}", known.join(", "));
                    errors.push(FieldError::new(name, Fault::not_one_of(known).because(detail)));
                }
                chosen
            })
        };
        let selection = Self {
            fields: names("fields", fields),
            include: names("include", include).unwrap_or_default(),
        };
        if let Some(fields) = &selection.fields {
            for name in selection.include.iter().filter(|name| !fields.contains(name)) {
                let fault = Fault::inconsistent("fields", format!("{name:?} is left out by fields"));
                errors.push(FieldError::new("include", fault));
            }
        }
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

    /// Whether `fields` was not sent, so that all fields are shown.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fields.is_none()
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

    /// The selected fields of these documents, with what `include` adds to them. Everything that this takes is read with one
    /// batched get, or several at once if it is much.
    pub async fn render_with(
        &self,
        cx: &Context,
        documents: &[Document],
        includes: &[(&str, Include)],
    ) -> Result<Vec<Vec<u8>>, Problem> {
        let wanted: Vec<_> = includes.iter().filter(|(name, _)| self.includes(name)).collect();
        if wanted.is_empty() {
            return self.render_all(documents);
        }
        // The fields to replace, and behind them those that lookups depend on.
        let mut names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        for (_, include) in &wanted {
            if let Include::ForPrincipal(fields, _) = include {
                let others = fields.iter().filter(|field| !names.contains(field));
                let others: Vec<_> = others.copied().collect();
                names.extend(others);
            }
        }
        let rendered: Vec<Vec<u8>> = documents.iter().map(render).collect();
        let mut additions: Vec<Vec<Addition<'_>>> = Vec::with_capacity(documents.len());
        let mut places = Wanted::default();
        for text in &rendered {
            let found = find(&names, text)?;
            let value_of = |field: &&str| {
                let place = names.iter().position(|name| name == field)?;
                found.get(place).copied().flatten().map(RawValue::get)
            };
            let mut own = Vec::with_capacity(wanted.len());
            for ((field, include), old) in wanted.iter().zip(found.iter().copied()) {
                let source = match include {
                    Include::Reference(kind) => {
                        let id = old.and_then(|id| serde_json::from_str::<&str>(id.get()).ok());
                        let Some(id) = id else { continue };
                        Source::Reference(*kind, places.place(kind.key(id)))
                    }
                    Include::ForPrincipal(fields, look_up) => match cx.principal() {
                        Some(principal) => {
                            let values: Vec<Option<&str>> = fields.iter().map(value_of).collect();
                            let lookup = look_up(principal, &values).map_err(Failure::from)?;
                            let keys = lookup.keys.into_iter().map(|key| places.place(key)).collect();
                            Source::Lookup(keys, lookup.make)
                        }
                        None => Source::Nothing,
                    },
                };
                own.push(Addition { field, old, source });
            }
            additions.push(own);
        }
        let keys = places.into_keys();
        let found = try_join_all(keys.chunks(MAX_KEYS).map(|some| cx.get_all(some))).await?;
        let found: Vec<Option<Document>> = found.into_iter().flatten().collect();
        let at = |place: usize| found.get(place).and_then(Option::as_ref);

        // A document that several refer to is rendered once.
        let mut shown: HashMap<usize, Arc<[u8]>> = HashMap::new();
        let mut complete = Vec::with_capacity(documents.len());
        for (text, additions) in rendered.iter().zip(additions) {
            let mut fields = Vec::with_capacity(additions.len());
            for Addition { field, old, source } in additions {
                let new = match source {
                    Source::Reference(kind, place) => match (shown.get(&place), at(place)) {
                        (Some(value), _) => value.clone(),
                        (None, Some(document)) => {
                            let value: Arc<[u8]> = public_text(kind, document).map_err(Failure::from)?.into();
                            shown.insert(place, value.clone());
                            value
                        }
                        // The id stays.
                        (None, None) => continue,
                    },
                    Source::Lookup(places, make) => {
                        let documents: Vec<Option<&Document>> = places.into_iter().map(at).collect();
                        make(&documents).map_err(Failure::from)?.into()
                    }
                    Source::Nothing => b"null".as_slice().into(),
                };
                fields.push(Splice { field, old, new });
            }
            let text = spliced(text, fields);
            complete.push(if self.is_whole() { text } else { self.apply(&text)? });
        }
        Ok(complete)
    }

    fn select(&self, object: &mut Fields<'_>) {
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
        let mut object: Fields<'_> = serde_json::from_slice(rendered)?;
        self.select(&mut object);
        Ok(serde_json::to_vec(&object)?)
    }
}
