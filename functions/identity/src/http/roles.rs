//! The routes of roles and permissions.

use http::{Method, StatusCode};
use souk_core::Document;
use souk_kit::http::{
    Access, Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, list, list_whole, public_fields,
};
use souk_kit::{Context, IfMatch, MergePatch, PageRequest};
use souk_model::identity::ACCOUNT;

use super::MAX_BODY;
use crate::account::Profile;
use crate::operations;
use crate::permissions::{ROLES_ASSIGN, ROLES_READ, ROLES_WRITE};
use crate::role::{AccountRoles, NewRole, ShownPermission, ShownRole};

pub(super) fn routes() -> Vec<Route> {
    let (reader, writer) = (Access::Permission(&ROLES_READ), Access::Permission(&ROLES_WRITE));
    let role = || Some(Schema::of::<ShownRole>());
    let of_account = || Some(Schema::of::<AccountRoles>());
    vec![
        Route::new("listPermissions", Method::GET, "/v1/permissions", reader, list_permissions)
            .summary("List permissions", "What staff may do, and which built-in roles may.")
            .response(
                StatusCode::OK,
                "All permissions",
                Some(Schema::list_of::<ShownPermission>()),
            ),
        Route::new("listRoles", Method::GET, "/v1/roles", reader, list_roles)
            .summary("List roles", "The built-in ones first, then the others by name.")
            .response(StatusCode::OK, "All roles", Some(Schema::list_of::<ShownRole>())),
        Route::new("createRole", Method::POST, "/v1/roles", writer, create)
            .summary(
                "Create a role",
                "Of permissions that you have yourself. There may be a hundred roles.",
            )
            .body(Schema::of::<NewRole>(), MAX_BODY)
            .response(StatusCode::CREATED, "The role", role())
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getRole", Method::GET, "/v1/roles/{id}", reader, show)
            .summary("Get a role", "By its id, or the name of a built-in one.")
            .response(StatusCode::OK, "The role", role()),
        Route::new("updateRole", Method::PATCH, "/v1/roles/{id}", writer, change)
            .summary(
                "Update a role",
                "Whoever has it has its new permissions from the next request on. You must have its permissions yourself, the old and \
                 the new ones.",
            )
            .body(Schema::patch_of::<NewRole>("UpdateRole"), MAX_BODY)
            .response(StatusCode::OK, "The role", role()),
        Route::new("deleteRole", Method::DELETE, "/v1/roles/{id}", writer, delete)
            .summary("Delete a role", "Whoever has it loses its permissions at once.")
            .response(StatusCode::NO_CONTENT, "The role was deleted", None)
            .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
        Route::new("listRoleAccounts", Method::GET, "/v1/roles/{id}/accounts", reader, list_accounts)
            .summary("List the accounts that have a role", "In the order of their ids.")
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(StatusCode::OK, "A page of accounts", Some(Schema::list_of::<Profile>())),
        Route::new("getAccountRoles", Method::GET, "/v1/accounts/{id}/roles", reader, show_of_account)
            .summary("Get the roles of an account", "By id or username.")
            .response(StatusCode::OK, "The roles", of_account()),
        Route::new(
            "replaceAccountRoles",
            Method::PUT,
            "/v1/accounts/{id}/roles",
            Access::Permission(&ROLES_ASSIGN),
            assign,
        )
        .summary(
            "Replace the roles of an account",
            "Takes effect with its next request. You must have all permissions of the roles that you give or take; built-in \
             roles are given and taken by admins and by who has them, and `admin` by admins.",
        )
        .body(Schema::of::<AccountRoles>(), MAX_BODY)
        .response(StatusCode::OK, "The roles", of_account())
        .errors(&[StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED]),
    ]
}

async fn list_permissions(cx: Context) -> Result<Answer, Problem> {
    let mut all: Vec<ShownPermission> = cx.permissions().map(Into::into).collect();
    all.sort_by_key(|permission| permission.name);
    list_whole(all)
}

async fn list_roles(cx: Context) -> Result<Answer, Problem> {
    list_whole(operations::list_roles(&cx).await?)
}

async fn create(cx: Context, Json(fields): Json<NewRole>) -> Result<Answer, Problem> {
    let role = operations::create_role(&cx, &fields).await?;
    let version = role.version();
    let path = format!("/v1/roles/{}", role.id);
    Ok(Answer::json(&role.shown(version))?.created(path).version(version))
}

async fn show(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let role = operations::find_role(&cx, &id).await?;
    let answer = Answer::json(&role)?;
    Ok(match role.version {
        Some(version) => answer.version(version),
        None => answer,
    })
}

async fn change(cx: Context, Path(id): Path<String>, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let role = operations::change_role(&cx, &id, &if_match, &patch).await?;
    let version = role.version();
    Ok(Answer::json(&role.shown(version))?.version(version))
}

async fn delete(cx: Context, Path(id): Path<String>, if_match: IfMatch) -> Result<Answer, Problem> {
    operations::delete_role(&cx, &id, &if_match).await?;
    Ok(Answer::no_content())
}

async fn list_accounts(cx: Context, Path(id): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    let page = PageRequest::read(&params)?;
    let found = operations::accounts_with(&cx, &id, &page).await?;
    let shown = |document: &Document| Ok(serde_json::to_vec(&public_fields(ACCOUNT, document)?)?);
    let items: Vec<Vec<u8>> = found.items.iter().map(shown).collect::<Result<_, Problem>>()?;
    Ok(list(&items, &found))
}

async fn show_of_account(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    let (roles, version) = operations::roles_of(&cx, &id).await?;
    Ok(Answer::json(&roles)?.version(version))
}

async fn assign(
    cx: Context,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(wanted): Json<AccountRoles>,
) -> Result<Answer, Problem> {
    let version = operations::assign_roles(&cx, &id, &if_match, &wanted).await?;
    Ok(Answer::json(&wanted)?.version(version))
}
