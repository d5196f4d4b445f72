//! Accounts, as other functions see them.

use serde::Deserialize;
use souk_core::{Kind, Role};

/// Accounts, by username.
pub const ACCOUNT: Kind = Kind {
    public_fields: &["id", "username", "name", "bio", "avatar", "created_at"],
    personal_fields: &["username", "name", "bio", "avatar", "email"],
    ..Kind::new("account", "acc")
};

/// The fields of an account that determine its permissions.
#[derive(Debug, Deserialize)]
pub struct AccountView {
    /// The current role of the account.
    #[serde(default)]
    pub role: Role,
    /// Whether the account may sign in and act.
    #[serde(default)]
    pub active: bool,
}
