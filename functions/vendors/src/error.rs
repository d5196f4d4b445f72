//! Why an operation on vendors failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

use crate::staff::MAX_STAFF;

/// Why an operation on vendors failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VendorError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another vendor has this slug.
    #[error("there is a vendor of this slug")]
    SlugTaken,
    /// The vendor has reached the maximum number of staff.
    #[error("there are {MAX_STAFF} members of staff already")]
    TooManyStaff,
}

impl From<VendorError> for Problem {
    fn from(error: VendorError) -> Self {
        match error {
            VendorError::Failure(failure) => failure.into(),
            VendorError::SlugTaken => Problem::conflict("slug_taken", error.to_string()).field("slug", "is taken"),
            VendorError::TooManyStaff => Problem::conflict("too_many_staff", error.to_string()),
        }
    }
}
