//! What staff may do to vendors, beside what other functions ask too (`souk_model::vendors`).

use souk_core::Permission;

/// To change the staff of vendors.
pub(crate) const VENDORS_STAFF: Permission = Permission::new(
    "vendors:staff",
    "See, add and remove the staff of vendors of others, who sell for them.",
    &[],
);
/// To hand vendors over.
pub(crate) const VENDORS_HAND_OVER: Permission =
    Permission::new("vendors:hand-over", "Make another account the owner of a vendor.", &[]);
