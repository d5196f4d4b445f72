//! Operations on the second factor, and on how long ago somebody has signed in.

use souk_kit::{Context, Failure, Fault, Transaction};

use super::{current, own_account, tell};
use crate::error::IdentityError;
use crate::jobs::Deed;
use crate::limits::Attempt;
use crate::password::{self, PasswordHashDocument};
use crate::second_factor::{self, NewFactor, RecoveryCodes, SecondFactor, ShownFactor};
use crate::session::Confirmation;

/// How long after a sign-in what is sensitive may be done, in seconds.
const RECENT_SECONDS: i64 = 600;

/// Fails unless the session of the principal has signed in, or confirmed who it is, in the last ten minutes. Returns its account.
pub(super) async fn recent(tx: &Transaction<IdentityError>) -> Result<String, IdentityError> {
    let (account, session) = current(tx).await?;
    tx.require(&account.document).or_retry();
    tx.require(&session.document).or_retry();
    let age = tx.now().as_second().saturating_sub(session.confirmed_at().as_second());
    match age < RECENT_SECONDS {
        true => Ok(account.value.profile.id),
        false => Err(IdentityError::SignInRequired),
    }
}

/// Confirms who the session of the principal is, as a sign-in would.
pub(crate) async fn confirm_session(cx: &Context, sent: &Confirmation) -> Result<(), IdentityError> {
    let principal = cx.signed_in()?;
    let id = &principal.account;
    let attempt = Attempt::count_change(cx, id, &principal.session).await?;
    let confirmed = cx.commit(|tx| async move {
        let (account, session) = current(&tx).await?;
        let stored = tx.read::<PasswordHashDocument>(password::key(id)).await?;
        let hash = stored.map(|stored| stored.value.hash);
        if !password::verify(&tx, &sent.password, hash).await? {
            tracing::warn!(target: "security", "a confirmation was refused");
            return Err(Failure::invalid("password", Fault::invalid("is not the password")).into());
        }
        second_factor::require(&tx, id, sent.second_factor.as_deref()).await?;
        tx.require(&account.document).or_retry();
        let next = session.confirmed(tx.now());
        tx.update(&session.document, next).or_retry();
        Ok(())
    });
    confirmed.await?;
    attempt.succeed(cx).await;
    Ok(())
}

/// Whether sign-ins of the principal ask for a second factor.
pub async fn show_second_factor(cx: &Context) -> Result<ShownFactor, Failure> {
    let account = own_account(cx).await?;
    let factor = second_factor::enabled(cx, &account.profile.id).await?;
    Ok(match factor {
        Some(factor) => factor.shown(),
        None => ShownFactor {
            enabled: false,
            recovery_codes_left: 0,
        },
    })
}

/// Makes a secret for an authenticator. Its first code enables it.
pub async fn begin_second_factor(cx: &Context) -> Result<NewFactor, IdentityError> {
    cx.commit(|tx| async move {
        let id = recent(&tx).await?;
        let (account, found) = (
            own_account(&tx).await?,
            tx.read::<SecondFactor>(second_factor::key(&id)).await?,
        );
        if found.as_ref().is_some_and(|factor| factor.since.is_some()) {
            return Err(IdentityError::SecondFactorEnabled);
        }
        let (factor, new) = SecondFactor::new(&tx, &account.profile.username)?;
        let found = found.as_ref().map(|found| &found.document);
        tx.create_or_update(second_factor::key(&id), found, factor).or_retry();
        tx.seal_result();
        Ok(new)
    })
    .await
}

/// Enables the second factor of the principal with the first code of its authenticator.
pub async fn enable_second_factor(cx: &Context, code: &str) -> Result<RecoveryCodes, IdentityError> {
    cx.commit(|tx| async move {
        let id = recent(&tx).await?;
        let factor = tx.read::<SecondFactor>(second_factor::key(&id)).await?;
        let factor = factor.ok_or(Failure::NotFound("second factor"))?;
        if factor.since.is_some() {
            return Err(IdentityError::SecondFactorEnabled);
        }
        let used = factor.used(&tx, &id, code)?;
        let used = used.ok_or_else(|| Failure::invalid("code", Fault::invalid("is not the code of this moment")))?;
        let (mut next, codes) = used.with_recovery_codes(&tx, &id);
        next.since = Some(tx.now());
        tx.update(&factor.document, next).or_retry();
        tell(&tx, &id, Deed::SecondFactorEnabled)?;
        tx.seal_result();
        Ok(codes)
    })
    .await
}

/// Makes new recovery codes; the former ones count no more.
pub async fn renew_recovery_codes(cx: &Context) -> Result<RecoveryCodes, IdentityError> {
    cx.commit(|tx| async move {
        let id = recent(&tx).await?;
        let factor = second_factor::enabled(&tx, &id).await?;
        let factor = factor.ok_or(Failure::NotFound("second factor"))?;
        let (next, codes) = factor.with_recovery_codes(&tx, &id);
        tx.update(&factor.document, next).or_retry();
        tell(&tx, &id, Deed::RecoveryCodesRenewed)?;
        tx.seal_result();
        Ok(codes)
    })
    .await
}

/// Sign-ins of the principal ask for no second factor any more.
pub async fn disable_second_factor(cx: &Context) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let id = recent(&tx).await?;
        if let Some(factor) = tx.read::<SecondFactor>(second_factor::key(&id)).await? {
            tx.delete(&factor.document, Vec::new()).or_retry();
            tell(&tx, &id, Deed::SecondFactorDisabled)?;
        }
        Ok(())
    })
    .await
}
