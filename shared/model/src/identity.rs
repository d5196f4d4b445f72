//! Accounts, as other functions see them.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::access::role_names;
use souk_core::{Document, Fault, Key, Kind, Permission, Principal, StoreError, check};

/// Accounts, by username.
pub const ACCOUNT: Kind = Kind {
    public_fields: &["id", "username", "name", "bio", "avatar", "created_at"],
    personal_fields: &["username", "name", "bio", "avatar", "email"],
    quota: Some("members"),
    ..Kind::new("account", "acc")
};

/// To see what staff did, and documents as they were.
pub const AUDIT_READ: Permission = Permission::new(
    "audit:read",
    "See the audit log, and products, vendors and settings as they were.",
    &[],
);

/// Roles that are not built in: sets of permissions.
pub const ROLE: Kind = Kind::new("role", "rol");

/// The fields of an account that determine its permissions.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AccountView {
    /// The names of its built-in roles, and the ids of the others.
    #[serde(default, alias = "role", deserialize_with = "role_names")]
    pub roles: Vec<String>,
    /// Whether the account may sign in and act.
    #[serde(default)]
    pub active: bool,
    /// How often all of its sessions were ended: those that were opened before do not work.
    #[serde(default)]
    pub generation: u32,
}

impl AccountView {
    /// The keys of its roles that are not built in.
    pub fn role_keys(&self) -> impl Iterator<Item = Key> {
        self.roles.iter().filter(|role| ROLE.is_id(role)).map(|id| ROLE.key(id))
    }

    /// The principal of this account, with the documents of its roles; others among them do not matter.
    pub fn principal<'d>(
        self,
        account: impl Into<String>,
        roles: impl IntoIterator<Item = &'d Document>,
    ) -> Result<Principal, StoreError> {
        let mut principal = Principal::member(account);
        for document in roles {
            let id = ROLE.id_of(&document.key);
            if id.is_some_and(|id| self.roles.iter().any(|role| role == id)) {
                principal.grants.extend(document.parse::<RoleView>()?.permissions);
            }
        }
        principal.roles = self.roles;
        Ok(principal)
    }
}

/// The permissions of a role.
#[derive(Debug, Deserialize)]
struct RoleView {
    permissions: Vec<String>,
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
        let active = account(r#"{"roles":[],"active":true}"#);
        assert_eq!(active_account(Some(&active)).unwrap().as_deref(), Some("acc_1"));
        let suspended = account(r#"{"role":"member","active":false}"#);
        assert_eq!(active_account(Some(&suspended)).unwrap(), None);
        assert_eq!(active_account(None).unwrap(), None);
    }

    #[test]
    fn a_principal_has_the_permissions_of_its_roles_and_of_no_other() {
        let role = |id: &str, permission: &str| Document {
            key: ROLE.key(id),
            version: 1,
            body: format!(r#"{{"permissions":["{permission}"]}}"#),
            counters: "{}".into(),
            expires_at: None,
        };
        let (one, two) = (format!("rol_{:032x}", 1), format!("rol_{:032x}", 2));
        let view = AccountView {
            roles: vec!["support".into(), one.clone(), format!("rol_{:032x}", 3)],
            active: true,
            generation: 0,
        };
        assert_eq!(view.role_keys().count(), 2);
        let roles = [role(&one, "a:read"), role(&two, "b:read")];
        let principal = view.principal("acc_1", &roles).unwrap();
        assert_eq!(principal.grants, ["a:read"]);
        assert_eq!(principal.roles[0], "support");
    }
}
