//! The vendor: its fields, its rules, and where it stands.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::fact::VendorFact;
use souk_core::{Entry, Timestamp};

/// The index of all vendors, by slug.
pub(crate) const INDEX: &str = "vendors";
/// The fields that `fields=` may name.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "slug",
    "name",
    "description",
    "owner",
    "created_at",
    "updated_at",
    "version",
];

/// A vendor, as it is stored and shown (shown with its `version`).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Vendor {
    /// `vnd_…`
    #[schema(pattern = "^vnd_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique; part of addresses.
    pub slug: String,
    /// As people read it.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The account that opened it.
    pub owner: String,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its fields last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How many times it was written.
    #[serde(default, skip_serializing_if = "souk_kit::beside")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// What its owner may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVendor {
    /// As people read it.
    #[garde(custom(souk_kit::check::line(1, 80)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Lantern & Co")]
    pub name: String,
    /// Unique; made from the name if not given.
    #[garde(inner(custom(souk_kit::check::slug)))]
    #[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", max_length = 80)]
    #[serde(default)]
    pub slug: Option<String>,
    /// What it is about; plain text.
    #[garde(custom(souk_kit::check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub description: String,
}

impl Vendor {
    /// What an event says of it, at `version`.
    pub(crate) fn fact(&self, version: u64) -> VendorFact {
        VendorFact {
            vendor: self.id.clone(),
            version,
            slug: self.slug.clone(),
            name: self.name.clone(),
            owner: self.owner.clone(),
        }
    }

    /// What a patch is applied to.
    pub(crate) fn writable(&self) -> NewVendor {
        NewVendor {
            name: self.name.clone(),
            slug: Some(self.slug.clone()),
            description: self.description.clone(),
        }
    }

    /// Where it stands in indexes.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(INDEX, self.slug.clone())]
    }
}
