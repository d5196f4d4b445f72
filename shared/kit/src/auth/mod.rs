//! Access tokens: signing keys, claims and principals.

mod caller;
mod keys;

use async_trait::async_trait;
use souk_core::{Documents, Principal, StoreError};

pub(crate) use caller::{Account, Caller, IDENTITY};
pub use keys::{ACCESS_TOKEN_SECONDS, AccessToken, Keys};

/// Resolves sessions to principals. The function that owns accounts implements it.
#[async_trait]
pub trait Principals: Send + Sync {
    /// The principal of this account and session, with the current role of the account; `None` if the session has ended
    /// or the account is deactivated. Reads are strongly consistent: signing out and losing a role take effect at once.
    async fn principal(
        &self,
        documents: &dyn Documents,
        account: &str,
        session: &str,
    ) -> Result<Option<Principal>, StoreError>;
}

/// Why an access token leads to no principal.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// The token was valid, and has expired.
    Expired,
    /// The token is not one that this market made.
    Invalid,
    /// The session has ended, or the account is deactivated.
    Ended,
    /// The store failed.
    Store(StoreError),
}
