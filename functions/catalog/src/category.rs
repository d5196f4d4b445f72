//! The category: the fields that are set.

use std::collections::HashSet;

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Fault, check};
use souk_model::catalog::category::{Attribute, Category};

/// How many attributes a category has at most.
pub const MAX_ATTRIBUTES: usize = 30;

/// The slug that no category has, because `/v1/categories/tree` is the tree.
pub(crate) const TREE: &str = "tree";

fn is_free<T: AsRef<str>, C>(slug: &T, _: &C) -> garde::Result {
    if slug.as_ref() == TREE {
        Err(Fault::taken().because("is the address of the tree").into())
    } else {
        Ok(())
    }
}

/// The fields of a category that can be set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCategory {
    /// Display name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Lamps")]
    pub name: String,
    /// Unique name for URLs; made from the name if absent.
    #[garde(inner(custom(check::slug), custom(is_free)))]
    #[serde(default)]
    #[schema(pattern = "^[^\\x00-,./:-`{-\\x7f\\s]+$", max_length = 80)]
    pub slug: Option<String>,
    /// Description of what belongs in the category, plain text.
    #[garde(custom(check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub description: String,
    /// Icon: an emoji or the name of an icon.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 80, example = "💡")]
    pub icon: Option<String>,
    /// Color, as `#rrggbb`.
    #[garde(inner(custom(is_color)))]
    #[serde(default)]
    #[schema(pattern = "^#[0-9a-fA-F]{6}$", example = "#ffaa00")]
    pub color: Option<String>,
    /// The id or slug of the parent category.
    #[garde(inner(custom(check::line(1, 80))))]
    #[serde(default, deserialize_with = "check::optional_line")]
    #[schema(min_length = 1, max_length = 80)]
    pub parent: Option<String>,
    /// Attributes that products of this category have.
    #[garde(custom(distinct), dive)]
    #[serde(default)]
    #[schema(max_items = 30)]
    pub attributes: Vec<Attribute>,
}

impl NewCategory {
    /// The fields that a patch is applied to.
    pub(crate) fn of(category: &Category) -> Self {
        Self {
            name: category.name.clone(),
            slug: Some(category.slug.clone()),
            description: category.description.clone(),
            icon: category.icon.clone(),
            color: category.color.clone(),
            parent: category.parent.clone(),
            attributes: category.attributes.clone(),
        }
    }
}

fn is_color<C>(color: &str, _: &C) -> garde::Result {
    let hex = color.strip_prefix('#').unwrap_or("");
    let valid = hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if valid {
        Ok(())
    } else {
        Err(Fault::format("must be a color such as #ffaa00").into())
    }
}

fn distinct<C>(attributes: &[Attribute], _: &C) -> garde::Result {
    let mut names = HashSet::new();
    if attributes.len() > MAX_ATTRIBUTES {
        Err(Fault::too_many(MAX_ATTRIBUTES).into())
    } else if !attributes.iter().all(|attribute| names.insert(&attribute.name)) {
        Err(Fault::duplicate().because("must have different names").into())
    } else {
        Ok(())
    }
}
