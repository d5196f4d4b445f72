//! Who is behind a request.
//!
//! A bearer token is checked first by itself (signature, algorithm, key, issuer, audience, time), then against the
//! store in one batched read: its session must still exist and its account be active, and the role is the account's of
//! this moment. So signing out and losing a role take effect at once, and never hang on a cache.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use futures_util::future::BoxFuture;
use http::{header, request::Parts};
use souk_core::access::{AccountAccess, session_key};
use souk_core::kind::ACCOUNT;
use souk_core::{Principal, Role};

use crate::{Answer, Platform, Problem};

/// Proof that a request carried no access token. Nothing but the [`Viewer`] extractor makes one.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous(());

/// Whoever calls, for routes that anyone may call.
#[derive(Clone, Debug)]
pub enum Viewer {
    /// No credential came with the request.
    Anonymous(Anonymous),
    /// A valid one did.
    Member(Principal),
}

impl Viewer {
    /// The principal, if there is one.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Viewer::Anonymous(_) => None,
            Viewer::Member(principal) => Some(principal),
        }
    }

    /// The answer, kept by shared caches if nobody in particular asked. For content that all callers see alike.
    #[must_use]
    pub fn answer(&self, answer: Answer) -> Answer {
        match self {
            Viewer::Anonymous(proof) => answer.shared(proof),
            Viewer::Member(_) => answer,
        }
    }

    /// Whether they may see and change what belongs to `owner`.
    #[must_use]
    pub fn may_edit(&self, owner: &str) -> bool {
        self.principal().is_some_and(|principal| principal.may_edit(owner))
    }
}

/// The principal of a route whose access is not public.
#[derive(Clone, Debug)]
pub struct Member(pub Principal);

impl FromRequestParts<Arc<Platform>> for Viewer {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        if let Some(Member(principal)) = parts.extensions.get() {
            return Ok(Viewer::Member(principal.clone()));
        }
        // A cookie may be anyone's, of another program on this host even: it keeps the answer out of shared caches, and
        // is no reason to refuse it.
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Viewer::Anonymous(Anonymous(())));
        }
        authenticate(parts, platform).await.map(Viewer::Member)
    }
}

impl FromRequestParts<Arc<Platform>> for Member {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        match parts.extensions.get() {
            Some(member) => Ok(Member::clone(member)),
            None => authenticate(parts, platform).await.map(Member),
        }
    }
}

impl OptionalFromRequestParts<Arc<Platform>> for Member {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Option<Self>, Problem> {
        let viewer = <Viewer as FromRequestParts<_>>::from_request_parts(parts, platform).await?;
        Ok(viewer.principal().cloned().map(Member))
    }
}

/// Whether anything in the request could name a principal, valid or not. Cookies are not read here, but something in
/// front of us may: what they came with is never cached.
pub(crate) fn carries_credential(headers: &http::HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE)
}

/// Checks the bearer token and its session. In a box, as what is not in one is compiled anew in each crate that awaits it.
fn authenticate<'a>(parts: &'a Parts, platform: &'a Platform) -> BoxFuture<'a, Result<Principal, Problem>> {
    Box::pin(authenticated(parts, platform))
}

async fn authenticated(parts: &Parts, platform: &Platform) -> Result<Principal, Problem> {
    let header = parts
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = match header.and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(Problem::unauthorized("send an access token as Authorization: Bearer …")),
    };
    let invalid = || Problem::unauthorized("the access token is not valid or has expired");
    let claims = platform
        .keys
        .verify(token, &platform.settings.public_url, platform.clock.now())
        .ok_or_else(invalid)?;
    let keys = [session_key(&claims.sub, &claims.sid), ACCOUNT.key(&claims.sub)];
    let mut found = platform.documents.get(&keys).await?.into_iter();
    let (Some(Some(_)), Some(Some(account))) = (found.next(), found.next()) else {
        return Err(invalid());
    };
    let access: AccountAccess = account.parse()?;
    if !access.active {
        return Err(invalid());
    }
    Ok(Principal {
        account: claims.sub,
        session: claims.sid,
        role: access.role,
    })
}

/// Lets the request through if its principal has at least `role`.
pub(crate) async fn require(role: Role, parts: &mut Parts, platform: &Arc<Platform>) -> Result<(), Problem> {
    let principal = authenticate(parts, platform).await?;
    if principal.role < role {
        return Err(Problem::forbidden(
            format!("this takes the role {role:?}").to_lowercase(),
        ));
    }
    parts.extensions.insert(Member(principal));
    Ok(())
}
