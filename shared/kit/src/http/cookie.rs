//! The cookie of a session, for pages of this origin.
//!
//! A browser sends the cookie with every request to this host, also with those that pages of other sites make. So a request with the
//! cookie that may change something is refused unless the browser says that a page of the same origin sent it: by
//! `Sec-Fetch-Site`, or by `Origin` where that is missing.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderValue, header};

use super::{Problem, problem_type};
use crate::Platform;
use crate::tenancy::HOST_HEADER;

/// The name of the cookie. Browsers take one with this prefix from the host itself only, with TLS or on the machine itself.
const NAME: &str = "__Host-souk";

/// The cookie of a session, if the request has one.
pub(super) fn session_cookie(parts: &Parts) -> Option<&str> {
    let headers = parts.headers.get_all(header::COOKIE).into_iter();
    let pairs = headers
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, value)| value)
}

/// The header that sets the cookie for so many seconds; with none it is removed.
pub(super) fn set_cookie(value: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    HeaderValue::try_from(text).ok()
}

/// Fails unless a page of the same origin sent the request.
pub(super) fn check_origin(parts: &Parts, platform: &Platform) -> Result<(), Problem> {
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_same = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = text(HOST_HEADER)
                .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
                .or_else(|| text("host"));
            let own = &platform.settings.public_url;
            let scheme = own.split_once("://").map_or("https", |(scheme, _)| scheme);
            let authority = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            let is_host = authority
                .zip(host)
                .is_some_and(|(sent, host)| sent.eq_ignore_ascii_case(host));
            origin == own || is_host
        }
        (None, None) => false,
    };
    match is_same {
        true => Ok(()),
        false => Err(Problem::new(
            problem_type::CROSS_SITE,
            "with a cookie, only pages of this origin may change something",
        )),
    }
}

/// Proof that a page of the same origin sent the request, for what sets a cookie.
#[derive(Clone, Copy, Debug)]
pub struct SameOrigin(());

impl FromRequestParts<Arc<Platform>> for SameOrigin {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, platform: &Arc<Platform>) -> Result<Self, Problem> {
        check_origin(parts, platform).map(|()| Self(()))
    }
}
