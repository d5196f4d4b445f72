//! Access tokens: what signs them, what they say, and whose they are.

mod keys;

use async_trait::async_trait;
use souk_core::{Documents, Principal, StoreError, Timestamp};

pub use keys::{ACCESS_TOKEN_SECONDS, AccessToken, Keys};

/// Says who a session belongs to. The function that owns accounts implements it.
#[async_trait]
pub trait Principals: Send + Sync {
    /// The principal of this account and session, with the role that the account has now; `None` if the session has ended
    /// or the account may not act. Reads the newest state: signing out and losing a role take effect at once.
    async fn principal(
        &self,
        documents: &dyn Documents,
        account: &str,
        session: &str,
    ) -> Result<Option<Principal>, StoreError>;
}

/// The principal that this access token proves. The token is checked by itself first (signature, algorithm, key, issuer,
/// audience, time), then against the store.
pub(crate) async fn authenticate(
    token: &str,
    keys: &Keys,
    issuer: &str,
    now: Timestamp,
    documents: &dyn Documents,
    principals: &dyn Principals,
) -> Result<Option<Principal>, StoreError> {
    let Some(AccessToken { account, session }) = keys.verify(token, issuer, now) else {
        return Ok(None);
    };
    principals.principal(documents, &account, &session).await
}
