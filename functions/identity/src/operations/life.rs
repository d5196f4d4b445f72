//! Operations on the life of an account: its sessions, its password, and whether it may act.
//!
//! **All sessions end at once** by the generation of the account, in one commit: a session of an earlier generation does not work
//! any more, wherever and however many there are.

use souk_core::Query;
use souk_core::access::ADMIN;
use souk_kit::{Context, Failure, Fault, PageRequest, SortedPage, Stored, Transaction};

use super::roles::may_take_roles;
use super::{find_any, is_first_admin, own_account, tell};
use crate::account::{Account, NewPassword};
use crate::error::IdentityError;
use crate::jobs::Deed;
use crate::limits::Attempt;
use crate::password::{self, PasswordHashDocument};
use crate::permissions::ACCOUNTS_DEACTIVATE;
use crate::session::{Session, ShownSession, session_key, sessions};

const NO_SESSION: Failure = Failure::NotFound("session");

/// The sessions of the principal, the newest first. A page may have fewer than it could, if some of it have ended.
pub async fn list_sessions(cx: &Context, page: &PageRequest) -> Result<SortedPage<ShownSession>, Failure> {
    let principal = cx.signed_in()?;
    let generation = own_account(cx).await?.generation;
    let partition = sessions(&principal.account);
    let query = Query {
        descending: true,
        ..Query::partition(partition.clone(), page.limit)
    };
    let found = cx.list(query, page, &partition).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for document in &found.items {
        let session: Session = document.parse()?;
        if session.generation == generation {
            items.push(session.shown(&document.key.sk, &principal.session));
        }
    }
    Ok(SortedPage {
        items,
        next_cursor: found.next_cursor,
        prev_cursor: found.prev_cursor,
        total: None,
    })
}

/// Ends a session of the principal. Its tokens stop working at once.
pub async fn end_session(cx: &Context, id: &str) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let (account, _) = current(&tx).await?;
        let key = session_key(&account.profile.id, id);
        let session = tx.read::<Session>(key.clone()).await?.ok_or(NO_SESSION)?;
        if session.generation != account.generation {
            return Err(NO_SESSION.into());
        }
        tx.require(&account.document).or_retry();
        tx.remove(key);
        Ok(())
    })
    .await
}

/// The account and the session of the principal. The session may have ended since the request was let in, and must end nothing
/// then.
pub(super) async fn current(
    tx: &Transaction<IdentityError>,
) -> Result<(Stored<Account>, Stored<Session>), IdentityError> {
    let account = own_account(tx).await?;
    let key = session_key(&account.profile.id, &tx.signed_in()?.session);
    let session = tx.read::<Session>(key).await?;
    let is_current = |session: &Stored<Session>| account.active && session.generation == account.generation;
    match session.filter(is_current) {
        Some(session) => Ok((account, session)),
        None => Err(IdentityError::SessionEnded),
    }
}

/// Ends all sessions of the principal but the one that asks.
pub async fn end_other_sessions(cx: &Context) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let (account, session) = current(&tx).await?;
        end_others(&tx, &account, &session);
        Ok(())
    })
    .await
}

/// Changes the password of the principal, and ends all of its other sessions.
pub async fn change_password(cx: &Context, new: &NewPassword) -> Result<(), IdentityError> {
    let principal = cx.signed_in()?;
    let id = &principal.account;
    own_account(cx).await?.may_have(&new.password)?;
    // Whoever has found an open session guesses no more often than anybody else; and nobody else can use this up.
    let attempt = Attempt::count_change(cx, id, &principal.session).await?;
    let changed = cx.commit(|tx| async move {
        let (account, session) = current(&tx).await?;
        let stored = tx.read::<PasswordHashDocument>(password::key(id)).await?;
        let hash = stored.as_ref().map(|stored| stored.hash.clone());
        let is_right = password::verify(&tx, &new.current_password, hash).await?;
        let Some(stored) = stored.filter(|_| is_right) else {
            tracing::warn!(target: "security", "a change of password was refused");
            return Err(Failure::invalid("current_password", Fault::invalid("is not the password")).into());
        };
        let hash = password::hash(&tx, &new.password).await?;
        tx.update(&stored.document, PasswordHashDocument { hash }).or_retry();
        end_others(&tx, &account, &session);
        tell(&tx, id, Deed::PasswordChanged)?;
        Ok(())
    });
    changed.await?;
    attempt.succeed(cx).await;
    Ok(())
}

/// Begins a new generation of sessions, which only the one of the principal is taken into.
fn end_others(tx: &Transaction<IdentityError>, account: &Stored<Account>, session: &Stored<Session>) {
    let generation = account.generation.saturating_add(1);
    let expires_at = session.expires_at();
    let kept = session.of_generation(generation);
    tx.update(&session.document, kept).expires_at(expires_at).or_retry();
    let new = Account {
        generation,
        updated_at: tx.now(),
        ..account.value.clone()
    };
    tx.update(&account.document, new).or_retry();
}

/// Keeps an account out: its sessions end, it cannot sign in, and its profile is not shown.
pub async fn deactivate_account(cx: &Context, account: &str) -> Result<(), IdentityError> {
    set_active(cx, account, false).await
}

/// Lets a deactivated account in again. It has to sign in.
pub async fn reactivate_account(cx: &Context, account: &str) -> Result<(), IdentityError> {
    set_active(cx, account, true).await
}

async fn set_active(cx: &Context, account: &str, active: bool) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let account = find_any(&tx, account).await?;
        if tx.signed_in()?.account == account.profile.id {
            return Err(Failure::forbidden("nobody deactivates their own account here").into());
        }
        if !tx.may_for(&account.profile.id, &ACCOUNTS_DEACTIVATE) {
            return Err(Failure::lacks(&ACCOUNTS_DEACTIVATE).into());
        }
        may_take_roles(&tx, &account.roles).await?;
        let has_address = account.email_verified_at.is_some() || account.roles.iter().any(|role| role == ADMIN);
        if !active && has_address && is_first_admin(&tx, &account.email) {
            let detail = "this is the account that the operator of the host has named as the first admin";
            return Err(Failure::forbidden(detail).into());
        }
        // Of two who keep each other out one is first.
        let own = match tx.signed_in()?.token {
            Some(_) => own_account(&tx).await?,
            None => current(&tx).await?.0,
        };
        if !own.active {
            return Err(IdentityError::SessionEnded);
        }
        tx.require(&own.document).or_retry();
        if account.active == active {
            return Ok(());
        }
        let new = Account {
            active,
            // What was open does not open again.
            generation: account.generation.saturating_add(1),
            updated_at: tx.now(),
            ..account.value.clone()
        };
        tx.update(&account.document, new).or_retry();
        Ok(())
    })
    .await
}
