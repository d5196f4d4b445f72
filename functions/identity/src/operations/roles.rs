//! Operations on roles, and on who has them.
//!
//! **Nobody gives what they do not have.** Whoever adds or changes a role, or gives or takes it, has all of its permissions. A role
//! that is not built in is known by its id, which no later role gets; so accounts may keep the id of a role that was deleted.

use garde::Validate as _;
use souk_core::access::{ADMIN, BUILT_IN};
use souk_core::fault::field_errors;
use souk_core::{Document, Entry, FieldError, Principal, Query};
use souk_kit::{Context, Failure, Fault, IfMatch, MergePatch, PageRequest, SortedPage, Stored, Transaction};
use souk_model::identity::ROLE;

use super::{find_any, find_by_email};
use crate::account::Account;
use crate::error::IdentityError;
use crate::permissions::ROLES_ASSIGN;
use crate::role::{AccountRoles, INDEX, MAX_ROLES, NewRole, Role, ShownRole, built_in, member_entries, members};

const NO_ROLE: Failure = Failure::NotFound("role");

/// All roles, the built-in ones first.
pub async fn list_roles(cx: &Context) -> Result<Vec<ShownRole>, Failure> {
    let mut roles = built_in(cx);
    for document in cx.query_all(INDEX).await? {
        let role = Stored::<Role>::read(document)?;
        roles.push(role.shown(role.version()));
    }
    Ok(roles)
}

/// The role with this id.
pub async fn find_role(cx: &Context, id: &str) -> Result<ShownRole, Failure> {
    if let Some(role) = built_in(cx).into_iter().find(|role| role.id == id) {
        return Ok(role);
    }
    let role = stored(cx, id).await?;
    Ok(role.shown(role.version()))
}

/// The role with this id, which is not built in.
async fn stored(cx: &Context, id: &str) -> Result<Stored<Role>, Failure> {
    if built_in(cx).iter().any(|role| role.id == id) {
        return Err(Failure::forbidden("a built-in role cannot be changed"));
    }
    if !ROLE.is_id(id) {
        return Err(NO_ROLE);
    }
    cx.read(ROLE.key(id)).await?.ok_or(NO_ROLE)
}

/// Adds a role.
pub async fn create_role(cx: &Context, fields: &NewRole) -> Result<Stored<Role>, IdentityError> {
    check(cx, fields, &[])?;
    cx.commit(|tx| async move {
        if tx.query_all(INDEX).await?.len() >= MAX_ROLES {
            return Err(IdentityError::TooManyRoles);
        }
        let role = Role {
            id: tx.new_id(ROLE),
            fields: fields.clone(),
            created_at: tx.now(),
            updated_at: tx.now(),
        };
        let entries = role.entries();
        Ok(tx.create(ROLE.key(&role.id), role).entries(entries).or_retry())
    })
    .await
}

/// Changes a role. Whoever has it has its new permissions from the next request on.
pub async fn change_role(
    cx: &Context,
    id: &str,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Role>, IdentityError> {
    cx.commit(|tx| async move {
        let old = stored(&tx, id).await?;
        must_have(&tx, "permissions", &old.fields.permissions)?;
        if_match.check(old.version())?;
        let fields: NewRole = patch.apply(&old.fields)?;
        check(&tx, &fields, &old.fields.permissions)?;
        if fields == old.fields {
            return Ok(tx.unchanged(old));
        }
        let new = Role {
            fields,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        let after = new.entries();
        let put = tx.update(&old.document, new).moved(&old.entries(), after);
        Ok(put.or_precondition(if_match))
    })
    .await
}

/// Deletes a role. Accounts that have it lose its permissions at once.
pub async fn delete_role(cx: &Context, id: &str, if_match: &IfMatch) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let role = stored(&tx, id).await?;
        must_have(&tx, "permissions", &role.fields.permissions)?;
        if_match.check(role.version())?;
        tx.delete(&role.document, role.entries()).or_precondition(if_match);
        Ok(())
    })
    .await
}

/// Fails unless the permissions exist, but for those that the role had before, and the principal has them.
fn check(cx: &Context, fields: &NewRole, before: &[String]) -> Result<(), Failure> {
    if let Err(report) = fields.validate() {
        return Err(Failure::Invalid(field_errors(&report).collect()));
    }
    let known = |name: &String| {
        let mut all = cx.permissions();
        before.contains(name) || all.any(|permission| permission.name == name)
    };
    let unknown = fields.permissions.iter().enumerate().filter(|(_, name)| !known(name));
    let unknown = unknown.map(|(n, name)| {
        let fault = Fault::not_found("permission").because(format!("there is no permission {name:?}"));
        FieldError::new(format!("permissions[{n}]"), fault)
    });
    let unknown: Vec<FieldError> = unknown.collect();
    if !unknown.is_empty() {
        return Err(Failure::Invalid(unknown));
    }
    must_have(cx, "permissions", &fields.permissions)
}

/// Fails unless the principal has all of these permissions.
fn must_have(cx: &Context, field: &str, names: &[String]) -> Result<(), Failure> {
    let principal = cx.signed_in()?;
    let has = |name: &&String| {
        let known = cx
            .registry
            .permissions
            .iter()
            .find(|permission| permission.name == **name);
        // Functions of other hosts may know one that is unknown here.
        match known {
            Some(permission) => principal.has(permission),
            None => principal.is_admin() || principal.grants.contains(name),
        }
    };
    match names.iter().find(|name| !has(name)) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("you do not have the permission {name} yourself");
            Err(Failure::forbidden_field(detail, field, "is more than you may"))
        }
    }
}

/// The roles of the account with this id or username, and the version of the account.
pub async fn roles_of(cx: &Context, account: &str) -> Result<(AccountRoles, u64), Failure> {
    let account = find_any(cx, account).await?;
    let version = account.version();
    Ok((
        AccountRoles {
            roles: account.value.roles,
        },
        version,
    ))
}

/// Sets the roles of the account with this id or username. Returns the version of the account.
pub async fn assign_roles(
    cx: &Context,
    account: &str,
    if_match: &IfMatch,
    wanted: &AccountRoles,
) -> Result<u64, IdentityError> {
    cx.commit(|tx| async move {
        let account = find_any(&tx, account).await?;
        if !tx.may_for(&account.profile.id, &ROLES_ASSIGN) {
            return Err(Failure::lacks(&ROLES_ASSIGN).into());
        }
        if_match.check(account.version())?;
        let before = &account.roles;
        let changed = wanted.roles.iter().filter(|role| !before.contains(role));
        let taken = before.iter().filter(|role| !wanted.roles.contains(role));
        for (role, is_given) in changed.map(|role| (role, true)).chain(taken.map(|role| (role, false))) {
            must_have_role(&tx, wanted, role, is_given).await?;
        }
        if *before == wanted.roles {
            return Ok(tx.unchanged(account).version());
        }
        set(&tx, &account, wanted.roles.clone());
        Ok(account.version().saturating_add(1))
    })
    .await
}

/// Fails unless the principal could take all of these roles from an account: it may do at least as much.
pub(super) async fn may_take_roles(tx: &Transaction<IdentityError>, roles: &[String]) -> Result<(), Failure> {
    for role in roles {
        must_have_role(tx, &AccountRoles::default(), role, false).await?;
    }
    Ok(())
}

/// Fails unless the principal has all permissions of a role that it gives or takes.
async fn must_have_role(
    tx: &Transaction<IdentityError>,
    wanted: &AccountRoles,
    id: &str,
    is_given: bool,
) -> Result<(), Failure> {
    if BUILT_IN.iter().any(|(name, _)| *name == id) {
        let principal = tx.signed_in()?;
        if principal.is_admin() || (id != ADMIN && principal.roles.iter().any(|role| role == id)) {
            return Ok(());
        }
        let detail = "only admins, and who has a built-in role, give and take it";
        return Err(Failure::forbidden_field(detail, "roles", "is more than you may"));
    }
    match find_role(tx, id).await {
        Ok(role) => must_have(tx, "roles", &role.permissions),
        Err(Failure::NotFound(_)) if is_given => {
            let place = wanted.roles.iter().position(|role| role == id).unwrap_or(0);
            Err(Failure::invalid(format!("roles[{place}]"), Fault::not_found("role")))
        }
        // It was deleted.
        Err(Failure::NotFound(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Sets the roles of an account.
pub(super) fn set(tx: &Transaction<IdentityError>, account: &Stored<Account>, roles: Vec<String>) {
    let id = &account.profile.id;
    let (before, after) = (member_entries(id, &account.roles), member_entries(id, &roles));
    // Accounts of earlier versions have no entries.
    let stale: Vec<Entry> = before.into_iter().filter(|entry| !after.contains(entry)).collect();
    let new = Account {
        roles,
        updated_at: tx.now(),
        ..account.value.clone()
    };
    tx.update(&account.document, new).moved(&stale, after).or_retry();
}

/// Gives a built-in role to the account with this username or verified email address, or takes all its roles away; `false` if there is no such account.
/// For the operator of the host, who needs no permission.
pub async fn grant_role(cx: &Context, login: &str, role: Option<&str>) -> Result<bool, IdentityError> {
    cx.commit(|tx| async move {
        let found = match login.contains('@') {
            true => {
                let found = find_by_email(&tx, login).await?;
                found.filter(|account| account.email_verified_at.is_some())
            }
            false => match find_any(&tx, login).await {
                Err(Failure::NotFound(_)) => None,
                found => Some(found?),
            },
        };
        let Some(account) = found else {
            return Ok(false);
        };
        let roles = match role {
            Some(role) if account.roles.iter().any(|own| own == role) => account.roles.clone(),
            Some(role) => [account.roles.clone(), vec![role.to_owned()]].concat(),
            None => Vec::new(),
        };
        // Who is given a role can use it.
        if account.roles != roles || !account.active {
            let value = Account {
                active: true,
                ..account.value.clone()
            };
            set(&tx, &Stored { value, ..account }, roles);
        }
        Ok(true)
    })
    .await
}

/// The accounts that have a role, in the order of their ids.
pub async fn accounts_with(cx: &Context, role: &str, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let role = find_role(cx, role).await?.id;
    let index = members(&role);
    cx.list(Query::index(index.clone(), page.limit), page, &index).await
}

/// The names of the permissions that a principal has.
pub(crate) fn permissions_of(cx: &Context, principal: &Principal) -> Vec<&'static str> {
    let all = cx.registry.permissions.iter();
    all.filter(|permission| principal.has(permission))
        .map(|permission| permission.name)
        .collect()
}
