//! Operations on vendors and their staff.

mod staff;
mod vendors;

pub use staff::{add_staff, list_staff, remove_staff};
pub use vendors::{edit_vendor, find_vendor, hand_over_vendor, list_vendors, open_vendor, vendor_as_of};
