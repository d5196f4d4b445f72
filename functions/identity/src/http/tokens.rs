//! The routes of personal access tokens.

use http::{Method, StatusCode};
use serde::Serialize;
use souk_kit::Context;
use souk_kit::http::{Access, Answer, Json, Path, Problem, Route, Schema};

use super::MAX_BODY;
use crate::operations;
use crate::token::{IssuedToken, NewToken, Rotation, ShownToken};

/// The tokens of an account.
#[derive(Serialize, utoipa::ToSchema)]
struct AccessTokens {
    /// The tokens, the oldest first.
    items: Vec<ShownToken>,
}

pub(super) fn routes() -> Vec<Route> {
    let session = Access::Session;
    let issued = Schema::of::<IssuedToken>;
    vec![
        Route::new("listTokens", Method::GET, "/v1/me/tokens", session, show)
            .summary("List my access tokens", "Without their secrets.")
            .response(StatusCode::OK, "The tokens", Some(Schema::of::<AccessTokens>())),
        Route::new("createToken", Method::POST, "/v1/me/tokens", session, create)
            .summary(
                "Create an access token",
                "For a program, which sends it as `Authorization: Bearer …`. It does what the account may, as far as the token \
                 allows, but for what is about the account itself. It goes on working when sessions end.",
            )
            .body(Schema::of::<NewToken>(), MAX_BODY)
            .issues("The token, whose secret is shown once", issued())
            .secret()
            .errors(&[StatusCode::FORBIDDEN, StatusCode::CONFLICT]),
        Route::new(
            "rotateToken",
            Method::POST,
            "/v1/me/tokens/{id}/rotate",
            session,
            rotate,
        )
        .summary(
            "Rotate an access token",
            "Gives it another secret. The former one goes on working for a while, and the one before that no more.",
        )
        .body(Schema::of::<Rotation>(), MAX_BODY)
        .issues("The token with its new secret, which is shown once", issued())
        .secret()
        .errors(&[StatusCode::FORBIDDEN]),
        Route::new("revokeToken", Method::DELETE, "/v1/me/tokens/{id}", session, revoke)
            .summary("Revoke an access token", "It stops working at once.")
            .response(StatusCode::NO_CONTENT, "It is revoked", None),
    ]
}

async fn show(cx: Context) -> Result<Answer, Problem> {
    let items = operations::list_tokens(&cx).await?;
    Answer::json(&AccessTokens { items })
}

async fn create(cx: Context, Json(new): Json<NewToken>) -> Result<Answer, Problem> {
    Ok(Answer::json(&operations::create_token(&cx, &new).await?)?.issued())
}

async fn rotate(cx: Context, Path(id): Path<String>, Json(sent): Json<Rotation>) -> Result<Answer, Problem> {
    let issued = operations::rotate_token(&cx, &id, sent.overlap_seconds).await?;
    Ok(Answer::json(&issued)?.issued())
}

async fn revoke(cx: Context, Path(id): Path<String>) -> Result<Answer, Problem> {
    operations::revoke_token(&cx, &id).await?;
    Ok(Answer::no_content())
}
