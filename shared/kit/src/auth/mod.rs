//! Access tokens: signing keys, claims and principals.

mod caller;
mod keys;

use async_trait::async_trait;
use souk_core::{Documents, Principal, StoreError, Timestamp};

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

    /// The principal of a session whose cookie is this, as [`principal`](Self::principal) has it.
    async fn of_cookie(
        &self,
        _documents: &dyn Documents,
        _cookie: &str,
        _now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        Ok(None)
    }

    /// The principal of a personal access token, which is used from this network address now.
    async fn of_token(
        &self,
        _documents: &dyn Documents,
        _token: &str,
        _address: &str,
        _now: Timestamp,
    ) -> Result<TokenUse, StoreError> {
        Ok(TokenUse::Invalid)
    }
}

/// What personal access tokens begin with, by which scanners of secrets know them.
pub const TOKEN_PREFIX: &str = "soukpat_";

/// What a personal access token leads to.
#[derive(Debug)]
pub enum TokenUse {
    /// To this principal, but with none of its permissions beside these.
    Of(Principal, Vec<String>),
    /// To nobody: it was revoked, has expired, or is none.
    Invalid,
    /// To nobody at this address.
    Elsewhere,
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
    /// The token works from other networks only.
    Elsewhere,
    /// The token is a personal one, and does not work any more.
    Revoked,
    /// The store failed.
    Store(StoreError),
}
