//! Authorization rules, in one place.
//!
//! A route declares the least [`Role`] that it requires. A handler calls [`Principal::may_edit`] for documents that
//! belong to an account. No other code compares roles.

use serde::{Deserialize, Serialize};

/// What an account may do, each role including those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Anyone who has signed up: edits what is theirs.
    #[default]
    Member,
    /// Sees drafts and edits what belongs to others.
    Moderator,
    /// Manages roles and settings.
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

/// The account behind a request whose token and session were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id of the account.
    pub account: String,
    /// The id of the session.
    pub session: String,
    /// The account's current role, not the one at the time the token was issued.
    pub role: Role,
}

impl Principal {
    /// Whether this principal may change what belongs to the account `owner`.
    #[must_use]
    pub fn may_edit(&self, owner: &str) -> bool {
        self.account == owner || self.role >= Role::Moderator
    }

    /// Whether this principal operates the market as a whole.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role >= Role::Admin
    }
}
