//! Who a request is from: the account behind an access token, the cookie of a session, or a personal access token.
//!
//! Every request with one of them reads the session or the token together with the account, in one batched get. So what has ended or
//! was revoked works nowhere any more, from the next request on.

use async_trait::async_trait;
use serde::Deserialize;
use souk_core::documents::get_one;
use souk_core::{
    Change, Commit, Condition, Consistency, Document, Documents, Key, Principal, StoreError, Timestamp, clock, id,
};
use souk_kit::auth::TokenUse;
use souk_kit::{Partitions, Principals};
use souk_model::identity::{ACCOUNT, AccountView};

use crate::session::{Session, session_key};
use crate::token::{self, LastUse, Sent, Token};

/// What is read for every request with an access token.
pub const SIGN_IN: &[Partitions] = &[
    Partitions::Documents("account/*"),
    Partitions::Documents("role/*"),
    Partitions::Documents("sessions/*"),
    Partitions::Documents("access-tokens/*"),
    Partitions::Documents("access-token-use/*"),
];

/// What every request with a personal access token may write: when it was used.
pub const SIGN_IN_WRITES: &[Partitions] = &[Partitions::Documents("access-token-use/*")];

/// The generation of a stored session.
#[derive(Deserialize)]
struct Generation {
    #[serde(default)]
    generation: u32,
}

/// Looks up the account of a session.
pub struct Sessions;

#[async_trait]
impl Principals for Sessions {
    async fn principal(
        &self,
        documents: &dyn Documents,
        account: &str,
        session: &str,
    ) -> Result<Option<Principal>, StoreError> {
        of_session(documents, account, session, |_| Ok(true)).await
    }

    async fn of_cookie(
        &self,
        documents: &dyn Documents,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Option<Principal>, StoreError> {
        let parts: Vec<&str> = cookie.split('.').collect();
        let [account, id, secret] = parts.as_slice() else {
            return Ok(None);
        };
        if !ACCOUNT.is_id(account) || !id::is("ses", id) {
            return Ok(None);
        }
        of_session(documents, account, id, |document| {
            Ok(document.parse::<Session>()?.has_cookie(secret, now))
        })
        .await
    }

    async fn of_token(
        &self,
        documents: &dyn Documents,
        token: &str,
        address: &str,
        now: Timestamp,
    ) -> Result<TokenUse, StoreError> {
        let Some(sent) = Sent::read(token) else {
            return Ok(TokenUse::Invalid);
        };
        let (account, id) = (&sent.account, &sent.id);
        let keys = [token::key(account, id), ACCOUNT.key(account), token::use_key(id)];
        let mut found = documents.get(&keys, Consistency::Strong).await?.into_iter();
        let (Some(Some(token)), Some(Some(document)), used) = (found.next(), found.next(), found.next()) else {
            return Ok(TokenUse::Invalid);
        };
        let (token, view): (Token, AccountView) = (token.parse()?, document.parse()?);
        let is_over = token.fields.expires_at.is_some_and(|end| end <= now);
        if !token.is(&sent, now) || is_over || !view.active {
            return Ok(TokenUse::Invalid);
        }
        if !token.works_from(address) {
            return Ok(TokenUse::Elsewhere);
        }
        let used = used.flatten().map(|used| used.parse::<LastUse>()).transpose()?;
        note_use(documents, id, used.map(|used| used.at), now).await;
        let whole = with_roles(documents, view, account).await?;
        let principal = Principal {
            session: id.clone(),
            token: Some(token.by_token()),
            ..whole
        };
        Ok(TokenUse::Of(principal, token.fields.permissions))
    }
}

/// The principal of a session, if it goes on and is one that `is_valid`. Session and account are found by one read.
async fn of_session(
    documents: &dyn Documents,
    account: &str,
    session: &str,
    is_valid: impl Fn(&Document) -> Result<bool, StoreError>,
) -> Result<Option<Principal>, StoreError> {
    let keys = [session_key(account, session), ACCOUNT.key(account)];
    let mut found = documents.get(&keys, Consistency::Strong).await?.into_iter();
    let (Some(Some(session_document)), Some(Some(document))) = (found.next(), found.next()) else {
        return Ok(None);
    };
    let view: AccountView = document.parse()?;
    if !view.active || !is_valid(&session_document)? {
        return Ok(None);
    }
    // Few accounts have ever ended all of their sessions, and all others cost no further parsing.
    if view.generation > 0 && session_document.parse::<Generation>()?.generation < view.generation {
        // The two may be of different moments: a session that goes on is written with its account.
        let again = get_one(documents, session_key(account, session)).await?;
        let again = again.map(|document| document.parse::<Generation>()).transpose()?;
        if again.is_none_or(|session| session.generation < view.generation) {
            return Ok(None);
        }
    }
    let principal = with_roles(documents, view, account).await?;
    Ok(Some(Principal {
        session: session.to_owned(),
        ..principal
    }))
}

/// The principal of an account, as it is now.
async fn with_roles(documents: &dyn Documents, view: AccountView, account: &str) -> Result<Principal, StoreError> {
    // Few accounts have such a role, and all others cost no further read.
    let roles: Vec<Key> = view.role_keys().collect();
    let roles = match &*roles {
        [] => Vec::new(),
        keys => documents.get(keys, Consistency::Strong).await?,
    };
    view.principal(account, roles.iter().flatten())
}

/// Notes that a token was used, at most once a minute. Who uses it does not wait for more than one try.
async fn note_use(documents: &dyn Documents, token: &str, before: Option<Timestamp>, now: Timestamp) {
    let is_recent = before.is_some_and(|before| now.as_second().saturating_sub(before.as_second()) < NOTED_SECONDS);
    let Ok(body) = serde_json::to_string(&LastUse { at: now }) else {
        return;
    };
    if is_recent {
        return;
    }
    let put = Change::Put {
        key: token::use_key(token),
        body,
        counters: Vec::new(),
        expires_at: Some(clock::after(now, KEPT_SECONDS)),
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    };
    if let Err(error) = documents.commit(Commit::new(vec![put])).await {
        tracing::warn!(%error, "the use of a token was not noted");
    }
}

/// How long the last use of a token is kept, in seconds.
const KEPT_SECONDS: i64 = 400 * 86_400;
/// How long the last use of a token is the same, in seconds.
const NOTED_SECONDS: i64 = 60;
