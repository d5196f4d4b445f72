//! The network address of a client, as far as the host can tell.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// The network address of the client. Hosts put it into the extensions of a request, from what they trust: the socket, or
/// what their platform says; never from a header that a client can write. It is empty where a host says nothing. It is never
/// logged, and stored as a keyed digest only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientAddress(pub String);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
