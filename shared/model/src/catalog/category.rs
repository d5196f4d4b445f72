//! The category: its stored and public form.

use std::collections::BTreeSet;

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::{Entry, Fault, FieldError, Timestamp, check};

use super::events::CategoryEvent;

/// The index of all categories, by slug.
pub const INDEX: &str = "categories";
/// The index of all categories by [name](check::named).
pub const NAMED: &str = "categories/named";
/// The maximum depth of the tree.
pub const MAX_DEPTH: usize = 8;
/// The fields that `fields=` may name.
pub const FIELDS: &[&str] = &[
    "id",
    "slug",
    "name",
    "description",
    "icon",
    "color",
    "parent",
    "attributes",
    "created_at",
    "updated_at",
    "version",
];
/// The maximum length of a text attribute, in characters.
const MAX_TEXT: usize = 500;

/// A category of products.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Category {
    /// The id, `cat_…`.
    #[schema(pattern = "^cat_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique name for URLs.
    pub slug: String,
    /// Display name.
    pub name: String,
    /// Description of what belongs in the category.
    pub description: String,
    /// Icon: an emoji or the name of an icon.
    #[schema(required = true)]
    pub icon: Option<String>,
    /// Color, as `#rrggbb`.
    // It was stored as `colour` before.
    #[serde(alias = "colour")]
    #[schema(required = true)]
    pub color: Option<String>,
    /// The id of the parent category.
    #[schema(required = true)]
    pub parent: Option<String>,
    /// Definitions of the attributes of products in this category.
    pub attributes: Vec<Attribute>,
    /// When the category was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Whether the category is being deleted and accepts no new products.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(ignore)]
    pub closing: bool,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// Type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// A line of text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// One of its choices.
    Choice,
}

/// The value of an attribute, as the type of the attribute says.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A line of text, or one of the choices.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

/// Definition of an attribute: a typed field of the products of a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Key in the `attributes` of a product.
    #[garde(custom(is_attribute_name))]
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$", example = "color")]
    pub name: String,
    /// Display name.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 80)]
    pub label: Option<String>,
    /// Type of the values.
    #[garde(skip)]
    pub r#type: AttributeType,
    /// Whether every product of the category must have a value.
    #[garde(skip)]
    #[serde(default)]
    pub required: bool,
    /// Whether lists can be filtered by the attribute.
    #[garde(skip)]
    #[serde(default)]
    pub filterable: bool,
    /// For `choice`: the allowed values.
    #[garde(custom(fits_type(self.r#type)), inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::lines", skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub choices: Vec<String>,
}

fn is_attribute_name<C>(name: &str, _: &C) -> garde::Result {
    let valid = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let rule = "must be at most 40 lower-case letters, digits and _, and begin with a letter";
    if valid { Ok(()) } else { Err(Fault::format(rule).into()) }
}

fn fits_type<C>(kind: AttributeType) -> impl Fn(&Vec<String>, &C) -> garde::Result {
    move |choices, _| match (kind, choices.len()) {
        (AttributeType::Choice, 1..=100) => match choices.iter().collect::<BTreeSet<_>>().len() {
            distinct if distinct == choices.len() => Ok(()),
            _ => Err(Fault::duplicate().because("must not have a choice twice").into()),
        },
        (AttributeType::Choice, 0) => Err(Fault::required().into()),
        (AttributeType::Choice, _) => Err(Fault::too_many(100).into()),
        (_, 0) => Ok(()),
        _ => Err(Fault::inconsistent("type", "only an attribute of type choice has choices").into()),
    }
}

impl Category {
    /// The data of an event about this category at `version`.
    #[must_use]
    pub fn event(&self, version: u64) -> CategoryEvent {
        CategoryEvent {
            category: self.id.clone(),
            version,
            slug: self.slug.clone(),
            name: self.name.clone(),
            changed: Vec::new(),
        }
    }

    /// The index entries: among all categories, among those of the same name, and among the children of the parent.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let below = self
            .parent
            .as_ref()
            .map(|parent| Entry::new(children(parent), self.slug.clone()));
        let all = [
            Entry::new(INDEX, self.slug.clone()),
            Entry::new(NAMED, check::named(&self.name) + &self.id),
        ];
        all.into_iter().chain(below).collect()
    }

    /// The invalid attributes of a product: unknown, missing or of the wrong type.
    #[must_use]
    pub fn faults(&self, values: &Map<String, Value>) -> Vec<FieldError> {
        let error = |name: &str, fault: Fault| FieldError::new(format!("attributes.{name}"), fault);
        let known = |name: &String| self.attributes.iter().any(|attribute| attribute.name == *name);
        let unknown = values.keys().filter(|name| !known(name));
        let mut faults: Vec<_> = unknown
            .map(|name| {
                error(
                    name,
                    Fault::unknown_field().because(format!("is not an attribute of {}", self.slug)),
                )
            })
            .collect();
        for attribute in &self.attributes {
            let fault = match values.get(&attribute.name) {
                None if attribute.required => Some(Fault::required()),
                None => None,
                Some(value) => attribute.fault(value),
            };
            faults.extend(fault.map(|fault| error(&attribute.name, fault)));
        }
        faults
    }
}

impl Attribute {
    fn fault(&self, value: &Value) -> Option<Fault> {
        match (self.r#type, value) {
            (AttributeType::Text, Value::String(text)) if text.is_empty() => None,
            (AttributeType::Text, Value::String(text)) => check::line(0, MAX_TEXT)(text, &())
                .err()
                .map(|error| Fault::from(&error)),
            (AttributeType::Text, _) => Some(Fault::wrong_type("string")),
            (AttributeType::Number, Value::Number(_)) | (AttributeType::Boolean, Value::Bool(_)) => None,
            (AttributeType::Number, _) => Some(Fault::wrong_type("number")),
            (AttributeType::Boolean, _) => Some(Fault::wrong_type("boolean")),
            // Choices from before they were normalised are compared as if they had been.
            (AttributeType::Choice, Value::String(text))
                if self.choices.contains(text)
                    || self.choices.iter().any(|choice| check::normal_line(choice) == *text) =>
            {
                None
            }
            (AttributeType::Choice, _) => Some(Fault::not_one_of(&self.choices)),
        }
    }

    /// Parses a value from a URL as JSON; `None` if it does not match the type.
    pub fn parse(&self, text: &str) -> Option<Value> {
        let value = match self.r#type {
            AttributeType::Text | AttributeType::Choice => Value::String(check::normal_line(text)),
            AttributeType::Number | AttributeType::Boolean => serde_json::from_str(text).ok()?,
        };
        self.fault(&value).is_none().then_some(value)
    }
}

/// Those of `all` that are one of `ids` or below one.
#[must_use]
pub fn with_below(all: Vec<Category>, ids: &[String]) -> Vec<Category> {
    let mut covered: BTreeSet<String> = ids.iter().cloned().collect();
    for _ in 0..MAX_DEPTH {
        let below = all
            .iter()
            .filter(|category| category.parent.as_ref().is_some_and(|parent| covered.contains(parent)));
        let below: Vec<String> = below.map(|category| category.id.clone()).collect();
        covered.extend(below);
    }
    all.into_iter()
        .filter(|category| covered.contains(&category.id))
        .collect()
}

/// The index of the child categories of `parent`.
pub fn children(parent: &str) -> String {
    format!("categories/below/{parent}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attribute(name: &str, r#type: AttributeType, required: bool) -> Attribute {
        let choices = if r#type == AttributeType::Choice {
            vec!["S".into(), "L".into()]
        } else {
            vec![]
        };
        Attribute {
            name: name.into(),
            label: None,
            r#type,
            required,
            filterable: true,
            choices,
        }
    }

    #[test]
    fn products_are_held_to_types() {
        let category = Category {
            id: "cat_1".into(),
            slug: "shirts".into(),
            name: "Shirts".into(),
            description: String::new(),
            icon: None,
            color: None,
            parent: None,
            attributes: vec![
                attribute("size", AttributeType::Choice, true),
                attribute("weight", AttributeType::Number, false),
                attribute("new", AttributeType::Boolean, false),
                attribute("label", AttributeType::Text, false),
            ],
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            closing: false,
            version: 1,
        };
        let faults = |values: Value| -> Vec<String> {
            let Value::Object(values) = values else { unreachable!() };
            category.faults(&values).into_iter().map(|fault| fault.field).collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(
            faults(json!({ "size": "S", "weight": 1.5, "new": false, "label": "x" })),
            none
        );
        assert_eq!(faults(json!({})), ["attributes.size"]);
        assert_eq!(
            faults(json!({ "size": "M", "weight": "1", "new": 1, "label": 2, "other": null })),
            [
                "attributes.other",
                "attributes.size",
                "attributes.weight",
                "attributes.new",
                "attributes.label"
            ]
        );
    }
}
