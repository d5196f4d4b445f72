//! Sessions and their tokens.
//!
//! The sessions of an account are documents in one partition. A session is valid as long as its document exists and has the
//! generation of the account, and every request with an access token reads both. The refresh token is
//! `{account}.{session}.{family}.{secret}`, opaque to clients; only digests of the last two parts are stored. The
//! family is the same for the lifetime of the session, the secret changes at each refresh. A token with the correct
//! family and a wrong secret has been used before, so it may have been stolen, and the session ends. Only the token that
//! was used last still works for [`GRACE_SECONDS`], and leads to the same next one: two tabs may refresh at once, and a
//! response may get lost.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use garde::Validate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use souk_core::{Key, Timestamp, clock, id, random};
use souk_kit::{ACCESS_TOKEN_SECONDS, Context, Failure, Fault, Platform, Principals as _, Transaction, check};
use souk_model::identity::{ACCOUNT, AccountView};
use subtle::ConstantTimeEq as _;

use crate::IdentityError;
use crate::account::{Account, is_zero};
use crate::principals::Sessions;

/// How long a session is valid without a refresh.
pub(crate) const IDLE_SECONDS: i64 = 30 * 24 * 3600;
/// How long it is valid at most, however often it is refreshed.
const LONGEST_SECONDS: i64 = 365 * 24 * 3600;
/// How long the token that was used last may be used again.
const GRACE_SECONDS: i64 = 10;

/// The credentials to sign in: an email address or a username, and the password.
#[derive(Clone, Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Email address; required unless `username` is given.
    #[garde(custom(either(&self.username)), inner(custom(check::characters(0, 254))))]
    #[serde(default)]
    pub email: Option<String>,
    /// Username; required unless `email` is given.
    #[garde(inner(custom(check::characters(0, 254))))]
    #[serde(default)]
    pub username: Option<String>,
    /// Password.
    #[garde(custom(check::characters(1, 128)))]
    #[serde(default)]
    pub password: String,
    /// The `device` of an earlier session of this account on this device.
    #[garde(inner(custom(check::characters(0, 400))))]
    #[serde(default)]
    pub device: Option<String>,
    /// The six digits of the authenticator or a recovery code, if the account has a second factor.
    #[garde(inner(custom(check::characters(0, 40))))]
    #[serde(default)]
    pub second_factor: Option<String>,
}

// The schema of `Credentials`, which are one struct so that faults name the field.
/// The credentials to sign in: an email address or a username, and the password.
#[derive(utoipa::ToSchema)]
#[schema(as = Credentials)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum EmailOrUsername {
    /// With an email address.
    #[schema(title = "EmailCredentials")]
    #[serde(deny_unknown_fields)]
    Email {
        /// Email address.
        #[schema(format = "email", max_length = 254, example = "ada@example.com")]
        email: String,
        /// Password.
        #[schema(format = "password", min_length = 1, max_length = 128)]
        password: String,
        /// The `device` of an earlier session of this account on this device, if it has one.
        #[schema(max_length = 400)]
        device: Option<String>,
        /// The six digits of the authenticator or a recovery code, if the account has a second factor.
        #[schema(max_length = 40)]
        second_factor: Option<String>,
    },
    /// With a username.
    #[schema(title = "UsernameCredentials")]
    #[serde(deny_unknown_fields)]
    Username {
        /// Username.
        #[schema(min_length = 1, max_length = 254, example = "ada")]
        username: String,
        /// Password.
        #[schema(format = "password", min_length = 1, max_length = 128)]
        password: String,
        /// The `device` of an earlier session of this account on this device, if it has one.
        #[schema(max_length = 400)]
        device: Option<String>,
        /// The six digits of the authenticator or a recovery code, if the account has a second factor.
        #[schema(max_length = 40)]
        second_factor: Option<String>,
    },
}

fn either<C>(username: &Option<String>) -> impl Fn(&Option<String>, &C) -> garde::Result + '_ {
    move |email, _| match (email, username) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) => Err(Fault::required().because("give either an email or a username").into()),
        (Some(_), Some(_)) => Err(Fault::inconsistent("username", "give either an email or a username").into()),
    }
}

/// What confirms who a session is.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionConfirmation)]
pub(crate) struct Confirmation {
    /// The password.
    #[garde(custom(check::characters(1, 128)))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 1, max_length = 128)]
    pub(crate) password: String,
    /// The six digits of the authenticator or a recovery code, if the account has a second factor.
    #[garde(inner(custom(check::characters(0, 40))))]
    #[serde(default)]
    #[schema(max_length = 40)]
    pub(crate) second_factor: Option<String>,
}

/// A refresh token to exchange for new tokens.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RefreshToken)]
pub(crate) struct Refresh {
    /// The refresh token of the latest response.
    #[garde(custom(check::characters(1, 400)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 400)]
    pub(crate) refresh_token: String,
}

/// The tokens of a session.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SessionTokens)]
pub struct Tokens {
    /// Access token, to be sent as `Authorization: Bearer …`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until the access token expires.
    #[schema(maximum = 600)]
    pub expires_in: i64,
    /// Refresh token; it works once, and again for ten seconds with the same result.
    pub refresh_token: String,
    /// Tells this device from those of strangers. Keep it when the session ends, and send it with the credentials of the next one:
    /// then nobody who tries passwords of this account elsewhere keeps you out. Absent from a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub device: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    family: String,
    secret: String,
    pub(crate) created_at: Timestamp,
    pub(crate) refreshed_at: Timestamp,
    /// The generation of the account that it is of: all of an earlier one have ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) generation: u32,
    /// What the client said that it is when it signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    /// The digest of its cookie, if it has one in the place of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookie: Option<String>,
    /// When it last confirmed who it is, since it signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<Timestamp>,
    /// The last refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LastRefresh>,
}

/// A session of the principal.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Session)]
pub struct ShownSession {
    /// The id, `ses_…`.
    #[schema(pattern = "^ses_[0-9a-f]{32}$")]
    pub id: String,
    /// What the client said that it is when it signed in.
    #[schema(required = true)]
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it signed in.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last got an access token, which it may have used for ten minutes.
    #[schema(value_type = String, format = DateTime)]
    pub refreshed_at: Timestamp,
    /// When it ends, unless it is refreshed before.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl Session {
    /// The session as its owner sees it, from the session `current`.
    pub(crate) fn shown(&self, id: &str, current: &str) -> ShownSession {
        ShownSession {
            id: id.to_owned(),
            user_agent: self.agent.clone(),
            current: id == current,
            created_at: self.created_at,
            refreshed_at: self.refreshed_at,
            expires_at: self.expires_at(),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct LastRefresh {
    /// The digest of the secret that was used.
    used: String,
    /// The current secret, encrypted.
    next: String,
}

impl Session {
    /// When it ends unless it is refreshed before.
    pub(crate) fn expires_at(&self) -> Timestamp {
        let idle = clock::after(self.refreshed_at, IDLE_SECONDS);
        idle.min(clock::after(self.created_at, LONGEST_SECONDS))
    }

    /// Whether this is the secret of its cookie, and it goes on.
    pub(crate) fn has_cookie(&self, secret: &str, now: Timestamp) -> bool {
        let is_right = self.cookie.as_ref().is_some_and(|cookie| same(cookie, &digest(secret)));
        is_right && self.expires_at() > now
    }

    /// When it last said who it is.
    pub(crate) fn confirmed_at(&self) -> Timestamp {
        self.confirmed_at.unwrap_or(self.created_at)
    }

    /// The same after it has said who it is.
    pub(crate) fn confirmed(&self, now: Timestamp) -> Self {
        Self {
            confirmed_at: Some(now),
            ..self.clone()
        }
    }

    /// The same in another generation of its account.
    pub(crate) fn of_generation(&self, generation: u32) -> Self {
        Self {
            generation,
            ..self.clone()
        }
    }

    /// The current secret, if the token with the secret `used` was the last one to be used, a moment ago.
    fn next_of(&self, platform: &Platform, used: &str) -> Option<String> {
        let last = self.last.as_ref()?;
        // A moment that has not come yet is one of a wrong clock.
        let seconds = platform.now().as_second().saturating_sub(self.refreshed_at.as_second());
        let is_recent = (-GRACE_SECONDS..GRACE_SECONDS).contains(&seconds);
        if !is_recent || !same(&last.used, &digest(used)) {
            return None;
        }
        String::from_utf8(platform.keys.open(&last.next)?).ok()
    }
}

/// A secret for the client, and the digest to store. The secret is random, so the digest needs neither a salt nor a
/// slow hash.
pub(crate) fn secret(platform: &Platform) -> (String, String) {
    let plain = URL_SAFE_NO_PAD.encode(random::bytes::<24>(&*platform.random));
    let digest = digest(&plain);
    (plain, digest)
}

fn digest(plain: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(plain))
}

pub(crate) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// The partition of the sessions of an account.
pub(crate) fn sessions(account: &str) -> String {
    format!("sessions/{account}")
}

/// The key of a session, in the partition of its account.
#[must_use]
pub fn session_key(account: &str, session: &str) -> Key {
    Key::new(sessions(account), session)
}

fn tokens(platform: &Platform, account: &str, session: &str, refresh_token: String) -> Result<Tokens, Failure> {
    let issuer = &platform.settings.public_url;
    let access_token = platform
        .keys
        .issue(account, session, issuer, platform.now())
        .map_err(Failure::Internal)?;
    Ok(Tokens {
        access_token,
        token_type: "Bearer".into(),
        expires_in: ACCESS_TOKEN_SECONDS,
        refresh_token,
        device: None,
    })
}

/// A session whose cookie a browser keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CookieSession {
    /// The value of the cookie.
    pub(crate) cookie: String,
    #[serde(flatten)]
    pub(crate) shown: ShownCookieSession,
}

/// A session whose cookie a browser keeps, without the cookie.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CookieSession)]
pub struct ShownCookieSession {
    /// Tells this device from those of strangers, as in `SessionTokens`.
    #[schema(required = true)]
    pub device: Option<String>,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Creates a session with a cookie for an account.
pub(crate) fn open_with_cookie(
    tx: &Transaction<IdentityError>,
    account: &Account,
    device: Option<String>,
) -> Result<CookieSession, Failure> {
    let ((_, family), (_, unused), (secret, cookie)) = (secret(tx), secret(tx), secret(tx));
    let (id, expires_at) = create(tx, account, family, unused, Some(cookie));
    Ok(CookieSession {
        cookie: format!("{}.{id}.{secret}", account.profile.id),
        shown: ShownCookieSession { device, expires_at },
    })
}

/// Creates a session for an account.
pub(crate) fn open(tx: &Transaction<IdentityError>, account: &Account) -> Result<Tokens, Failure> {
    let ((family, family_digest), (secret, secret_digest)) = (self::secret(tx), self::secret(tx));
    let (id, _) = create(tx, account, family_digest, secret_digest, None);
    let account = &account.profile.id;
    tokens(tx, account, &id, format!("{account}.{id}.{family}.{secret}"))
}

/// Creates a session with these digests; returns its id and its end.
fn create(
    tx: &Transaction<IdentityError>,
    account: &Account,
    family: String,
    secret: String,
    cookie: Option<String>,
) -> (String, Timestamp) {
    let id = id::new("ses", &*tx.clock, &*tx.random);
    let session = Session {
        family,
        secret,
        created_at: tx.now(),
        refreshed_at: tx.now(),
        generation: account.generation,
        agent: tx.agent().map(str::to_owned),
        cookie,
        confirmed_at: None,
        last: None,
    };
    let expires_at = session.expires_at();
    tx.create(session_key(&account.profile.id, &id), session)
        .expires_at(expires_at)
        .or_retry();
    tx.seal_result();
    (id, expires_at)
}

/// Fails if `tokens` are the result of an earlier request and no longer work: the session has ended, or its refresh token
/// has been used.
pub(crate) async fn check_replay(cx: &Context, tokens: &Tokens) -> Result<(), Failure> {
    if !cx.was_replayed() {
        return Ok(());
    }
    if let [account, id, _, secret] = tokens.refresh_token.split('.').collect::<Vec<_>>().as_slice()
        && let Some(view) = cx.read::<AccountView>(ACCOUNT.key(account)).await?
        && let Some(session) = cx.read::<Session>(session_key(account, id)).await?
        && same(&session.secret, &digest(secret))
        && view.active
        && session.generation >= view.generation
    {
        return Ok(());
    }
    Err(Failure::IdempotentResultLost)
}

/// The same of a session with a cookie.
pub(crate) async fn check_replay_of_cookie(cx: &Context, session: &CookieSession) -> Result<(), Failure> {
    if !cx.was_replayed() {
        return Ok(());
    }
    let found = Sessions.of_cookie(&**cx.documents(), &session.cookie, cx.now()).await?;
    found.map(drop).ok_or(Failure::IdempotentResultLost)
}

/// The result of a refresh.
#[derive(Serialize, Deserialize)]
pub(crate) enum Refreshed {
    /// The new tokens of the session.
    Tokens(Tokens),
    /// The token was used before: the session has ended.
    Reused,
}

/// Replaces the secret of the session that a refresh token belongs to.
pub(crate) async fn refresh(tx: &Transaction<IdentityError>, token: &str) -> Result<Refreshed, IdentityError> {
    let invalid = IdentityError::InvalidRefreshToken;
    let parts: Vec<&str> = token.split('.').collect();
    let [account, id, family, used] = parts.as_slice() else {
        return Err(invalid);
    };
    if !ACCOUNT.is_id(account) || !id::is("ses", id) {
        return Err(invalid);
    }
    // First, so that a generation that begins meanwhile does not make the session look like one of an earlier one.
    let view = tx.read::<AccountView>(ACCOUNT.key(account)).await?;
    let key = session_key(account, id);
    let session = tx
        .read::<Session>(key.clone())
        .await?
        .ok_or(IdentityError::SessionEnded)?;
    if !same(&session.family, &digest(family)) {
        return Err(invalid);
    }
    let is_current = view.is_some_and(|view| view.active && session.generation >= view.generation);
    if !is_current || session.expires_at() <= tx.now() {
        return Err(IdentityError::SessionEnded);
    }
    let secret = if same(&session.secret, &digest(used)) {
        let (secret, secret_digest) = secret(tx);
        let sealed = tx.keys.seal(secret.as_bytes(), &*tx.random);
        let next = Session {
            secret: secret_digest,
            refreshed_at: tx.now(),
            last: sealed.map(|next| LastRefresh {
                used: session.secret.clone(),
                next,
            }),
            ..session.value.clone()
        };
        let expires_at = next.expires_at();
        tx.update(&session.document, next).expires_at(expires_at).or_retry();
        secret
    } else if let Some(secret) = session.next_of(tx, used) {
        secret
    } else {
        tx.remove(key);
        return Ok(Refreshed::Reused);
    };
    tx.seal_result();
    let tokens = tokens(tx, account, id, format!("{account}.{id}.{family}.{secret}"))?;
    Ok(Refreshed::Tokens(tokens))
}
