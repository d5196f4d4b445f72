//! The vendor: its fields, its validation rules, and its index entries.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Entry, Timestamp, check};
use souk_model::vendors::{VENDORS_NAMED, VendorEvent};

/// The index of all vendors, by slug.
pub(crate) const INDEX: &str = "vendors";

/// The index of the vendors of an account, by slug.
pub(crate) fn owner_index(account: &str) -> String {
    format!("vendors/owner/{account}")
}

/// The fields that `fields=` may name.
pub(crate) const FIELDS: &[&str] = &[
    "id",
    "slug",
    "name",
    "description",
    "owner",
    "created_at",
    "updated_at",
    "follower_count",
    "version",
];

/// A vendor: a shop that belongs to an account.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Vendor {
    /// The id, `vnd_…`.
    #[schema(pattern = "^vnd_[0-9a-f]{32}$")]
    pub id: String,
    /// Unique name for URLs.
    pub slug: String,
    /// Display name.
    pub name: String,
    /// Description, plain text.
    pub description: String,
    /// The id of the account that the vendor belongs to: the one that created it, unless it was handed over.
    pub owner: String,
    /// When the vendor was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When a field last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Number of accounts that follow the vendor.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true)]
    pub follower_count: i64,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

/// The fields of a vendor that its owner may set.
#[derive(Clone, Debug, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVendor {
    /// Display name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Lantern & Co")]
    pub name: String,
    /// Unique name for URLs; made from the name if absent.
    #[garde(inner(custom(check::slug)))]
    #[schema(pattern = "^[^\\x00-,./:-`{-\\x7f\\s]+$", max_length = 80)]
    #[serde(default)]
    pub slug: Option<String>,
    /// Description, plain text.
    #[garde(custom(check::text(0, 2000)))]
    #[serde(default)]
    #[schema(max_length = 2000)]
    pub description: String,
}

impl Vendor {
    /// The data of an event about this vendor at `version`.
    pub(crate) fn event(&self, version: u64, changed: Vec<String>) -> VendorEvent {
        VendorEvent {
            vendor: self.id.clone(),
            version,
            slug: self.slug.clone(),
            name: self.name.clone(),
            owner: self.owner.clone(),
            changed,
        }
    }

    /// The fields that a patch is applied to.
    pub(crate) fn editable(&self) -> NewVendor {
        NewVendor {
            name: self.name.clone(),
            slug: Some(self.slug.clone()),
            description: self.description.clone(),
        }
    }

    /// The index entries.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        vec![
            Entry::new(INDEX, self.slug.clone()),
            Entry::new(owner_index(&self.owner), self.slug.clone()),
            Entry::new(VENDORS_NAMED, check::named(&self.name) + &self.id),
        ]
    }
}
