//! Accounts, as other functions see them.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Document, Fault, Kind, Role, StoreError, check};

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

/// What is wrong with a [`Recipient`] that is not an active account.
#[must_use]
pub fn no_recipient() -> Fault {
    Fault::not_found("account").because("is not of an active account")
}

/// The account that something is handed over to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The username or id of the account.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 80, example = "ada")]
    pub username: String,
}

/// The id of the account that was found, if it is active.
pub fn active_account(found: Option<&Document>) -> Result<Option<String>, StoreError> {
    let Some(document) = found else { return Ok(None) };
    let view: AccountView = document.parse()?;
    let id = ACCOUNT.id_of(&document.key).filter(|_| view.active);
    Ok(id.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_handed_to_an_account_that_is_not_active() {
        let account = |body: &str| Document {
            key: ACCOUNT.key("acc_1"),
            version: 1,
            body: body.into(),
            counters: "{}".into(),
            expires_at: None,
        };
        let active = account(r#"{"role":"member","active":true}"#);
        assert_eq!(active_account(Some(&active)).unwrap().as_deref(), Some("acc_1"));
        let suspended = account(r#"{"role":"member","active":false}"#);
        assert_eq!(active_account(Some(&suspended)).unwrap(), None);
        assert_eq!(active_account(None).unwrap(), None);
    }
}
