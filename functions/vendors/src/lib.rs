//! Vendors (VN-08): shops. An account creates a vendor, and sells products as that vendor together with its staff.

mod error;
mod http;
pub mod operations;
mod permissions;
mod staff;
mod vendor;

use souk_core::EventType;
use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};
use souk_model::vendors::{VENDOR, VendorEvent};

pub use error::VendorError;
pub use staff::StaffMember;
pub use vendor::{NewVendor, Vendor};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "vendors",
        summary: "Vendors: the shops that sell products, and their staff.",
        problems: error::problems::ALL,
        routes: http::routes(),
        kinds: &[VENDOR],
        events: EventType::of::<VendorEvent>().collect(),
        warm: &["/v1/vendors"],
        store: StoreUse {
            reads: &[
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("vendor-former/*"),
                Documents("vendor-staff/*"),
                Documents("account-named/*"),
                Index("vendors"),
                Index("vendors/owner/*"),
            ],
            writes: &[
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("vendor-former/*"),
                Documents("vendor-staff/*"),
                Index("vendors"),
                Index("vendors/named"),
                Index("vendors/owner/*"),
            ],
        },
        audited: &["vendor-staff"],
        histories: &["vendor"],
        permissions: &[
            &permissions::VENDORS_STAFF,
            &permissions::VENDORS_HAND_OVER,
            &souk_model::vendors::VENDORS_WRITE,
        ],
        ..Function::default()
    }
}
