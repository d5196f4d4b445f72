//! Roles: sets of permissions.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::access::{ADMIN, BUILT_IN};
use souk_core::{Entry, Fault, Permission, Timestamp, check};
use souk_kit::Platform;

/// The index of all roles.
pub(crate) const INDEX: &str = "roles";
/// How many roles there may be beside the built-in ones.
pub(crate) const MAX_ROLES: usize = 100;
/// How many roles an account may have.
pub(crate) const MAX_OF_ACCOUNT: usize = 10;
/// How many permissions a role may have.
const MAX_PERMISSIONS: usize = 100;

/// A role that is not built in, in its stored form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The id, `rol_…`.
    pub id: String,
    /// What its maker set.
    #[serde(flatten)]
    pub fields: NewRole,
    /// When it was added.
    pub created_at: Timestamp,
    /// When a field last changed.
    pub updated_at: Timestamp,
}

/// The fields of a role that its maker sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Name.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Catalog editor")]
    pub name: String,
    /// What it is for, plain text.
    #[garde(custom(check::text(0, 500)))]
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: String,
    /// The names of its permissions, which `GET /v1/permissions` lists. You must have them yourself.
    #[garde(custom(distinct))]
    #[serde(default)]
    #[schema(required = true, max_items = 100, example = json!(["categories:write", "products:write"]))]
    pub permissions: Vec<String>,
}

fn distinct(names: &[String], _: &()) -> garde::Result {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    match names.len() {
        0 => Err(Fault::required().into()),
        len if len > MAX_PERMISSIONS => Err(Fault::too_many(MAX_PERMISSIONS).into()),
        len if len > sorted.len() => Err(Fault::duplicate().into()),
        _ => Ok(()),
    }
}

/// A role as it is shown.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Role)]
pub struct ShownRole {
    /// The id, `rol_…`; the name of a built-in role.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The names of its permissions.
    pub permissions: Vec<String>,
    /// Whether it is built in; then it cannot be changed.
    pub built_in: bool,
    /// Version of the document; it increases by one with every change. Null for a built-in role.
    #[schema(required = true, minimum = 1)]
    pub version: Option<u64>,
}

impl Role {
    /// The role as it is shown, at this version.
    #[must_use]
    pub fn shown(&self, version: u64) -> ShownRole {
        let NewRole {
            name,
            description,
            permissions,
        } = self.fields.clone();
        ShownRole {
            id: self.id.clone(),
            name,
            description,
            permissions,
            built_in: false,
            version: Some(version),
        }
    }

    /// Its index entries.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(INDEX, check::named(&self.fields.name) + &self.id)]
    }
}

/// The built-in roles, with what the functions of this market let them do.
pub(crate) fn built_in(platform: &Platform) -> Vec<ShownRole> {
    let shown = |(id, about): (&str, &str)| {
        let has = |permission: &&Permission| id == ADMIN || permission.roles.contains(&id);
        let permissions = platform.permissions().filter(has);
        ShownRole {
            id: id.to_owned(),
            name: id.to_owned(),
            description: about.to_owned(),
            permissions: permissions.map(|permission| permission.name.to_owned()).collect(),
            built_in: true,
            version: None,
        }
    };
    BUILT_IN.into_iter().map(shown).collect()
}

/// The roles of an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountRoles {
    /// The names of built-in roles, and the ids of others.
    #[garde(custom(distinct_roles))]
    #[schema(max_items = 10, example = json!(["moderator"]))]
    pub roles: Vec<String>,
}

fn distinct_roles(ids: &[String], _: &()) -> garde::Result {
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    match ids.len() {
        len if len > MAX_OF_ACCOUNT => Err(Fault::too_many(MAX_OF_ACCOUNT).into()),
        len if len > sorted.len() => Err(Fault::duplicate().into()),
        _ => Ok(()),
    }
}

/// What staff may do.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Permission)]
pub(crate) struct ShownPermission {
    /// The name: a noun and a verb.
    #[schema(example = "products:write")]
    pub name: &'static str,
    /// What it allows.
    pub description: &'static str,
    /// The built-in roles that have it.
    pub roles: Vec<&'static str>,
}

impl From<&Permission> for ShownPermission {
    fn from(permission: &Permission) -> Self {
        Self {
            name: permission.name,
            description: permission.about,
            roles: std::iter::once(ADMIN).chain(permission.roles.iter().copied()).collect(),
        }
    }
}

/// The entries of an account in the lists of those that have a role.
pub(crate) fn member_entries(account: &str, roles: &[String]) -> Vec<Entry> {
    let entry = |role: &String| Entry::new(members(role), account);
    roles.iter().map(entry).collect()
}

/// The index of the accounts that have a role.
pub(crate) fn members(role: &str) -> String {
    format!("role-members/{role}")
}
