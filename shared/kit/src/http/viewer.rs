//! Authentication of requests.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use souk_core::access::ByToken;
use souk_core::{Permission, Principal};

use super::client::ClientAddress;
use super::cookie::{check_origin, session_cookie};
use super::{Access, Answer, Problem, problem_type};
use crate::auth::{Account, Caller, TokenError};
use crate::operation::Failure;
use crate::{Context, Platform};

/// Proof that a request is from nobody in particular. Only the policy step of a public route creates one.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous(());

/// On a public route: whether the request is anonymous.
#[derive(Clone, Debug)]
pub struct Viewer(Option<Anonymous>);

impl Viewer {
    /// The response, shared if the request is anonymous. For content that is the same for every client.
    #[must_use]
    pub fn answer(&self, answer: Answer) -> Answer {
        match &self.0 {
            Some(proof) => answer.shared(proof),
            None => answer,
        }
    }
}

impl FromRequestParts<Arc<Platform>> for Viewer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Platform>) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get().copied()))
    }
}

impl FromRequestParts<Arc<Platform>> for Context {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Platform>) -> Result<Self, Problem> {
        let cx = parts.extensions.get().cloned();
        cx.ok_or_else(|| Problem::internal("the request has no context"))
    }
}

/// Whether the request has a credential, valid or not. A proxy in front of the host may read any cookie, so responses to requests
/// with cookies are never cached.
pub(crate) fn carries_credential(parts: &Parts) -> bool {
    let headers = &parts.headers;
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE) || account(parts).is_some()
}

/// Who is signed in, as a gate has found out.
fn account(parts: &Parts) -> Option<&Account> {
    parts.extensions.get::<Caller>()?.account.as_ref()
}

/// The principal of a request to a public route. An access token is optional and must be valid if it is sent. The cookie of a session
/// that has ended is not refused: it stays in the browser.
pub(super) async fn optional(parts: &mut Parts, platform: &Platform) -> Result<Option<Principal>, Problem> {
    if parts.headers.contains_key(header::AUTHORIZATION) || account(parts).is_some() {
        return authenticate(parts, platform).await.map(Some);
    }
    if session_cookie(parts).is_some() {
        match authenticate(parts, platform).await {
            // It stays in the browser when its session has ended.
            Err(problem) if problem.kind == problem_type::SESSION_ENDED => {}
            found => return found.map(Some),
        }
    }
    parts.extensions.insert(Anonymous(()));
    Ok(None)
}

/// The principal of a request to a route that requires this permission.
pub(super) async fn permitted(
    permission: &Permission,
    parts: &Parts,
    platform: &Platform,
) -> Result<Principal, Problem> {
    let principal = authenticate(parts, platform).await?;
    match principal.may(permission) {
        true => Ok(principal),
        false => Err(Failure::lacks(permission).into()),
    }
}

/// Fails if the principal shows a personal access token that does not allow this.
pub(super) fn check_token(principal: &Principal, access: Access, method: &http::Method) -> Result<(), Problem> {
    match principal.token {
        None => Ok(()),
        Some(_) if access == Access::Session => Err(Problem::new(
            problem_type::SESSION_REQUIRED,
            "this takes a session: personal access tokens are not for what is about the account itself",
        )),
        Some(ByToken::Read) if !method.is_safe() => {
            Err(Problem::new(problem_type::READ_ONLY_TOKEN, "this token may only read"))
        }
        Some(_) => Ok(()),
    }
}

/// The principal of a request to a route that requires one: verifies the bearer token, unless a gate has done so.
pub(crate) async fn authenticate(parts: &Parts, platform: &Platform) -> Result<Principal, Problem> {
    if let Some(account) = account(parts) {
        // What changes something waits for its body, and who sent it may have been kept out meanwhile.
        if parts.method.is_safe() {
            return Ok(account.principal(&platform.tenant));
        }
        let principal = platform.principal(&account.id, &account.session).await;
        return principal.map_err(refusal);
    }
    let header = parts.headers.get(header::AUTHORIZATION);
    if header.is_none()
        && let Some(cookie) = session_cookie(parts)
    {
        if !parts.method.is_safe() {
            check_origin(parts, platform)?;
        }
        return platform.of_cookie(cookie).await.map_err(refusal);
    }
    let header = header.map(|value| value.to_str().unwrap_or_default());
    let token = match header.map(|value| value.split_once(' ')) {
        Some(Some((scheme, token))) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        sent => {
            let kind = sent.map_or(problem_type::TOKEN_MISSING, |_| problem_type::TOKEN_INVALID);
            return Err(Problem::new(kind, "send an access token as Authorization: Bearer …"));
        }
    };
    let address = parts.extensions.get::<ClientAddress>().map_or("", |address| &address.0);
    platform.authenticate(token, address).await.map_err(refusal)
}

fn refusal(error: TokenError) -> Problem {
    match error {
        TokenError::Expired => Problem::new(problem_type::TOKEN_EXPIRED, "the access token has expired: refresh it"),
        TokenError::Invalid => Problem::new(
            problem_type::TOKEN_INVALID,
            "the access token is not valid: refresh it, else sign in again",
        ),
        TokenError::Revoked => Problem::new(
            problem_type::TOKEN_INVALID,
            "the personal access token is not valid, or no longer",
        ),
        TokenError::Elsewhere => Problem::forbidden("this token works from other networks only"),
        TokenError::Ended => Problem::new(problem_type::SESSION_ENDED, "the session has ended: sign in again"),
        TokenError::Store(error) => error.into(),
    }
}
