//! Who may do what, in one place.
//!
//! A route names the least [`Role`] it takes; a handler asks [`Principal::may_edit`] for what belongs to someone. No
//! other code compares roles.

use serde::{Deserialize, Serialize};

use crate::Key;

/// What an account may do, each role including those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Anyone who has signed up: lists products, opens vendors, edits what is theirs.
    #[default]
    Member,
    /// Sees drafts and edits what belongs to others.
    Moderator,
    /// Manages categories and roles.
    Admin,
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "member" => Ok(Role::Member),
            "moderator" => Ok(Role::Moderator),
            "admin" => Ok(Role::Admin),
            _ => Err(format!("{text:?} is not a role: member, moderator or admin")),
        }
    }
}

/// The account behind a request, after its token and its session were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// `acc_…`
    pub account: String,
    /// `ses_…`
    pub session: String,
    /// As the account document says now, not as the token said when it was made.
    pub role: Role,
}

impl Principal {
    /// Whether they may change what belongs to `owner`.
    #[must_use]
    pub fn may_edit(&self, owner: &str) -> bool {
        self.account == owner || self.role >= Role::Moderator
    }

    /// Whether they may see and steer the market as a whole.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role >= Role::Admin
    }
}

/// What the HTTP kit reads of an account document to decide; the identity function owns the rest of it.
#[derive(Debug, Deserialize)]
pub struct AccountAccess {
    /// The role it has now.
    #[serde(default)]
    pub role: Role,
    /// Whether it may sign in and act.
    #[serde(default)]
    pub active: bool,
}

/// What other functions read of a vendor document to decide; the vendors function owns the rest of it.
#[derive(Debug, Deserialize)]
pub struct VendorAccess {
    /// The account that opened it.
    pub owner: String,
}

/// Where a session lives, beside the others of its account. It exists as long as it is valid.
#[must_use]
pub fn session_key(account: &str, session: &str) -> Key {
    Key::new(format!("sessions/{account}"), session)
}
