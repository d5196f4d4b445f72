//! The routes of accounts, sessions and roles.

mod challenges;
mod factors;
mod life;
mod roles;
mod tokens;

use http::{Method, StatusCode};
use serde::Serialize;
use souk_core::Principal;
use souk_kit::http::{
    Access, Answer, Json, Param, Path, Problem, QueryParams, Route, SameOrigin, Schema, Selection, Viewer,
};
use souk_kit::{Context, IfMatch, MergePatch};

use crate::account::{EditableAccount, Me, NewAccount, Profile};
use crate::challenge::ShownChallenge;
use crate::limits::REFRESHES;
use crate::operations::{self, SignedUp, permissions_of};
use crate::session::{Credentials, EmailOrUsername, IDLE_SECONDS, Refresh, ShownCookieSession, Tokens};

const PROFILE_FIELDS: &[&str] = &["id", "username", "name", "bio", "avatar", "created_at"];
const ME_FIELDS: &[&str] = &[
    "id",
    "username",
    "name",
    "bio",
    "avatar",
    "created_at",
    "email",
    "email_verified",
    "locale",
    "time_zone",
    "roles",
    "permissions",
    "updated_at",
    "version",
];
const MAX_BODY: usize = 16 * 1024;

/// A new account as its owner sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct NewMe {
    #[serde(flatten)]
    me: Me,
    /// The tokens of the session; absent unless `sign_in` was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    session: Option<Tokens>,
    /// What was mailed to the address, to be confirmed with `POST /v1/email-confirmations`; absent if the market sends no mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    email_verification: Option<ShownChallenge>,
}

/// A set of JSON Web Keys (RFC 7517).
#[derive(Serialize, utoipa::ToSchema)]
struct JwkSet {
    /// The JSON Web Keys.
    #[schema(value_type = Vec<BTreeMap<String, String>>)]
    keys: Vec<serde_json::Value>,
}

pub(crate) fn routes() -> Vec<Route> {
    let member = Access::Member;
    let tokens = Schema::of::<Tokens>;
    let me = || Some(Schema::of::<Me>());
    let mut all = vec![
        Route::new("signUp", Method::POST, "/v1/accounts", Access::Open, sign_up)
            .summary(
                "Create an account",
                "Sign in at once with `sign_in`, or later with the username. A code is mailed to the address; once that is confirmed \
                 (`POST /v1/email-confirmations`) the address can be signed in by too. The answer does not tell whether another \
                 account has the address.",
            )
            .body(Schema::of::<NewAccount>(), MAX_BODY)
            .response(
                StatusCode::CREATED,
                "The account, as its owner sees it, and its session",
                Some(Schema::of::<NewMe>()),
            )
            .secret()
            .errors(&[StatusCode::CONFLICT]),
        Route::new("getAccount", Method::GET, "/v1/accounts/{id}", Access::Public, show)
            .summary("Get the public profile of an account", "By id or username.")
            .params(&[Param::FIELDS])
            .cached(30, 300)
            .response(StatusCode::OK, "The profile", Some(Schema::of::<Profile>())),
        Route::new("signIn", Method::POST, "/v1/sessions", Access::Open, sign_in)
            .summary(
                "Sign in",
                "With an email address or a username, and the password. Ten attempts in 15 minutes are allowed for an account from a \
                 network, and a hundred in a row from all. A device that has signed in before sends the `device` that it got, and is \
                 counted apart. If the account has a second factor, the answer is 401 `second_factor_required` until it is sent too.",
            )
            .body(Schema::of::<EmailOrUsername>(), MAX_BODY)
            .issues("The tokens of the session", tokens())
            .secret()
            .errors(&[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Route::new(
            "signInWithCookie",
            Method::POST,
            "/v1/sessions/cookie",
            Access::Open,
            sign_in_with_cookie,
        )
        .summary(
            "Sign in with a cookie",
            "For pages of the same origin: the session is in the cookie `__Host-souk`, which no script can read, for 30 days. Whatever \
             such a page then changes must say by `Sec-Fetch-Site` or `Origin` that it is of this origin, as browsers do by themselves.",
        )
        .body(Schema::of::<EmailOrUsername>(), MAX_BODY)
        .issues("The session, whose cookie is set", Schema::of::<ShownCookieSession>())
        .secret()
        .errors(&[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Route::new(
            "refreshSession",
            Method::POST,
            "/v1/sessions/refresh",
            Access::Open,
            refresh,
        )
        .summary(
            "Refresh a session",
            "Each refresh token works once. Using it again ends its session, because the token may have been \
                 stolen.",
        )
        .body(Schema::of::<Refresh>(), MAX_BODY)
        .issues("The new tokens of the session", tokens())
        .secret()
        .limited_only(&REFRESHES)
        .errors(&[StatusCode::UNAUTHORIZED]),
        Route::new("signOut", Method::DELETE, "/v1/sessions/current", Access::Session, sign_out)
            .summary("Sign out", "The tokens of the session stop working at once, and its cookie is removed.")
            .response(StatusCode::NO_CONTENT, "The session has ended", None),
        Route::new("getMe", Method::GET, "/v1/me", member, show_me)
            .summary("Get my account", "With what only its owner sees.")
            .params(&[Param::FIELDS])
            .response(StatusCode::OK, "The account", me()),
        Route::new("updateMe", Method::PATCH, "/v1/me", Access::Session, edit_me)
            .summary(
                "Update my account",
                "The email address changes by `PUT /v1/me/email`, the password by `PUT /v1/me/password`.",
            )
            .body(Schema::patch_of::<EditableAccount>("UpdateMe"), MAX_BODY)
            .response(StatusCode::OK, "The account", me()),
        Route::new(
            "getSigningKeys",
            Method::GET,
            "/.well-known/jwks.json",
            Access::Public,
            jwks,
        )
        .summary("Get the public keys that verify access tokens", "A JWK set (RFC 7517).")
        .cached(300, 3600)
        .response(StatusCode::OK, "The keys", Some(Schema::of::<JwkSet>())),
    ];
    all.extend(challenges::routes());
    all.extend(factors::routes());
    all.extend(life::routes());
    all.extend(roles::routes());
    all.extend(tokens::routes());
    all
}

async fn sign_up(cx: Context, Json(new): Json<NewAccount>) -> Result<Answer, Problem> {
    let SignedUp {
        account,
        session,
        email_verification,
    } = operations::sign_up(&cx, new).await?;
    let version = account.version();
    let path = format!("/v1/accounts/{}", account.profile.id);
    // Nobody is signed in yet.
    let principal = Principal {
        roles: account.roles.clone(),
        is_of_tenant: !cx.tenant.is_main(),
        ..Principal::default()
    };
    let me = account.me(version, &permissions_of(&cx, &principal));
    let body = NewMe {
        me,
        session,
        email_verification,
    };
    Ok(Answer::json(&body)?.created(path))
}

async fn show(cx: Context, viewer: Viewer, Path(id): Path<String>, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, PROFILE_FIELDS, &[])?;
    let account = operations::find_account(&cx, &id).await?;
    Ok(viewer.answer(Answer::raw(selection.render_value(&account.profile)?)))
}

async fn sign_in(cx: Context, Json(credentials): Json<Credentials>) -> Result<Answer, Problem> {
    let tokens = operations::sign_in(&cx, credentials).await?;
    Ok(Answer::json(&tokens)?.issued())
}

async fn sign_in_with_cookie(
    cx: Context,
    proof: SameOrigin,
    Json(credentials): Json<Credentials>,
) -> Result<Answer, Problem> {
    let session = operations::sign_in_with_cookie(&cx, credentials).await?;
    let answer = Answer::json(&session.shown)?.issued();
    Ok(answer.session_cookie(&session.cookie, IDLE_SECONDS, proof))
}

async fn refresh(cx: Context, Json(sent): Json<Refresh>) -> Result<Answer, Problem> {
    let tokens = operations::refresh(&cx, &sent.refresh_token).await?;
    Ok(Answer::json(&tokens)?.issued())
}

async fn sign_out(cx: Context) -> Result<Answer, Problem> {
    operations::sign_out(&cx).await?;
    Ok(Answer::no_content().without_session_cookie())
}

async fn show_me(cx: Context, params: QueryParams) -> Result<Answer, Problem> {
    let selection = Selection::read(&params, ME_FIELDS, &[])?;
    let account = operations::own_account(&cx).await?;
    let version = account.version();
    Ok(
        Answer::raw(selection.render_value(&account.me(version, &permissions_of(&cx, cx.signed_in()?)))?)
            .version(version),
    )
}

async fn edit_me(cx: Context, if_match: IfMatch, patch: MergePatch) -> Result<Answer, Problem> {
    let account = operations::edit_own_account(&cx, &if_match, &patch).await?;
    let version = account.version();
    Ok(Answer::json(&account.me(version, &permissions_of(&cx, cx.signed_in()?)))?.version(version))
}

async fn jwks(cx: Context, viewer: Viewer) -> Result<Answer, Problem> {
    Ok(viewer.answer(Answer::json(&cx.keys.jwks())?))
}
