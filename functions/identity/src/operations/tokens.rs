//! Operations on personal access tokens.

use souk_core::documents::MAX_LIMIT;
use souk_core::{Document, Query, clock};
use souk_kit::{Context, Failure, Fault, FieldError};

use super::factors::recent;
use super::tell;
use crate::error::IdentityError;
use crate::jobs::Deed;
use crate::token::{self, IssuedToken, LastUse, MAX_TOKENS, NewToken, ShownToken, TOKEN, Token};

const NO_TOKEN: Failure = Failure::NotFound("token");

/// The tokens of the principal, the oldest first.
pub async fn list_tokens(cx: &Context) -> Result<Vec<ShownToken>, Failure> {
    let found = all(cx, &cx.signed_in()?.account).await?;
    let ids = found.iter().map(|document| document.key.sk.as_str());
    let uses: Vec<_> = ids.map(token::use_key).collect();
    let uses = cx.get_all(&uses).await?;
    let shown = found.iter().zip(uses).map(|(document, used)| {
        let token: Token = document.parse()?;
        let used = used.map(|used| used.parse::<LastUse>()).transpose()?;
        Ok(token.shown(&document.key.sk, used.map(|used| used.at)))
    });
    shown.collect()
}

/// All tokens of an account, also if requests at the same time have made more than there may be.
pub(super) async fn all(cx: &Context, account: &str) -> Result<Vec<Document>, Failure> {
    let mut query = Query::partition(token::partition(account), MAX_LIMIT);
    let mut documents = Vec::new();
    loop {
        let page = cx.query(&query).await?;
        documents.extend(page.items.into_iter().map(|item| item.document));
        query.after = page.next;
        if query.after.is_none() {
            return Ok(documents);
        }
    }
}

/// Makes a token. It may have permissions that the principal has.
pub async fn create_token(cx: &Context, new: &NewToken) -> Result<IssuedToken, IdentityError> {
    let principal = cx.signed_in()?;
    let unknown = new.permissions.iter().enumerate().filter(|(_, name)| {
        let mut known = cx.registry.permissions.iter();
        !known.any(|permission| permission.name == name.as_str() && principal.has(permission))
    });
    let faults = unknown.map(|(n, _)| {
        FieldError::new(
            format!("permissions[{n}]"),
            Fault::not_found("permission").because("is no permission that you have"),
        )
    });
    let mut faults: Vec<FieldError> = faults.collect();
    if new.expires_at.is_some_and(|end| end <= cx.now()) {
        faults.push(FieldError::new("expires_at", Fault::invalid("is in the past")));
    }
    if !faults.is_empty() {
        return Err(Failure::Invalid(faults).into());
    }
    cx.commit(|tx| async move {
        let account = recent(&tx).await?;
        if all(&tx, &account).await?.len() >= MAX_TOKENS {
            return Err(IdentityError::TooManyTokens);
        }
        let id = tx.new_id(TOKEN);
        let (stored, token) = Token::new(&tx, &account, &id, new.clone(), tx.now())?;
        let shown = stored.shown(&id, None);
        let expires_at = new.expires_at;
        let put = tx.create(token::key(&account, &id), stored);
        match expires_at {
            Some(end) => put.expires_at(end).or_retry(),
            None => put.or_retry(),
        };
        tell(&tx, &account, Deed::TokenMade)?;
        tx.seal_result();
        Ok(IssuedToken { shown, token })
    })
    .await
}

/// Gives a token another secret. The former one works for so many seconds more.
pub(crate) async fn rotate_token(cx: &Context, id: &str, overlap: u32) -> Result<IssuedToken, IdentityError> {
    cx.commit(|tx| async move {
        let account = recent(&tx).await?;
        let found = tx.read::<Token>(token::key(&account, id)).await?.ok_or(NO_TOKEN)?;
        let until = clock::after(tx.now(), overlap.into());
        let (stored, token) = found.rotated(&tx, &account, id, until)?;
        let shown = stored.shown(id, None);
        tx.update(&found.document, stored).or_retry();
        tell(&tx, &account, Deed::TokenMade)?;
        tx.seal_result();
        Ok(IssuedToken { shown, token })
    })
    .await
}

/// Revokes a token: it stops working at once.
pub async fn revoke_token(cx: &Context, id: &str) -> Result<(), IdentityError> {
    let account = &cx.signed_in()?.account;
    cx.commit(|tx| async move {
        let found = tx.read::<Token>(token::key(account, id)).await?.ok_or(NO_TOKEN)?;
        tx.delete(&found.document, Vec::new()).or_retry();
        tx.remove(token::use_key(id));
        Ok(())
    })
    .await
}
