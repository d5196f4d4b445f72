//! The staff of a vendor as it is shown; its stored form is [`souk_model::vendors::Staff`].

use serde::{Deserialize, Serialize};
use souk_core::Timestamp;

/// The maximum number of staff of a vendor.
pub(crate) const MAX_STAFF: usize = 50;

/// A member of the staff of a vendor.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StaffMember {
    /// The id of the account.
    pub id: String,
    /// Username of the account.
    pub username: String,
    /// Display name of the account.
    pub name: String,
    /// When the account was added.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// The names of an account.
#[derive(Deserialize)]
pub(crate) struct AccountNames {
    pub(crate) username: String,
    pub(crate) name: String,
}
