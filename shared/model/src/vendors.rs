//! Vendors, as other functions see them.

use serde::{Deserialize, Serialize};
use souk_core::access::MODERATOR;
use souk_core::kind::Renaming;
use souk_core::{Document, EventData, Key, Kind, Permission, Principal, StoreError, Timestamp};
use utoipa::ToSchema;

use crate::catalog::PRODUCTS_WRITE;

/// Vendors, by slug.
pub const VENDOR: Kind = Kind {
    list_tag: Some("vendors"),
    lists: &["vendors"],
    renaming: Renaming::LeadsOn,
    cached_seconds: Some(60),
    ..Kind::new("vendor", "vnd")
};

/// To change vendors of others.
pub const VENDORS_WRITE: Permission = Permission::new(
    "vendors:write",
    "Change vendors of others, and webhooks in their name, also of what is not public.",
    &[MODERATOR],
);

/// The index of all vendors by [name](souk_core::check::named).
pub const VENDORS_NAMED: &str = "vendors/named";

/// The fields of a vendor that other functions read.
#[derive(Debug, Deserialize)]
pub struct VendorView {
    /// The account that the vendor belongs to.
    pub owner: String,
    /// The display name.
    pub name: String,
}

/// The staff of a vendor: the accounts that may sell for it, beside its owner. It is not public, so it is a document apart
/// from the vendor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Staff {
    /// The members, the latest last.
    pub members: Vec<StaffEntry>,
}

/// A member of the staff, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StaffEntry {
    /// The id of the account.
    pub account: String,
    /// When the account was added.
    pub since: Timestamp,
}

impl Staff {
    /// The key of the staff of a vendor.
    #[must_use]
    pub fn key(vendor: &str) -> Key {
        Key::of("vendor-staff", vendor)
    }

    /// Whether the account is a member.
    #[must_use]
    pub fn has(&self, account: &str) -> bool {
        self.members.iter().any(|member| member.account == account)
    }
}

/// The keys of the documents that say [who may sell](may_sell) for a vendor: the vendor itself and its staff.
#[must_use]
pub fn seller_keys(vendor: &str) -> [Key; 2] {
    [VENDOR.key(vendor), Staff::key(vendor)]
}

/// Whether the principal may sell for a vendor and change its products: its owner, its staff and accounts with the
/// permission [`PRODUCTS_WRITE`] may. `found` is
/// what is at the [keys](seller_keys).
pub fn may_sell(principal: &Principal, found: &[Option<Document>]) -> Result<bool, StoreError> {
    match found {
        [vendor, staff] => sells_for(principal, vendor.as_ref(), staff.as_ref()),
        _ => Ok(false),
    }
}

/// Whether the principal is the owner or the staff of a vendor; `found` is what is at the [keys](seller_keys).
pub fn sells(principal: &Principal, found: &[Option<Document>]) -> Result<bool, StoreError> {
    let [Some(vendor), staff] = found else { return Ok(false) };
    Ok(is_seller(principal, vendor, staff.as_ref())?.is_ok())
}

/// The same as [`may_sell`] of the two documents.
pub(crate) fn sells_for(
    principal: &Principal,
    vendor: Option<&Document>,
    staff: Option<&Document>,
) -> Result<bool, StoreError> {
    let Some(vendor) = vendor else { return Ok(false) };
    Ok(match is_seller(principal, vendor, staff)? {
        Ok(()) => true,
        Err(owner) => principal.may_for(&owner, &PRODUCTS_WRITE),
    })
}

/// Whether the principal is the owner or the staff of a vendor, or else who is the owner.
fn is_seller(
    principal: &Principal,
    vendor: &Document,
    staff: Option<&Document>,
) -> Result<Result<(), String>, StoreError> {
    let VendorView { owner, .. } = vendor.parse()?;
    let staff: Option<Staff> = staff.map(Document::parse).transpose()?;
    let sells = owner == principal.account || staff.is_some_and(|staff| staff.has(&principal.account));
    Ok(if sells { Ok(()) } else { Err(owner) })
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
    /// The account that the vendor belongs to after the change.
    pub owner: String,
    /// The names of the fields that changed; only in `vendor.updated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub changed: Vec<String>,
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

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn its_owner_its_staff_and_moderators_sell_for_a_vendor() {
        let document = |key: Key, body: &str| {
            Some(Document {
                key,
                version: 1,
                body: body.into(),
                counters: "{}".into(),
                expires_at: None,
            })
        };
        let [vendor, staff] = seller_keys("vnd_1");
        assert_eq!((&*vendor.pk, &*staff.pk), ("vendor/vnd_1", "vendor-staff/vnd_1"));
        let vendor = document(vendor, r#"{"owner":"acc_1","name":"Shop"}"#);
        // As it is stored.
        let staff = document(
            staff,
            r#"{"members":[{"account":"acc_2","since":"2026-11-30T12:00:00Z"}]}"#,
        );
        let may = |account: &str, role: Option<&str>, found: &[Option<Document>]| {
            let principal = Principal {
                roles: role.into_iter().map(str::to_owned).collect(),
                ..Principal::member(account)
            };
            may_sell(&principal, found).unwrap()
        };
        let both = [vendor.clone(), staff.clone()];
        assert!(may("acc_1", None, &both) && may("acc_2", None, &both));
        assert!(may("acc_3", Some(MODERATOR), &both) && !may("acc_3", None, &both));
        let alone = [vendor, None];
        assert!(may("acc_1", None, &alone) && !may("acc_2", None, &alone));
        assert!(!may("acc_2", None, &[None, staff]));
    }
}
