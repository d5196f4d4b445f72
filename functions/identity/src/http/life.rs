//! The routes of the life of an account.

use http::{Method, StatusCode};
use souk_kit::http::{Access, Answer, Json, Param, Path, Problem, QueryParams, Route, Schema, list_json};
use souk_kit::{Context, PageRequest};

use super::MAX_BODY;
use crate::account::NewPassword;
use crate::operations;
use crate::permissions::ACCOUNTS_DEACTIVATE;
use crate::session::ShownSession;

pub(super) fn routes() -> Vec<Route> {
    let session = Access::Session;
    let keeper = || Access::Permission(&ACCOUNTS_DEACTIVATE);
    vec![
        Route::new("listSessions", Method::GET, "/v1/me/sessions", session, show_sessions)
            .summary(
                "List my sessions",
                "Where the account is signed in, the newest first. A page may have fewer than its limit.",
            )
            .params(&[Param::LIMIT, Param::CURSOR])
            .response(
                StatusCode::OK,
                "A page of sessions",
                Some(Schema::list_of::<ShownSession>()),
            ),
        Route::new("endOtherSessions", Method::DELETE, "/v1/me/sessions", session, end_others)
            .summary(
                "End all other sessions",
                "Their tokens stop working at once. The session that asks goes on.",
            )
            .response(StatusCode::NO_CONTENT, "The others have ended", None),
        Route::new("endSession", Method::DELETE, "/v1/me/sessions/{id}", session, end)
            .summary("End a session", "Its tokens stop working at once.")
            .response(StatusCode::NO_CONTENT, "It has ended", None),
        Route::new("changePassword", Method::PUT, "/v1/me/password", session, change_password)
            .summary(
                "Change my password",
                "All other sessions of the account end. Ten attempts in 15 minutes are allowed from a session.",
            )
            .body(Schema::of::<NewPassword>(), MAX_BODY)
            .response(StatusCode::NO_CONTENT, "The password has changed", None)
            .errors(&[StatusCode::UNAUTHORIZED]),
        Route::new(
            "deactivateAccount",
            Method::POST,
            "/v1/accounts/{id}/deactivate",
            keeper(),
            deactivate,
        )
        .summary(
            "Deactivate an account",
            "By id or username. Its sessions end at once, it cannot sign in, and its profile is not shown. You must have all \
             permissions of its roles; accounts of built-in roles are kept out by admins and by who has these roles. The first \
             admin of the host is not kept out.",
        )
        .response(StatusCode::NO_CONTENT, "It is deactivated", None),
        Route::new(
            "reactivateAccount",
            Method::POST,
            "/v1/accounts/{id}/reactivate",
            keeper(),
            reactivate,
        )
        .summary(
            "Reactivate an account",
            "By who may deactivate it. It may sign in again; its former sessions stay ended, and its access tokens work again.",
        )
        .response(StatusCode::NO_CONTENT, "It is active", None),
    ]
}

async fn show_sessions(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let page = PageRequest::read(&params)?;
    list_json(&operations::list_sessions(&cx, &page).await?)
}

async fn end_others(cx: Context) -> Result<Answer, Problem> {
    operations::end_other_sessions(&cx).await?;
    Ok(Answer::no_content())
}

async fn end(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::end_session(&cx, &id).await?;
    Ok(Answer::no_content())
}

async fn change_password(cx: Context, Json(new): Json<NewPassword>) -> Result<Answer, Problem> {
    operations::change_password(&cx, &new).await?;
    Ok(Answer::no_content())
}

async fn deactivate(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::deactivate_account(&cx, &id).await?;
    Ok(Answer::no_content())
}

async fn reactivate(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::reactivate_account(&cx, &id).await?;
    Ok(Answer::no_content())
}
