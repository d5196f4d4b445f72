//! The routes of what a mail proves.

use http::{Method, StatusCode};
use souk_kit::Context;
use souk_kit::http::{Access, Answer, Json, Problem, Route, Schema};

use super::MAX_BODY;
use crate::account::NewEmail;
use crate::challenge::{Address, EmailConfirmation, EmailProof, MailedSignIn, PasswordReset, ShownChallenge};
use crate::operations;
use crate::session::Tokens;

const MAILED: &str = "A challenge, whose code and link are mailed";

pub(super) fn routes() -> Vec<Route> {
    let (open, session) = (Access::Open, Access::Session);
    let challenge = Schema::of::<ShownChallenge>;
    let no_mail = StatusCode::NOT_IMPLEMENTED;
    vec![
        Route::new(
            "requestEmailVerification",
            Method::POST,
            "/v1/me/email/verification",
            session,
            request_verification,
        )
        .summary(
            "Mail a code to verify my email address",
            "Signing up mails one too. If the address belongs to another account, its owner is told so, and no code is mailed.",
        )
        .issues(MAILED, challenge())
        .secret()
        .errors(&[StatusCode::CONFLICT, no_mail]),
        Route::new("requestEmailChange", Method::PUT, "/v1/me/email", session, request_change)
            .summary(
                "Change my email address",
                "A code is mailed to the new address, and another one to the present address if it is verified: both have to be \
                 sent to `POST /v1/email-confirmations`.",
            )
            .body(Schema::of::<NewEmail>(), MAX_BODY)
            .issues(MAILED, challenge())
            .secret()
            .errors(&[StatusCode::UNAUTHORIZED, no_mail]),
        Route::new("confirmEmail", Method::POST, "/v1/email-confirmations", open, confirm)
            .summary(
                "Confirm an email address",
                "With the code of a mail. Whoever verifies an address can sign in by it. Five wrong codes use a challenge up.",
            )
            .body(Schema::of::<EmailProof>(), MAX_BODY)
            .response(
                StatusCode::OK,
                "Whether the address is verified",
                Some(Schema::of::<EmailConfirmation>()),
            )
            .errors(&[StatusCode::CONFLICT]),
        Route::new(
            "requestPasswordReset",
            Method::POST,
            "/v1/password-resets",
            open,
            request_reset,
        )
        .summary(
            "Mail a code to set a new password",
            "The answer is the same for every address; a mail is sent if an account has verified it.",
        )
        .body(Schema::of::<Address>(), MAX_BODY)
        .issues(MAILED, challenge())
        .secret()
        .errors(&[no_mail]),
        Route::new(
            "resetPassword",
            Method::POST,
            "/v1/password-resets/confirm",
            open,
            reset,
        )
        .summary(
            "Set a new password",
            "With the code of a mail. All sessions of the account end; sign in with the new password.",
        )
        .body(Schema::of::<PasswordReset>(), MAX_BODY)
        .response(StatusCode::NO_CONTENT, "The password has changed", None),
        Route::new(
            "requestMailedSignIn",
            Method::POST,
            "/v1/sessions/mailed",
            open,
            request_sign_in,
        )
        .summary(
            "Mail a code to sign in with",
            "The answer is the same for every address; a mail is sent if an account has verified it.",
        )
        .body(Schema::of::<Address>(), MAX_BODY)
        .issues(MAILED, challenge())
        .secret()
        .errors(&[no_mail]),
        Route::new(
            "signInByMail",
            Method::POST,
            "/v1/sessions/mailed/confirm",
            open,
            sign_in,
        )
        .summary(
            "Sign in with a mailed code",
            "Without a password; the second factor, if the account has one, is needed too.",
        )
        .body(Schema::of::<MailedSignIn>(), MAX_BODY)
        .issues("The tokens of the session", Schema::of::<Tokens>())
        .secret()
        .errors(&[StatusCode::UNAUTHORIZED]),
    ]
}

fn issued(challenge: &ShownChallenge) -> Result<Answer, Problem> {
    Ok(Answer::json(challenge)?.issued())
}

async fn request_verification(cx: Context) -> Result<Answer, Problem> {
    issued(&operations::request_email_verification(&cx).await?)
}

async fn request_change(cx: Context, Json(new): Json<NewEmail>) -> Result<Answer, Problem> {
    issued(&operations::request_email_change(&cx, &new).await?)
}

async fn confirm(cx: Context, Json(proof): Json<EmailProof>) -> Result<Answer, Problem> {
    Answer::json(&operations::confirm_email(&cx, &proof.answer()).await?)
}

async fn request_reset(cx: Context, Json(sent): Json<Address>) -> Result<Answer, Problem> {
    issued(&operations::request_password_reset(&cx, &sent.email).await?)
}

async fn reset(cx: Context, Json(new): Json<PasswordReset>) -> Result<Answer, Problem> {
    operations::reset_password(&cx, &new.answer(), &new.password).await?;
    Ok(Answer::no_content())
}

async fn request_sign_in(cx: Context, Json(sent): Json<Address>) -> Result<Answer, Problem> {
    issued(&operations::request_mailed_sign_in(&cx, &sent.email).await?)
}

async fn sign_in(cx: Context, Json(sent): Json<MailedSignIn>) -> Result<Answer, Problem> {
    let tokens = operations::sign_in_by_mail(&cx, &sent).await?;
    Ok(Answer::json(&tokens)?.issued())
}
