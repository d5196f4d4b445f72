//! Vendors, as other functions see them.

use serde::{Deserialize, Serialize};
use souk_core::{EventData, Kind};
use utoipa::ToSchema;

/// Vendors, by slug.
pub const VENDOR: Kind = Kind {
    list_tag: Some("vendors"),
    lists: &["vendors"],
    cached_seconds: Some(60),
    ..Kind::new("vendor", "vnd")
};

/// The fields of a vendor that other functions read.
#[derive(Debug, Deserialize)]
pub struct VendorView {
    /// The account that opened the vendor.
    pub owner: String,
    /// The display name.
    pub name: String,
}

/// A vendor was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VendorEvent {
    /// Its id.
    pub vendor: String,
    /// Its version from then on.
    pub version: u64,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The account that opened it.
    pub owner: String,
}

/// `vendor.created`
pub const VENDOR_CREATED: &str = "vendor.created";
/// `vendor.updated`
pub const VENDOR_UPDATED: &str = "vendor.updated";

impl EventData for VendorEvent {
    const TYPES: &'static [(&'static str, &'static str)] = &[
        (VENDOR_CREATED, "A vendor was opened."),
        (VENDOR_UPDATED, "Fields of a vendor were changed."),
    ];
}
