//! The category: its fields, its attributes, and what they ask of a product.

use std::collections::HashSet;

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use souk_core::fact::CategoryFact;
use souk_core::{Entry, Timestamp};
use souk_kit::{FieldError, check};

/// The index of all categories, by slug.
pub(crate) const INDEX: &str = "categories";
/// The fields that `fields=` may name.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "slug",
    "name",
    "description",
    "icon",
    "colour",
    "parent",
    "attributes",
    "created_at",
    "updated_at",
    "version",
];
/// How long a text attribute may be.
const MAX_TEXT: usize = 500;

/// A category, as it is stored and shown (shown with its `version`).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Category {
    /// `cat_…`
    #[schema(pattern = "^cat_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique; part of addresses.
    pub slug: String,
    /// As people read it.
    pub name: String,
    /// What belongs in it.
    pub description: String,
    /// An emoji or the name of an icon.
    pub icon: Option<String>,
    /// `#rrggbb`
    pub colour: Option<String>,
    /// The id of the category above it.
    pub parent: Option<String>,
    /// What its products say of themselves.
    pub attributes: Vec<Attribute>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its fields last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// It is being removed: it takes no more products. Absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(ignore)]
    pub closing: bool,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The type of an attribute.
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

/// A typed field that the products of a category have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its key in a product's `attributes`.
    #[garde(custom(is_attribute_name))]
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$", example = "colour")]
    pub name: String,
    /// As people read it.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    pub label: Option<String>,
    /// What its values are.
    #[garde(skip)]
    pub r#type: AttributeType,
    /// Whether every product must have it.
    #[garde(skip)]
    #[serde(default)]
    pub required: bool,
    /// Whether lists can be filtered by it.
    #[garde(skip)]
    #[serde(default)]
    pub filterable: bool,
    /// For `choice`: what there is to choose from.
    #[garde(custom(fits_type(self.r#type)), inner(custom(check::line(1, 80))))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub choices: Vec<String>,
}

/// What an admin may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCategory {
    /// As people read it.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Lamps")]
    pub name: String,
    /// Unique; made from the name if not given.
    #[garde(inner(custom(check::slug)))]
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", max_length = 80)]
    pub slug: Option<String>,
    /// What belongs in it; plain text.
    #[garde(custom(check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub description: String,
    /// An emoji or the name of an icon.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80, example = "💡")]
    pub icon: Option<String>,
    /// `#rrggbb`
    #[garde(inner(custom(is_colour)))]
    #[serde(default)]
    #[schema(pattern = "^#[0-9a-fA-F]{6}$", example = "#ffaa00")]
    pub colour: Option<String>,
    /// The id or slug of the category above it.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    pub parent: Option<String>,
    /// What its products say of themselves.
    #[garde(custom(distinct), dive)]
    #[serde(default)]
    #[schema(max_items = 30)]
    pub attributes: Vec<Attribute>,
}

fn is_attribute_name<C>(name: &str, _: &C) -> garde::Result {
    let valid = name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let rule = "must be at most 40 lower-case letters, digits and _, and begin with a letter";
    if valid { Ok(()) } else { Err(garde::Error::new(rule)) }
}

fn is_colour<C>(colour: &str, _: &C) -> garde::Result {
    let hex = colour.strip_prefix('#').unwrap_or("");
    let valid = hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if valid {
        Ok(())
    } else {
        Err(garde::Error::new("must be a colour such as #ffaa00"))
    }
}

fn fits_type<C>(kind: AttributeType) -> impl Fn(&Vec<String>, &C) -> garde::Result {
    move |choices, _| match (kind, choices.len()) {
        (AttributeType::Choice, 1..=100) => Ok(()),
        (AttributeType::Choice, _) => Err(garde::Error::new("must have 1 to 100 choices")),
        (_, 0) => Ok(()),
        _ => Err(garde::Error::new("only an attribute of type choice has choices")),
    }
}

fn distinct<C>(attributes: &[Attribute], _: &C) -> garde::Result {
    let mut names = HashSet::new();
    if attributes.len() > 30 {
        Err(garde::Error::new("must be at most 30"))
    } else if !attributes.iter().all(|attribute| names.insert(&attribute.name)) {
        Err(garde::Error::new("must have different names"))
    } else {
        Ok(())
    }
}

impl Category {
    /// What an event says of it, at `version`.
    pub(crate) fn fact(&self, version: u64) -> CategoryFact {
        CategoryFact {
            category: self.id.clone(),
            version,
            slug: self.slug.clone(),
            name: self.name.clone(),
        }
    }

    /// What a patch is applied to.
    pub(crate) fn writable(&self) -> NewCategory {
        NewCategory {
            name: self.name.clone(),
            slug: Some(self.slug.clone()),
            description: self.description.clone(),
            icon: self.icon.clone(),
            colour: self.colour.clone(),
            parent: self.parent.clone(),
            attributes: self.attributes.clone(),
        }
    }

    /// Where it stands: among all, and among those below its parent.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let below = self
            .parent
            .as_ref()
            .map(|parent| Entry::new(children(parent), self.slug.clone()));
        std::iter::once(Entry::new(INDEX, self.slug.clone()))
            .chain(below)
            .collect()
    }

    /// What is wrong with a product's attributes: of the wrong type, unknown or missing.
    #[must_use]
    pub fn faults(&self, values: &Map<String, Value>) -> Vec<FieldError> {
        let fault = |name: &str, detail: String| FieldError {
            field: format!("attributes.{name}"),
            detail,
        };
        let known = |name: &String| self.attributes.iter().any(|attribute| attribute.name == *name);
        let unknown = values.keys().filter(|name| !known(name));
        let mut faults: Vec<_> = unknown
            .map(|name| fault(name, format!("is not an attribute of {}", self.slug)))
            .collect();
        for attribute in &self.attributes {
            let problem = match values.get(&attribute.name) {
                None if attribute.required => Some("is required".to_owned()),
                None => None,
                Some(value) => attribute.fault(value),
            };
            faults.extend(problem.map(|detail| fault(&attribute.name, detail)));
        }
        faults
    }
}

impl Attribute {
    fn fault(&self, value: &Value) -> Option<String> {
        match (self.r#type, value) {
            (AttributeType::Text, Value::String(text)) if text.chars().count() <= MAX_TEXT => None,
            (AttributeType::Text, _) => Some(format!("must be text of at most {MAX_TEXT} characters")),
            (AttributeType::Number, Value::Number(_)) | (AttributeType::Boolean, Value::Bool(_)) => None,
            (AttributeType::Number, _) => Some("must be a number".into()),
            (AttributeType::Boolean, _) => Some("must be true or false".into()),
            (AttributeType::Choice, Value::String(text)) if self.choices.contains(text) => None,
            (AttributeType::Choice, _) => Some(format!("must be one of {}", self.choices.join(", "))),
        }
    }

    /// A value given in a URL, as the JSON it stands for; `None` if it does not fit the type.
    pub(crate) fn parse(&self, text: &str) -> Option<Value> {
        let value = match self.r#type {
            AttributeType::Text | AttributeType::Choice => Value::String(text.to_owned()),
            AttributeType::Number | AttributeType::Boolean => serde_json::from_str(text).ok()?,
        };
        self.fault(&value).is_none().then_some(value)
    }
}

/// The index of the categories below one.
pub(crate) fn children(parent: &str) -> String {
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
            colour: None,
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
