//! Vendors, as other functions see them.

use serde::{Deserialize, Serialize};
use souk_core::kind::Renaming;
use souk_core::{EventData, Kind};
use utoipa::ToSchema;

/// Vendors, by slug.
pub const VENDOR: Kind = Kind {
    list_tag: Some("vendors"),
    lists: &["vendors"],
    renaming: Renaming::LeadsOn,
    cached_seconds: Some(60),
    ..Kind::new("vendor", "vnd")
};

/// The index of all vendors by [name](souk_core::check::named).
pub const VENDORS_NAMED: &str = "vendors/named";

/// The fields of a vendor that other functions read.
#[derive(Debug, Deserialize)]
pub struct VendorView {
    /// The account that created the vendor.
    pub owner: String,
    /// The display name.
    pub name: String,
}

/// Data of the events about a vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VendorEvent {
    /// The id of the vendor.
    pub vendor: String,
    /// The version of the vendor after the change.
    pub version: u64,
    /// The slug.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// The account that created the vendor.
    pub owner: String,
}

/// `vendor.created`
pub const VENDOR_CREATED: &str = "vendor.created";
/// `vendor.updated`
pub const VENDOR_UPDATED: &str = "vendor.updated";

impl EventData for VendorEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (VENDOR_CREATED, "A vendor was created."),
        (VENDOR_UPDATED, "Fields of a vendor were changed."),
    ];
}
