//! Authorization rules, in one place.
//!
//! What is an account's own takes no permission. What staff may do beyond that are [`Permission`]s, which functions declare
//! beside their nouns; a role is a set of them. A row of the route table says who may call it. An operation asks
//! [`Principal::may`], or [`Principal::may_for`] for what belongs to an account. No other code looks at roles.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer};

/// Something that staff may do: a noun and a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The name, such as `things:write`.
    pub name: &'static str,
    /// What it allows.
    pub about: &'static str,
    /// The built-in roles that have it; [`ADMIN`] has all.
    pub roles: &'static [&'static str],
    /// Whether it is of the deployment as a whole: nobody in another market than the main one has it.
    pub is_of_deployment: bool,
}

impl Permission {
    /// A permission with this name, which allows this to these built-in roles and to admins.
    #[must_use]
    pub const fn new(name: &'static str, about: &'static str, roles: &'static [&'static str]) -> Self {
        Self {
            name,
            about,
            roles,
            is_of_deployment: false,
        }
    }

    /// The same for what concerns the deployment as a whole.
    #[must_use]
    pub const fn of_deployment(self) -> Self {
        Self {
            is_of_deployment: true,
            ..self
        }
    }
}

/// The built-in role that has all permissions.
pub const ADMIN: &str = "admin";
/// The built-in role of those who keep order in what is shown.
pub const MODERATOR: &str = "moderator";
/// The built-in role of those who help members.
pub const SUPPORT: &str = "support";
/// The built-in role of those who keep the system running.
pub const OPERATOR: &str = "operator";

/// The built-in roles, each with what it is for.
pub const BUILT_IN: [(&str, &str); 4] = [
    (ADMIN, "Everything."),
    (MODERATOR, "Keeps order in what members show and say."),
    (SUPPORT, "Helps members: sees what they see."),
    (OPERATOR, "Keeps the system running: queues, jobs, the search index."),
];

/// The names of roles that an account has, in a stored document: a list, or one name as in documents of earlier versions.
pub fn role_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    let names = match Names::deserialize(deserializer)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    };
    // Everybody who has signed up is a member.
    Ok(names.into_iter().filter(|name| name != "member").collect())
}

/// The account behind a request whose token and session were checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The id of the account.
    pub account: String,
    /// The id of the session, or of the personal access token in its place.
    pub session: String,
    /// What the token allows, if it is one.
    pub token: Option<ByToken>,
    /// The account's current roles, not those at the time the token was issued: the names of built-in ones, and the ids of others.
    pub roles: Vec<String>,
    /// The names of the permissions that its other roles give it.
    pub grants: Vec<String>,
    /// Whether the account is one of another market than the main one.
    pub is_of_tenant: bool,
    /// The permissions that it was let do something by, for the audit log.
    pub used: Used,
}

/// What a personal access token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByToken {
    /// Requests that change nothing.
    Read,
    /// All but what is about the account itself.
    Write,
}

/// The permissions that somebody was let do something by. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Used(Arc<Mutex<Vec<Use>>>);

/// A permission that let somebody do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The permission.
    pub permission: Permission,
    /// Whether it was to something that belongs to somebody else.
    pub is_for_other: bool,
}

impl PartialEq for Used {
    /// What somebody has done does not distinguish them.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Used {}

impl Used {
    /// All of them, each once.
    #[must_use]
    pub fn all(&self) -> Vec<Use> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, used: Use) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&used) {
            all.push(used);
        }
    }
}

impl Principal {
    /// An account without roles, for work in its name.
    #[must_use]
    pub fn member(account: impl Into<String>) -> Self {
        Self {
            account: account.into(),
            ..Self::default()
        }
    }

    /// Whether it has all permissions.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN)
    }

    /// Whether one of its roles has the permission.
    #[must_use]
    pub fn has(&self, permission: &Permission) -> bool {
        if permission.is_of_deployment && self.is_of_tenant {
            return false;
        }
        let has = |role: &String| role == ADMIN || permission.roles.contains(&role.as_str());
        self.roles.iter().any(has) || self.grants.iter().any(|name| name == permission.name)
    }

    /// Whether it may do what the permission allows. What it does then is in the audit log.
    #[must_use]
    pub fn may(&self, permission: &Permission) -> bool {
        self.uses(permission, false)
    }

    /// The same of something that belongs to the account `owner`, who needs no permission.
    #[must_use]
    pub fn may_for(&self, owner: &str, permission: &Permission) -> bool {
        self.account == owner || self.uses(permission, true)
    }

    /// The same of something that cannot be the principal's own.
    #[must_use]
    pub fn may_for_others(&self, permission: &Permission) -> bool {
        self.uses(permission, true)
    }

    fn uses(&self, permission: &Permission, is_for_other: bool) -> bool {
        let has = self.has(permission);
        if has {
            let permission = *permission;
            self.used.note(Use {
                permission,
                is_for_other,
            });
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Permission = Permission::new("things:write", "", &[MODERATOR]);

    #[test]
    fn a_role_or_a_grant_gives_a_permission() {
        let principal = |roles: &[&str], grants: &[&str]| Principal {
            roles: roles.iter().map(ToString::to_string).collect(),
            grants: grants.iter().map(ToString::to_string).collect(),
            ..Principal::member("acc_1")
        };
        for (roles, grants, may) in [
            (&[][..], &[][..], false),
            (&[ADMIN], &[], true),
            (&[SUPPORT, MODERATOR], &[], true),
            (&[SUPPORT, "rol_1"], &["things:read"], false),
            (&["rol_1"], &["things:read", "things:write"], true),
            (&["things:write"], &["admin", "moderator"], false),
        ] {
            let principal = principal(roles, grants);
            assert_eq!(principal.may(&WRITE), may, "{principal:?}");
            assert_eq!(principal.may_for("acc_2", &WRITE), may);
            let used = principal.used.all();
            assert_eq!(used.len(), if may { 2 } else { 0 }, "{used:?}");
            assert!(principal.may_for("acc_1", &WRITE));
            assert_eq!(principal.used.all(), used, "what is one's own takes no permission");
        }
    }

    #[test]
    fn no_tenant_has_permissions_of_the_deployment() {
        const STEER: Permission = WRITE.of_deployment();
        let admin = |is_of_tenant| Principal {
            roles: vec![ADMIN.to_owned(), MODERATOR.to_owned()],
            grants: vec![STEER.name.to_owned()],
            is_of_tenant,
            ..Principal::member("acc_1")
        };
        assert!(admin(false).may(&STEER) && admin(true).may(&WRITE));
        let other = admin(true);
        assert!(!other.may(&STEER) && !other.may_for("acc_2", &STEER) && other.used.all().is_empty());
    }

    #[test]
    fn roles_of_earlier_versions_are_read() {
        #[derive(Deserialize)]
        struct Stored {
            #[serde(default, alias = "role", deserialize_with = "role_names")]
            roles: Vec<String>,
        }
        for (text, roles) in [
            ("{}", &[][..]),
            (r#"{"role":"member"}"#, &[]),
            (r#"{"role":"admin"}"#, &["admin"]),
            (r#"{"roles":["support","rol_1"]}"#, &["support", "rol_1"]),
        ] {
            assert_eq!(serde_json::from_str::<Stored>(text).unwrap().roles, roles);
        }
    }
}
