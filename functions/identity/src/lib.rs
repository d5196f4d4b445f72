//! Accounts and sessions (VT-01, VT-02): who is who, and what proves it.
//!
//! **Atomicity.** Signing up is one commit of the account, its password and the claims on its email address and
//! username. Signing in is one commit of the session. A refresh is one commit that replaces the session's secret at the
//! version that was read, so of two that use one refresh token at once, one wins.

mod account;
mod password;
mod routes;
mod session;

use http::{Method, StatusCode};
use souk_core::Role;
use souk_kit::{Access, Function, Param, Route, Schema};

pub use account::{Account, Me, NewAccount, Profile, by_email, grant, sign_up};

/// The function's rows.
#[must_use]
pub fn function() -> Function {
    const FIELDS: &[Param] = &[Param::FIELDS];
    const SMALL: usize = 16 * 1024;
    let member = Access::Role(Role::Member);
    let tokens = || Some(Schema::of::<session::Tokens>());
    let routes = vec![
        Route::new(Method::POST, "/v1/accounts", Access::Public, routes::sign_up)
            .about("Sign up", "Then sign in with `POST /v1/sessions`.")
            .takes(Schema::of::<NewAccount>(), SMALL)
            .answers(
                StatusCode::CREATED,
                "The account, as its owner sees it",
                Some(Schema::of::<Me>()),
            )
            .fails(&[StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/accounts/{id}", Access::Public, routes::show)
            .about("Show a public profile", "By id or username.")
            .params(FIELDS)
            .cached(30, 300)
            .answers(StatusCode::OK, "The profile", Some(Schema::of::<Profile>()))
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::POST, "/v1/sessions", Access::Public, routes::sign_in)
            .about("Sign in", "With an email address or a username, and the password.")
            .takes(Schema::of::<session::Credentials>(), SMALL)
            .answers(StatusCode::CREATED, "Tokens", tokens())
            .fails(&[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]),
        Route::new(Method::POST, "/v1/sessions/refresh", Access::Public, routes::refresh)
            .about(
                "Refresh a session",
                "Each refresh token works once. One that is used again ends its session: it may be stolen.",
            )
            .takes(Schema::of::<session::Refresh>(), SMALL)
            .answers(StatusCode::CREATED, "New tokens", tokens())
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(Method::DELETE, "/v1/sessions/current", member, routes::sign_out)
            .about("Sign out", "The session's tokens stop working at once.")
            .answers(StatusCode::NO_CONTENT, "Signed out", None),
        Route::new(Method::GET, "/v1/me", member, routes::me)
            .about("Show my account", "")
            .params(FIELDS)
            .answers(StatusCode::OK, "The account", Some(Schema::of::<Me>())),
        Route::new(Method::PATCH, "/v1/me", member, routes::edit_me)
            .about("Change my account", "")
            .takes(Schema::patch_of::<account::Writable>(), SMALL)
            .answers(StatusCode::OK, "The account", Some(Schema::of::<Me>())),
        Route::new(Method::GET, "/.well-known/jwks.json", Access::Public, routes::jwks)
            .about("The keys that sign access tokens", "A JWK set (RFC 7517).")
            .cached(300, 3600)
            .answers(StatusCode::OK, "The keys", Some(Schema::of::<routes::JwkSet>())),
    ];
    Function::new("identity", "Accounts and sessions.", routes)
}
