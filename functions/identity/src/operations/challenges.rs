//! Operations that a mail proves: to verify an address, to change it, to set a new password, to sign in.
//!
//! **An address is an account's when it has verified it.** Until then any number of accounts may name it, and nobody signs in by
//! it; so signing up tells nothing of who has it. Whoever verifies an address takes it from an account that never did.

use serde::{Deserialize, Serialize};
use souk_core::access::ADMIN;
use souk_core::check;
use souk_core::kind::owner_of;
use souk_kit::{Context, Failure, Fault, Stored, Transaction};
use souk_model::identity::ACCOUNT;

use super::{current, find_by_email, is_first_admin, own_account, tell, tokens};
use crate::account::{Account, NewEmail, email_key};
use crate::challenge::{self, Answered, Challenge, EmailConfirmation, MailedSignIn, Purpose, ShownChallenge};
use crate::error::IdentityError;
use crate::jobs::Deed;
use crate::limits::{
    Attempt, MAILS, MAILS_OF_ADDRESS, MAILS_OF_NETWORK, count_network, device_token, forget_attempts, known_device,
};
use crate::password::{self, PasswordHashDocument};
use crate::role::member_entries;
use crate::second_factor;
use crate::session::{self, Tokens};

/// What came of an answer to a challenge. A wrong one is counted, so its commit succeeds.
#[derive(Serialize, Deserialize)]
enum Outcome<T> {
    Right(T),
    Wrong,
}

impl<T> Outcome<T> {
    fn right(self) -> Result<T, IdentityError> {
        match self {
            Self::Right(value) => Ok(value),
            Self::Wrong => {
                tracing::warn!(target: "security", "a code was refused");
                Err(Failure::invalid(
                    "code",
                    Fault::invalid("is wrong, was used, or is older than 30 minutes"),
                )
                .into())
            }
        }
    }
}

/// Counts a mail to this address. Fails if there were too many, or there are none.
pub(super) async fn count_mail(cx: &Context, email: &str) -> Result<(), IdentityError> {
    if !cx.has_mail() {
        return Err(IdentityError::NoMail);
    }
    count_network(cx, &MAILS_OF_NETWORK).await?;
    let address = email_key(email).pk;
    // A stranger who asks for mails to an address keeps its owner from few of them.
    cx.count(&MAILS, &format!("{address}\n{}", cx.network())).await?;
    Ok(cx.count(&MAILS_OF_ADDRESS, &address).await?)
}

/// Mails a code to the address of the principal.
pub async fn request_email_verification(cx: &Context) -> Result<ShownChallenge, IdentityError> {
    let account = own_account(cx).await?;
    if account.email_verified_at.is_some() {
        return Err(IdentityError::AlreadyVerified);
    }
    count_mail(cx, &account.email).await?;
    let account = &account;
    cx.commit(|tx| async move {
        Ok(challenge::begin(
            &tx,
            Purpose::VerifyEmail,
            Some(account),
            &[&account.email],
        )?)
    })
    .await
}

/// Mails a code to the address that the principal wants to have, and to the one that it has verified.
pub async fn request_email_change(cx: &Context, new: &NewEmail) -> Result<ShownChallenge, IdentityError> {
    let principal = cx.signed_in()?;
    let id = &principal.account;
    let email = check::kept_email(&new.email);
    let account = own_account(cx).await?;
    if email_key(&email) == email_key(&account.email) {
        return Err(Failure::invalid("email", Fault::invalid("is the address of the account")).into());
    }
    let attempt = Attempt::count_change(cx, id, &principal.session).await?;
    count_mail(cx, &email).await?;
    let email = &email;
    let challenge = cx.commit(|tx| async move {
        let (account, session) = current(&tx).await?;
        tx.require(&account.document).or_retry();
        tx.require(&session.document).or_retry();
        let stored = tx.read::<PasswordHashDocument>(password::key(id)).await?;
        let hash = stored.map(|stored| stored.value.hash);
        if !password::verify(&tx, &new.current_password, hash).await? {
            tracing::warn!(target: "security", "a change of address was refused");
            return Err(Failure::invalid("current_password", Fault::invalid("is not the password")).into());
        }
        let mut sides = vec![email.as_str()];
        if account.email_verified_at.is_some() {
            sides.insert(0, &account.email);
        }
        Ok(challenge::begin(&tx, Purpose::ChangeEmail, Some(&account), &sides)?)
    });
    let challenge = challenge.await?;
    attempt.succeed(cx).await;
    Ok(challenge)
}

/// Mails a code to the owner of the account with this address, if there is one. Nobody learns whether there is.
pub async fn request_password_reset(cx: &Context, email: &str) -> Result<ShownChallenge, IdentityError> {
    request(cx, Purpose::ResetPassword, email).await
}

/// Mails a code to sign in with, as [`request_password_reset`] does.
pub async fn request_mailed_sign_in(cx: &Context, email: &str) -> Result<ShownChallenge, IdentityError> {
    request(cx, Purpose::SignIn, email).await
}

async fn request(cx: &Context, purpose: Purpose, email: &str) -> Result<ShownChallenge, IdentityError> {
    let email = check::kept_email(email);
    count_mail(cx, &email).await?;
    let email = &*email;
    cx.commit(|tx| async move { Ok(challenge::begin(&tx, purpose, None, &[email])?) })
        .await
}

/// Answers a challenge about the address of an account.
pub(crate) async fn confirm_email(cx: &Context, answer: &Answered<'_>) -> Result<EmailConfirmation, IdentityError> {
    let outcome = cx.commit(|tx| async move {
        for purpose in [Purpose::VerifyEmail, Purpose::ChangeEmail] {
            if let Some((challenge, side)) = challenge::answered(&tx, purpose, answer).await? {
                return confirmed(&tx, &challenge, side).await;
            }
        }
        Ok(Outcome::Wrong)
    });
    outcome.await?.right()
}

async fn confirmed(
    tx: &Transaction<IdentityError>,
    challenge: &Stored<Challenge>,
    side: usize,
) -> Result<Outcome<EmailConfirmation>, IdentityError> {
    let key = ACCOUNT.key(challenge.account.as_deref().unwrap_or_default());
    let Some(account) = tx
        .read::<Account>(key)
        .await?
        .filter(|account| challenge.is_of(account))
    else {
        return Ok(Outcome::Wrong);
    };
    let mut answered = challenge.value.clone();
    if let Some(side) = answered.sides.get_mut(side) {
        side.has_answered = true;
    }
    let former = match answered.sides.as_slice() {
        [former, _] => Some(&former.email),
        _ => None,
    };
    // Meanwhile the account may have got another address.
    let is_as_it_was = match challenge.purpose {
        Purpose::VerifyEmail => answered.sides.iter().all(|side| side.email == account.email),
        _ => former == account.email_verified_at.map(|_| &account.email),
    };
    let Some(new) = answered.sides.last().filter(|_| is_as_it_was) else {
        return Ok(Outcome::Wrong);
    };
    let verified = answered.sides.iter().all(|side| side.has_answered);
    if verified {
        own_email(tx, &account, &new.email, account.generation).await?;
        tx.delete(&challenge.document, Vec::new()).or_retry();
    } else {
        tx.update(&challenge.document, answered).or_retry();
    }
    Ok(Outcome::Right(EmailConfirmation { verified }))
}

/// Gives an account an address that it has verified, in this generation of its sessions.
async fn own_email(
    tx: &Transaction<IdentityError>,
    account: &Stored<Account>,
    email: &str,
    generation: u32,
) -> Result<Account, IdentityError> {
    let id = &account.profile.id;
    let key = email_key(email);
    let claim = tx.get(key.clone()).await?;
    match (&claim, owner_of(claim.as_ref()).map_err(Failure::from)?) {
        (_, Some(owner)) if owner == *id => {}
        (Some(claim), Some(owner)) => {
            let other = tx.read::<Account>(ACCOUNT.key(&owner)).await?;
            if other.as_ref().is_some_and(|other| other.email_verified_at.is_some()) {
                return Err(IdentityError::Taken("email"));
            }
            // It may be about to.
            if let Some(other) = &other {
                tx.require(&other.document).or_retry();
            }
            tx.update(claim, serde_json::json!({ "id": id })).or_retry();
        }
        _ => tx.claim(key.clone(), id).or_retry(),
    }
    let former = email_key(&account.email);
    if former != key
        && let Some(claim) = tx.get(former).await?
        && owner_of(Some(&claim)).map_err(Failure::from)?.as_deref() == Some(id)
    {
        tx.delete(&claim, Vec::new()).or_retry();
    }
    let mut roles = account.roles.clone();
    if is_first_admin(tx, email) && !roles.iter().any(|role| role == ADMIN) {
        roles.push(ADMIN.to_owned());
    }
    let new = Account {
        email: email.to_owned(),
        email_verified_at: Some(tx.now()),
        generation,
        updated_at: tx.now(),
        roles,
        ..account.value.clone()
    };
    let (before, after) = (member_entries(id, &account.roles), member_entries(id, &new.roles));
    tx.update(&account.document, new.clone())
        .moved(&before, after)
        .or_retry();
    Ok(new)
}

/// Takes the address of an account as verified, by word of the operator.
pub async fn verify_by_operator(cx: &Context, id: &str) -> Result<(), IdentityError> {
    cx.commit(|tx| async move {
        let account = super::find_any(&tx, id).await?;
        own_email(&tx, &account, &account.email, account.generation).await?;
        Ok(())
    })
    .await
}

/// Whether the owner of an account is mailed a code for this. Accounts from before addresses were verified have theirs because
/// somebody named it first: such a one is only taken over, by a reset.
pub(crate) fn may_have_mail(account: &Account, purpose: Purpose) -> bool {
    account.active && (account.email_verified_at.is_some() || purpose == Purpose::ResetPassword)
}

/// An answered challenge, and the active account that its address belongs to.
async fn owner(
    tx: &Transaction<IdentityError>,
    purpose: Purpose,
    answer: &Answered<'_>,
) -> Result<Option<(Stored<Challenge>, Stored<Account>)>, Failure> {
    let Some((challenge, side)) = challenge::answered(tx, purpose, answer).await? else {
        return Ok(None);
    };
    let Some(side) = challenge.sides.get(side) else {
        return Ok(None);
    };
    let account = find_by_email(tx, &side.email).await?;
    Ok(account
        .filter(|account| may_have_mail(account, purpose) && challenge.is_of(account))
        .map(|account| (challenge, account)))
}

/// Sets a new password for the account whose mail has the code. Its sessions and access tokens end. If nobody had verified the email
/// address before, the second factor is removed too: a stranger may have set it up.
pub(crate) async fn reset_password(cx: &Context, answer: &Answered<'_>, new: &str) -> Result<(), IdentityError> {
    let outcome = cx.commit(|tx| async move {
        let Some((challenge, account)) = owner(&tx, Purpose::ResetPassword, answer).await? else {
            return Ok(Outcome::Wrong);
        };
        account.may_have(new)?;
        let id = &account.profile.id;
        let hash = password::hash(&tx, new).await?;
        let stored = tx.read::<PasswordHashDocument>(password::key(id)).await?;
        let stored = stored.as_ref().map(|stored| &stored.document);
        tx.create_or_update(password::key(id), stored, PasswordHashDocument { hash })
            .or_retry();
        own_email(&tx, &account, &account.email, account.generation.saturating_add(1)).await?;
        tx.delete(&challenge.document, Vec::new()).or_retry();
        for token in tokens::all(&tx, id).await? {
            tx.remove(token.key);
        }
        if account.email_verified_at.is_none() {
            tx.remove(second_factor::key(id));
        }
        tell(&tx, id, Deed::PasswordReset)?;
        Ok(Outcome::Right(id.clone()))
    });
    let id = outcome.await?.right()?;
    forget_attempts(cx, &id).await;
    Ok(())
}

/// Signs in to the account whose mail has the code.
pub(crate) async fn sign_in_by_mail(cx: &Context, sent: &MailedSignIn) -> Result<Tokens, IdentityError> {
    let (answer, device) = (&sent.answer(), sent.device.as_deref());
    let second_factor = sent.second_factor.as_deref();
    let outcome = cx.commit(|tx| async move {
        let Some((challenge, account)) = owner(&tx, Purpose::SignIn, answer).await? else {
            return Ok(Outcome::Wrong);
        };
        tx.require(&account.document).or_retry();
        tx.delete(&challenge.document, Vec::new()).or_retry();
        let id = &account.profile.id;
        second_factor::require(&tx, id, second_factor).await?;
        let device = device.and_then(|token| known_device(&tx, id, token));
        if device.is_none() {
            super::tell_of_device(&tx, &account)?;
        }
        let tokens = Tokens {
            device: device_token(&tx, id, device.as_deref()),
            ..session::open(&tx, &account)?
        };
        Ok(Outcome::Right((id.clone(), tokens)))
    });
    let (id, tokens) = outcome.await?.right()?;
    forget_attempts(cx, &id).await;
    session::check_replay(cx, &tokens).await?;
    Ok(tokens)
}
