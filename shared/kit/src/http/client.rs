//! The network address of a client.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

/// The network address of the client. A host stores it in the extensions of a request. It takes the address from the
/// socket or from its platform, never from a header that a client can set. The address is empty if the host does not
/// provide one. It is never logged, and stored only as a keyed digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl ClientAddress {
    /// The address of the client as the outermost of `proxies` trusted proxies saw it, from `X-Forwarded-For`. Each proxy
    /// appends the address that it is called from; what precedes theirs may be forged. `None` without proxies.
    #[must_use]
    pub fn forwarded(headers: &HeaderMap, proxies: usize) -> Option<Self> {
        let position = proxies.checked_sub(1)?;
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        // What a client put there may be no text; that of a proxy is.
        let mut addresses = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let address = String::from_utf8_lossy(addresses.nth(position)?);
        Some(Self(address.trim().to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
