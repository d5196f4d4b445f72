//! Why an operation on vendors failed.

use souk_kit::Failure;
use souk_kit::http::Problem;

use crate::staff::MAX_STAFF;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// The vendor has as many members of staff as it may.
        TOO_MANY_STAFF: CONFLICT "too_many_staff";
    }
}

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
            VendorError::SlugTaken => Problem::taken("slug", error.to_string()),
            VendorError::TooManyStaff => Problem::new(problems::TOO_MANY_STAFF, error.to_string()),
        }
    }
}
