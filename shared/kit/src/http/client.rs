//! The network address of a client.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The network address of the client. A host stores it in the extensions of a request. It takes the address from the
/// socket or from its platform, never from a header that a client can set. The address is empty if the host does not
/// provide one. It is never logged, and stored only as a keyed digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
