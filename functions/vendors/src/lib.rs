//! Vendors (VN-08): the shops of the market. An account opens one, and lists products in its name.

mod error;
mod http;
pub mod operations;
mod vendor;

use souk_core::EventType;
use souk_kit::Function;
use souk_model::vendors::{VENDOR, VendorEvent};

pub use error::VendorError;
pub use vendor::{NewVendor, Vendor};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "vendors",
        summary: "The shops of the market.",
        routes: http::routes(),
        kinds: &[VENDOR],
        events: EventType::of::<VendorEvent>().collect(),
        warm: &["/v1/vendors"],
        ..Function::default()
    }
}
