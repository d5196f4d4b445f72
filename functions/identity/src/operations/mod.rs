//! Operations on accounts and sessions.
//!
//! **Atomicity.** Signing up is one commit of the account, its password hash, the claim on its username and the challenge that is
//! mailed to its address. Signing in is one commit of the session; the attempt is counted before the password is checked. A refresh replaces the secret of the session at the version that
//! was read, so two concurrent requests with the same refresh token get the same next one.

use garde::Validate as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use souk_core::Key;
use souk_core::access::ADMIN;
use souk_core::check;
use souk_core::fault::field_errors;
use souk_core::kind::owner_of;
use souk_kit::{Context, Failure, IfMatch, MergePatch, Stored, Transaction};
use souk_model::identity::ACCOUNT;

use crate::account::{Account, EditableAccount, NewAccount, Profile, email_key, is_reserved, reserved};
use crate::challenge::{self, Purpose, ShownChallenge};
use crate::error::IdentityError;
use crate::jobs::{Deed, Letter, SendLetter};
use crate::limits::{Attempt, SIGN_UPS, count_network, device_token};
use crate::password::{self, PasswordHashDocument};
use crate::second_factor;
use crate::session::{self, CookieSession, Credentials, Refreshed, Tokens, session_key};

mod challenges;
mod factors;
mod life;
mod roles;
mod tokens;

pub(crate) use challenges::{confirm_email, may_have_mail, reset_password, sign_in_by_mail};
pub use challenges::{
    request_email_change, request_email_verification, request_mailed_sign_in, request_password_reset,
    verify_by_operator,
};
pub(crate) use factors::confirm_session;
pub use factors::{
    begin_second_factor, disable_second_factor, enable_second_factor, renew_recovery_codes, show_second_factor,
};
use life::current;
pub use life::{
    change_password, deactivate_account, end_other_sessions, end_session, list_sessions, reactivate_account,
};
pub(crate) use roles::permissions_of;
pub use roles::{
    accounts_with, assign_roles, change_role, create_role, delete_role, find_role, grant_role, list_roles, roles_of,
};
pub(crate) use tokens::rotate_token;
pub use tokens::{create_token, list_tokens, revoke_token};

const NOT_FOUND: Failure = Failure::NotFound("account");

/// A new account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignedUp {
    /// The account.
    #[serde(flatten)]
    pub account: Stored<Account>,
    /// The tokens of its session, if it signed in too.
    #[serde(default)]
    pub session: Option<Tokens>,
    /// What was mailed to its address, if mails are sent.
    #[serde(default)]
    pub email_verification: Option<ShownChallenge>,
}

/// Signs up an account, and signs it in if it wants that.
pub async fn sign_up(cx: &Context, new: NewAccount) -> Result<SignedUp, IdentityError> {
    if let Err(report) = new.validate() {
        return Err(Failure::Invalid(field_errors(&report).collect()).into());
    }
    password::check(
        &new.password,
        &[&new.username, &new.email, new.name.as_deref().unwrap_or_default()],
    )?;
    count_network(cx, &SIGN_UPS).await?;
    // Strangers who ask for mails to an address keep nobody from signing up with it.
    let is_mailed = match challenges::count_mail(cx, &new.email).await {
        Ok(()) => true,
        Err(IdentityError::NoMail | IdentityError::Failure(Failure::Limited(_))) => false,
        Err(error) => return Err(error),
    };
    let new = &new;
    let signed_up = cx.commit(|tx| async move {
        let name = new.name.as_deref().unwrap_or(&new.username).trim();
        let email = check::kept_email(&new.email);
        let account = create_account(&tx, &email, &new.username, name);
        let hash = password::hash(&tx, &new.password).await?;
        let password = PasswordHashDocument { hash };
        tx.create(password::key(&account.profile.id), password).or_retry();
        let session = match new.sign_in {
            true => Some(Tokens {
                device: device_token(&tx, &account.profile.id, None),
                ..session::open(&tx, &account)?
            }),
            false => None,
        };
        let email_verification = match is_mailed {
            true => Some(challenge::begin(&tx, Purpose::VerifyEmail, Some(&account), &[&email])?),
            false => None,
        };
        Ok(SignedUp {
            account,
            session,
            email_verification,
        })
    });
    let signed_up = signed_up.await?;
    if let Some(tokens) = &signed_up.session {
        session::check_replay(cx, tokens).await?;
    }
    Ok(signed_up)
}

/// Whether this is the email address in `SOUK_FIRST_ADMIN`. The account that verifies it becomes an admin.
fn is_first_admin(cx: &Context, email: &str) -> bool {
    cx.settings.first_admin.as_deref().map(email_key) == Some(email_key(email))
}

/// Creates an account without a password, as the owner of imported and demo data. Returns the id of the account with
/// this username, which may have existed before.
pub async fn ensure_passive_account(cx: &Context, username: &str, name: &str) -> Result<String, IdentityError> {
    cx.commit(|tx| async move {
        if let Some(id) = owner_of(tx.get(ACCOUNT.name_key(username)).await?.as_ref()).map_err(Failure::from)? {
            return Ok(id);
        }
        let email = format!("{username}@market.example");
        Ok(create_account(&tx, &email, username, name).value.profile.id)
    })
    .await
}

fn create_account(tx: &Transaction<IdentityError>, email: &str, username: &str, name: &str) -> Stored<Account> {
    let now = tx.now();
    let account = Account {
        profile: Profile {
            id: tx.new_id(ACCOUNT),
            username: username.to_owned(),
            name: name.to_owned(),
            bio: String::new(),
            avatar: None,
            created_at: now,
        },
        email: email.to_owned(),
        email_verified_at: None,
        locale: None,
        time_zone: None,
        roles: Vec::new(),
        active: true,
        generation: 0,
        updated_at: now,
    };
    let id = &account.profile.id;
    tx.claim(ACCOUNT.name_key(username), id)
        .or_fail(IdentityError::Taken("username"));
    tx.create(ACCOUNT.key(id), account.clone()).or_retry()
}

/// The account with this id or username, also one that is kept out: for staff.
pub(crate) async fn find_any(cx: &Context, id: &str) -> Result<Stored<Account>, Failure> {
    let document = cx.find(ACCOUNT, id).await?.ok_or(NOT_FOUND)?;
    Ok(Stored::<Account>::read(document)?)
}

/// The active account with this id or username.
pub async fn find_account(cx: &Context, id: &str) -> Result<Stored<Account>, Failure> {
    let account = find_any(cx, id).await?;
    if account.active { Ok(account) } else { Err(NOT_FOUND) }
}

/// The account that this email address belongs to.
pub async fn find_by_email(cx: &Context, email: &str) -> Result<Option<Stored<Account>>, Failure> {
    // An address whose domain is not in Latin letters may be kept as it was given, from before domains were written as in DNS.
    let mut keys = vec![email_key(email), Key::of("account-email", &email.trim().to_lowercase())];
    keys.dedup();
    let found = cx.get_all(&keys).await?.into_iter().flatten().next();
    match owner_of(found.as_ref())? {
        Some(id) => cx.read(ACCOUNT.key(&id)).await,
        // As long as it takes to find one.
        None => cx.read(ACCOUNT.key("")).await,
    }
}

/// The account of the principal.
pub async fn own_account(cx: &Context) -> Result<Stored<Account>, Failure> {
    let key: Key = ACCOUNT.key(&cx.signed_in()?.account);
    cx.read(key).await?.ok_or(NOT_FOUND)
}

/// Changes the account of the principal.
pub async fn edit_own_account(
    cx: &Context,
    if_match: &IfMatch,
    patch: &MergePatch,
) -> Result<Stored<Account>, IdentityError> {
    cx.commit(|tx| async move {
        let old = own_account(&tx).await?;
        if_match.check(old.version())?;
        let input: EditableAccount = patch.apply(&old.editable())?;
        if input.username != old.profile.username && is_reserved(&input.username) {
            return Err(Failure::invalid("username", reserved()).into());
        }
        let profile = Profile {
            username: input.username,
            name: input.name.trim().to_owned(),
            bio: input.bio,
            avatar: input.avatar,
            ..old.profile.clone()
        };
        let new = Account {
            profile,
            locale: input.locale,
            time_zone: input.time_zone,
            updated_at: tx.now(),
            ..old.value.clone()
        };
        if old.changed_fields(&new)?.is_empty() {
            return Ok(tx.unchanged(old));
        }
        let (before, after) = (&old.profile.username, &new.profile.username);
        let taken = IdentityError::Taken("username");
        tx.rename(ACCOUNT, before, after, &new.profile.id, taken).await?;
        Ok(tx.update(&old.document, new).or_precondition(if_match))
    })
    .await
}

/// Creates a session if the credentials are valid.
pub async fn sign_in(cx: &Context, credentials: Credentials) -> Result<Tokens, IdentityError> {
    let open = |tx: &Transaction<IdentityError>, account: &Account, device| {
        Ok(Tokens {
            device,
            ..session::open(tx, account)?
        })
    };
    let tokens = sign_in_with(cx, credentials, open).await?;
    session::check_replay(cx, &tokens).await?;
    Ok(tokens)
}

/// Creates a session with a cookie if the credentials are valid.
pub async fn sign_in_with_cookie(cx: &Context, credentials: Credentials) -> Result<CookieSession, IdentityError> {
    let session = sign_in_with(cx, credentials, session::open_with_cookie).await?;
    session::check_replay_of_cookie(cx, &session).await?;
    Ok(session)
}

/// Creates a session with what opens one, given the account and the token of the device.
async fn sign_in_with<T: Serialize + DeserializeOwned + Clone>(
    cx: &Context,
    credentials: Credentials,
    open: impl Fn(&Transaction<IdentityError>, &Account, Option<String>) -> Result<T, Failure>,
) -> Result<T, IdentityError> {
    let login = credentials.email.as_deref().or(credentials.username.as_deref());
    let login = login.unwrap_or_default().trim().to_lowercase();
    let account = match credentials.email {
        Some(_) => find_by_email(cx, &login).await?,
        None => {
            let document = cx.find(ACCOUNT, &login).await?;
            let account = document.map(Stored::<Account>::read).transpose();
            account.map_err(Failure::from)?
        }
    };
    let id = account.as_ref().map(|account| account.profile.id.as_str());
    // One that does not exist is counted like one that does.
    let login = match credentials.email {
        Some(_) => email_key(&login).pk,
        None => login,
    };
    let attempt = Attempt::count(cx, &login, id, credentials.device.as_deref()).await?;
    let (found, attempt, password, open) = (&account, &attempt, &credentials.password, &open);
    let second_factor = credentials.second_factor.as_deref();
    let tokens = cx.commit(|tx| async move {
        // Reads as much for an account that does not exist.
        let id = found.as_ref().map_or("", |account| &account.profile.id);
        let stored = tx.read::<PasswordHashDocument>(password::key(id)).await?;
        let hash = stored.as_ref().map(|stored| stored.hash.clone());
        let is_right = password::verify(&tx, password, hash).await?;
        let Some((found, stored)) = found.as_ref().zip(stored).filter(|_| is_right) else {
            tracing::warn!(target: "security", "sign-in refused");
            return Err(IdentityError::WrongCredentials);
        };
        // A hash takes a while, in which the password may have become another.
        tx.require(&stored.document).or_retry();
        // As it is now: meanwhile it may have been kept out.
        let id = &found.profile.id;
        let account = tx.read::<Account>(ACCOUNT.key(id)).await?.ok_or(NOT_FOUND)?;
        if !account.active {
            return Err(IdentityError::Deactivated);
        }
        second_factor::require(&tx, id, second_factor).await?;
        let is_verified = account.email_verified_at.is_some();
        if is_verified && is_first_admin(&tx, &account.email) && !account.roles.iter().any(|role| role == ADMIN) {
            let roles = [account.roles.clone(), vec![ADMIN.to_owned()]].concat();
            roles::set(&tx, &account, roles);
        }
        let device = device_token(&tx, id, attempt.device());
        if attempt.device().is_none() && account.email_verified_at.is_some() {
            tell_of_device(&tx, &account)?;
        }
        Ok(open(&tx, &account, device)?)
    });
    let tokens = tokens.await?;
    attempt.succeed(cx).await;
    Ok(tokens)
}

/// Mails the owner that somebody has signed in on a device that the account did not know.
fn tell_of_device(tx: &Transaction<IdentityError>, account: &Account) -> Result<(), Failure> {
    let agent = tx.agent().map(str::to_owned);
    tell(tx, &account.profile.id, Deed::NewDevice { agent })
}

/// Mails the owner of an account what was done in it, if the address is verified.
fn tell(tx: &Transaction<IdentityError>, account: &str, deed: Deed) -> Result<(), Failure> {
    if tx.has_mail() {
        let letter = Letter::Deed {
            account: account.to_owned(),
            deed,
            at: tx.now(),
        };
        tx.send(tx.message(&SendLetter(letter))?);
    }
    Ok(())
}

/// Exchanges a refresh token for new tokens. Using the same refresh token again later than a moment ends its session.
pub async fn refresh(cx: &Context, refresh_token: &str) -> Result<Tokens, IdentityError> {
    let refreshed = cx.commit(|tx| async move { session::refresh(&tx, refresh_token).await });
    match refreshed.await? {
        Refreshed::Tokens(tokens) => {
            session::check_replay(cx, &tokens).await?;
            Ok(tokens)
        }
        Refreshed::Reused => {
            tracing::warn!(target: "security", "a refresh token was used twice; its session has ended");
            Err(IdentityError::RefreshTokenReused)
        }
    }
}

/// Ends the session of the principal.
pub async fn sign_out(cx: &Context) -> Result<(), IdentityError> {
    let principal = cx.signed_in()?;
    cx.commit(|tx| async move {
        tx.remove(session_key(&principal.account, &principal.session));
        Ok(())
    })
    .await
}
