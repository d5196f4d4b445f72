//! The categories and vendors of an import: they are found by their names, and made if there are none.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use garde::Validate as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use souk_catalog::formats::Record;
use souk_catalog::operations::{create_category, edit_category, find_category};
use souk_catalog::{MAX_ATTRIBUTES, NewCategory};
use souk_core::{Fault, FieldError, Key, Kind, Query, check};
use souk_kit::{Context, Failure, IfMatch, MergePatch};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Attribute, AttributeType, Category, MAX_DEPTH, NAMED};
use souk_model::vendors::{VENDOR, VENDORS_NAMED, may_sell, seller_keys};
use souk_vendors::NewVendor;
use souk_vendors::operations::open_vendor;

use crate::{RecordError, Rules};

/// The longest label of an attribute, in bytes.
const MAX_LABEL: usize = 200;
/// How many vendors of one name are looked at to find those of the account.
const MAX_VENDORS: usize = 20;
/// How many categories of one name are told apart by their parents at most.
const MAX_NAMED: usize = 100;

/// The id of what is not made, because nothing is written.
fn to_be_made(key: &str) -> String {
    format!("to be made: {key}")
}

/// The attributes that the records of each category have, by the path of the category.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(HashMap<String, BTreeMap<String, Wanted>>);

/// An attribute that records have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    r#type: AttributeType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
}

/// The key of a path, from the root or of one name: names are compared as [`check::name_key`] says.
fn path_key(path: &[String], is_rooted: bool) -> String {
    let keys: Vec<String> = path.iter().map(|name| check::name_key(name)).collect();
    format!("{}{}", if is_rooted { "\u{1f}" } else { "" }, keys.join("\u{1f}"))
}

/// The type that has both kinds of values: a text, unless they are the same.
fn wider(a: AttributeType, b: AttributeType) -> AttributeType {
    if a == b { a } else { AttributeType::Text }
}

impl Attributes {
    /// Notes those of a record, and takes them from it.
    pub fn note(&mut self, record: &mut Record) {
        let (values, mut labels) = record.take_attributes();
        if values.is_empty() {
            return;
        }
        let known = self.0.entry(record_key(record)).or_default();
        for (name, value) in values {
            let count = known.len();
            let r#type = match value {
                Value::Bool(_) => AttributeType::Boolean,
                Value::Number(_) => AttributeType::Number,
                _ => AttributeType::Text,
            };
            match known.entry(name) {
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.r#type = wider(known.r#type, r#type);
                }
                // What a category has no room for is left out with the records that have it.
                Entry::Vacant(_) if count >= MAX_ATTRIBUTES => {}
                Entry::Vacant(place) => {
                    let label = labels.remove(place.key()).filter(|label| label.len() <= MAX_LABEL);
                    place.insert(Wanted { r#type, label });
                }
            }
        }
    }

    /// Those of the category of this record.
    pub(crate) fn of(&self, record: &Record) -> Self {
        let key = record_key(record);
        let of_category = self.0.get(&key).map(|wanted| (key, wanted.clone()));
        Self(of_category.into_iter().collect())
    }

    /// By how many bytes those of a category make these longer, as JSON.
    pub(crate) fn growth(&self, other: &Self) -> Result<usize, String> {
        if other.0.keys().all(|key| self.0.contains_key(key)) {
            return Ok(0);
        }
        let text = serde_json::to_string(other).map_err(|error| error.to_string())?;
        Ok(text.len())
    }

    /// Adds those of other categories.
    pub(crate) fn merge(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

fn record_key(record: &Record) -> String {
    path_key(record.path(), !record.category_path.is_empty())
}

/// A category of the import, with the attributes that it has or will have.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) id: String,
    category: Option<Category>,
    attributes: Vec<Attribute>,
}

impl Place {
    /// Gives the values the types of the attributes: a number is a text where other records have texts. Returns what is left out,
    /// if the import may not add attributes.
    pub(crate) fn adapt(&self, values: &mut Map<String, Value>, rules: Rules) -> Result<Vec<String>, RecordError> {
        let mut notes = Vec::new();
        if !rules.changes_categories {
            values.retain(|name, _| {
                let is_known = self.attributes.iter().any(|attribute| attribute.name == *name);
                if !is_known {
                    notes.push(format!("attribute left out: the category has no {name}"));
                }
                is_known
            });
        }
        for attribute in &self.attributes {
            let Some(value) = values.get_mut(&attribute.name) else {
                continue;
            };
            let is_plain = value.is_number() || value.is_boolean();
            if attribute.r#type == AttributeType::Text && is_plain {
                *value = Value::String(value.to_string());
            }
        }
        let Some(category) = &self.category else {
            // Of more attributes than a category may have, those seen first are made.
            let is_known = |name: &String| self.attributes.iter().any(|attribute| attribute.name == *name);
            return match values.keys().find(|name| !is_known(name)) {
                Some(name) => {
                    let detail = format!("is not one of the {MAX_ATTRIBUTES} attributes that the category gets");
                    Err(RecordError::of(&format!("attributes.{name}"), Fault::invalid(detail)))
                }
                None => Ok(notes),
            };
        };
        let widened = Category {
            attributes: self.attributes.clone(),
            ..category.clone()
        };
        match widened.faults(values) {
            faults if faults.is_empty() => Ok(notes),
            faults => Err(RecordError::Invalid(faults)),
        }
    }
}

pub(crate) struct Places<'a> {
    /// The context of the importing account.
    cx: &'a Context,
    rules: Rules,
    attributes: Attributes,
    /// The categories by path, or why there is none.
    categories: HashMap<String, Result<Arc<Place>, Vec<FieldError>>>,
    /// The ids of the vendors, by name.
    vendors: HashMap<String, String>,
}

/// The ids of the categories or vendors with this name; of many only some.
pub async fn ids_named(cx: &Context, index: &str, name: &str, limit: usize) -> Result<Vec<String>, Failure> {
    let prefix = check::named(name);
    let query = Query {
        prefix: prefix.clone(),
        ..Query::index(index, limit)
    };
    let page = cx.query(&query).await?;
    let ids = page.items.iter().filter_map(|item| item.sort.strip_prefix(&prefix));
    Ok(ids.map(str::to_owned).collect())
}

impl<'a> Places<'a> {
    pub(crate) fn new(cx: &'a Context, rules: Rules, attributes: Attributes) -> Self {
        Self {
            cx,
            rules,
            attributes,
            categories: HashMap::new(),
            vendors: HashMap::new(),
        }
    }

    /// The category with this path from the root, or with this one name anywhere in the tree.
    pub(crate) async fn category(&mut self, path: &[String], is_rooted: bool) -> Result<Arc<Place>, RecordError> {
        if path.len() > MAX_DEPTH {
            let fault = Fault::too_many(MAX_DEPTH).because(format!("is deeper than {MAX_DEPTH}"));
            return Err(RecordError::of("category_path", fault));
        }
        let key = path_key(path, is_rooted);
        if let Some(known) = self.categories.get(&key) {
            return known.clone().map_err(RecordError::Invalid);
        }
        let found = match self.look_up(path, is_rooted, &key).await {
            Ok(place) => Ok(Arc::new(place)),
            Err(RecordError::Invalid(errors)) => Err(errors),
            Err(failed) => return Err(failed),
        };
        self.categories.insert(key, found.clone());
        found.map_err(RecordError::Invalid)
    }

    async fn look_up(&mut self, path: &[String], is_rooted: bool, key: &str) -> Result<Place, RecordError> {
        let found = match path {
            [name] if !is_rooted => self.find(CATEGORY, NAMED, name).await?,
            _ => self.walk(path).await?,
        };
        let wanted = self.attributes.0.get(key).cloned().unwrap_or_default();
        if let Some(id) = found {
            return self.widened(id, &wanted).await;
        }
        Ok(Place {
            id: self.add_category(path, &wanted).await?,
            category: None,
            attributes: widen(&[], &wanted),
        })
    }

    /// The category at the end of a path from the root, if all of the path is there.
    async fn walk(&self, path: &[String]) -> Result<Option<String>, RecordError> {
        let mut parent: Option<String> = None;
        for name in path {
            let mut below = Vec::new();
            let keys: Vec<Key> = ids_named(self.cx, NAMED, name, MAX_NAMED)
                .await?
                .iter()
                .map(|id| CATEGORY.key(id))
                .collect();
            for document in self.cx.get_all(&keys).await?.into_iter().flatten() {
                let category: Category = document.parse().map_err(Failure::from)?;
                if category.parent == parent {
                    below.push(category.id);
                }
            }
            match <[String; 1]>::try_from(below) {
                Ok([id]) => parent = Some(id),
                Err(none) if none.is_empty() => return Ok(None),
                Err(_) => {
                    let detail = format!("{name:?} is the name of several in the same place");
                    return Err(RecordError::of("category_path", Fault::invalid(detail)));
                }
            }
        }
        Ok(parent)
    }

    /// A category that exists, with the attributes that its records have besides its own.
    async fn widened(&self, id: String, wanted: &BTreeMap<String, Wanted>) -> Result<Place, RecordError> {
        let category = find_category(self.cx, &id).await?.value;
        let attributes = match self.rules.changes_categories {
            true => widen(&category.attributes, wanted),
            false => category.attributes.clone(),
        };
        if attributes != category.attributes && !self.rules.dry_run {
            let patch = json!({ "attributes": attributes });
            let patch = MergePatch::new(patch.as_object().cloned().unwrap_or_default());
            edit_category(self.cx, &id, &IfMatch::default(), &patch).await?;
        }
        Ok(Place {
            id,
            category: Some(category),
            attributes,
        })
    }

    /// Makes the category at the end of a path, and those above it that are not there.
    async fn add_category(
        &mut self,
        path: &[String],
        wanted: &BTreeMap<String, Wanted>,
    ) -> Result<String, RecordError> {
        let Some((name, above)) = path.split_last() else {
            return Err(RecordError::of("category", Fault::required()));
        };
        if !self.rules.changes_categories {
            let detail = format!(
                "there is no category {:?}; this takes the permission imports:market",
                path.join(" > ")
            );
            return Err(RecordError::of(
                "category",
                Fault::not_found("category").because(detail),
            ));
        }
        is_name(CATEGORY, name)?;
        let parent = match above {
            [] => None,
            // The one above is at the root of the tree, or below others: it is known by its path.
            _ => Some(match self.walk(above).await? {
                Some(id) => id,
                None => Box::pin(self.add_category(above, &BTreeMap::new())).await?,
            }),
        };
        if self.rules.dry_run {
            return Ok(to_be_made(&path_key(path, true)));
        }
        let new = NewCategory {
            name: name.clone(),
            slug: None,
            description: String::new(),
            icon: None,
            color: None,
            parent,
            attributes: widen(&[], wanted),
        };
        Ok(create_category(self.cx, new).await?.value.id)
    }

    /// The vendor with this name.
    pub(crate) async fn vendor(&mut self, name: &str) -> Result<String, RecordError> {
        let key = check::name_key(name);
        if let Some(id) = self.vendors.get(&key) {
            return Ok(id.clone());
        }
        let mut named = ids_named(self.cx, VENDORS_NAMED, name, MAX_VENDORS).await?;
        if named.len() > 1 {
            // Others may have taken the same name. Of several own ones it is the oldest.
            let mut own = Vec::new();
            for id in named {
                if self.sells_for(&id).await? {
                    own.push(id);
                }
            }
            own.sort_unstable();
            own.truncate(1);
            named = own;
        }
        let found = match named.pop() {
            Some(id) => Some(id),
            None => self.find(VENDOR, VENDORS_NAMED, name).await?,
        };
        let id = match found {
            Some(id) => {
                if !self.rules.adopt && !self.sells_for(&id).await? {
                    let detail = "belongs to another account: its owner and staff add its products, or somebody who may `adopt` it";
                    return Err(RecordError::of("vendor", Fault::not_permitted(detail)));
                }
                id
            }
            None => {
                is_name(VENDOR, name)?;
                if self.rules.dry_run {
                    to_be_made(&key)
                } else {
                    let new = NewVendor {
                        name: name.to_owned(),
                        slug: None,
                        description: String::new(),
                    };
                    open_vendor(self.cx, new).await?.value.id
                }
            }
        };
        self.vendors.insert(key, id.clone());
        Ok(id)
    }

    async fn find(&self, kind: Kind, index: &str, name: &str) -> Result<Option<String>, RecordError> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        match ids_named(self.cx, index, name, 2).await?.as_slice() {
            [] => {}
            [id] => return Ok(Some(id.clone())),
            _ => {
                let detail = "is the name of several: give the slug of the one that you mean";
                return Err(RecordError::of(kind.name, Fault::invalid(detail)));
            }
        }
        if kind.is_id(name) {
            let found = self.cx.get(kind.key(name)).await?;
            return Ok(found.map(|_| name.to_owned()));
        }
        // A slug is meant where the name would not say which, as exports write it; else a name that happens to be the slug of
        // something else would be taken for it.
        let slug = check::slugify(name, "");
        let Some(document) = self.cx.find(kind, &slug).await? else {
            return Ok(None);
        };
        let found: Named = document.parse().map_err(Failure::from)?;
        let is_it = match ids_named(self.cx, index, &found.name, 2).await?.len() {
            // It is from before there was an index by name.
            0 => {
                check::name_key(&found.name) == check::name_key(name)
                    || (slug == name && check::slugify(&found.name, "") != slug)
            }
            1 => false,
            _ => slug == name,
        };
        Ok(kind.id_of(&document.key).filter(|_| is_it).map(str::to_owned))
    }

    /// Whether the importing account may sell for the vendor.
    async fn sells_for(&self, vendor: &str) -> Result<bool, RecordError> {
        let found = self.cx.get_all(&seller_keys(vendor)).await?;
        Ok(may_sell(self.cx.signed_in()?, &found).map_err(Failure::from)?)
    }
}

fn is_name(kind: Kind, name: &str) -> Result<(), RecordError> {
    let is_line = check::line::<()>(1, 80)(&name.to_owned(), &());
    is_line.map_err(|error| RecordError::of(kind.name, Fault::from(&error)))
}

/// These attributes and those that records want; the records that have more are left out.
fn widen(own: &[Attribute], wanted: &BTreeMap<String, Wanted>) -> Vec<Attribute> {
    let mut all = own.to_vec();
    for (name, Wanted { r#type, label }) in wanted {
        match all.iter_mut().find(|attribute| attribute.name == *name) {
            Some(known) if known.r#type == AttributeType::Choice => {}
            Some(known) => known.r#type = wider(known.r#type, *r#type),
            None => {
                let new = Attribute {
                    name: name.clone(),
                    label: label.clone(),
                    r#type: *r#type,
                    required: false,
                    filterable: true,
                    choices: Vec::new(),
                };
                if new.validate().is_ok() && all.len() < MAX_ATTRIBUTES {
                    all.push(new);
                }
            }
        }
    }
    all
}
