//! The routes of the second factor.

use http::{Method, StatusCode};
use souk_kit::Context;
use souk_kit::http::{Access, Answer, Json, Problem, Route, Schema};

use super::MAX_BODY;
use crate::operations;
use crate::second_factor::{FirstCode, NewFactor, RecoveryCodes, ShownFactor};
use crate::session::Confirmation;

const PATH: &str = "/v1/me/second-factor";

pub(super) fn routes() -> Vec<Route> {
    let session = Access::Session;
    vec![
        Route::new(
            "confirmSession",
            Method::POST,
            "/v1/sessions/current/confirm",
            session,
            confirm,
        )
        .summary(
            "Confirm who I am",
            "What is sensitive asks for a sign-in of the last ten minutes, or for this. Ten attempts in 15 minutes are allowed from a \
             session.",
        )
        .body(Schema::of::<Confirmation>(), MAX_BODY)
        .response(StatusCode::NO_CONTENT, "For ten minutes what is sensitive may be done", None)
        .errors(&[StatusCode::UNAUTHORIZED]),
        Route::new("getSecondFactor", Method::GET, PATH, session, show)
            .summary("Get my second factor", "Whether sign-ins ask for a code.")
            .response(StatusCode::OK, "The second factor", Some(Schema::of::<ShownFactor>())),
        Route::new("beginSecondFactor", Method::POST, PATH, session, begin)
            .summary(
                "Set up a second factor",
                "Makes a secret for an authenticator (TOTP, RFC 6238). Sign-ins ask for its codes once the first was right.",
            )
            .issues("The secret, which is shown once", Schema::of::<NewFactor>())
            .secret()
            .errors(&[StatusCode::FORBIDDEN, StatusCode::CONFLICT]),
        Route::new(
            "enableSecondFactor",
            Method::POST,
            "/v1/me/second-factor/confirm",
            session,
            enable,
        )
        .summary(
            "Enable my second factor",
            "With the first code of the authenticator. Keep the recovery codes: each signs in once without it.",
        )
        .body(Schema::of::<FirstCode>(), MAX_BODY)
        .response(
            StatusCode::OK,
            "The recovery codes, which are shown once",
            Some(Schema::of::<RecoveryCodes>()),
        )
        .secret()
        .errors(&[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND, StatusCode::CONFLICT]),
        Route::new(
            "renewRecoveryCodes",
            Method::POST,
            "/v1/me/second-factor/recovery-codes",
            session,
            renew,
        )
        .summary("Renew my recovery codes", "The former ones count no more.")
        .issues("The recovery codes, which are shown once", Schema::of::<RecoveryCodes>())
        .secret()
        .errors(&[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND]),
        Route::new("disableSecondFactor", Method::DELETE, PATH, session, disable)
            .summary("Disable my second factor", "Sign-ins ask for no code any more.")
            .response(StatusCode::NO_CONTENT, "It is disabled", None)
            .errors(&[StatusCode::FORBIDDEN]),
    ]
}

async fn confirm(cx: Context, Json(sent): Json<Confirmation>) -> Result<Answer, Problem> {
    operations::confirm_session(&cx, &sent).await?;
    Ok(Answer::no_content())
}

async fn show(cx: Context) -> Result<Answer, Problem> {
    Answer::json(&operations::show_second_factor(&cx).await?)
}

async fn begin(cx: Context) -> Result<Answer, Problem> {
    Ok(Answer::json(&operations::begin_second_factor(&cx).await?)?.issued())
}

async fn enable(cx: Context, Json(sent): Json<FirstCode>) -> Result<Answer, Problem> {
    Answer::json(&operations::enable_second_factor(&cx, &sent.code).await?)
}

async fn renew(cx: Context) -> Result<Answer, Problem> {
    Ok(Answer::json(&operations::renew_recovery_codes(&cx).await?)?.issued())
}

async fn disable(cx: Context) -> Result<Answer, Problem> {
    operations::disable_second_factor(&cx).await?;
    Ok(Answer::no_content())
}
