//! Sessions and their tokens.
//!
//! A session is a document beside the others of its account; it exists as long as it is valid, and every request with a
//! token looks (see `souk_kit::Viewer`). Its refresh token is `{account}.{session}.{family}.{secret}`, opaque to
//! clients, and only digests of the last two parts are stored. *Family* stays the same as long as the session lives,
//! *secret* changes at each refresh: a token with the right family and a wrong secret was ours once and has been used,
//! so somebody else may have it, and the session ends.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use garde::Validate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use souk_core::access::session_key;
use souk_core::documents::get_one;
use souk_core::kind::ACCOUNT;
use souk_core::{Change, Condition, Document, Timestamp, clock, id, random};
use souk_kit::{ACCESS_TOKEN_SECONDS, Answer, Platform, Problem};
use subtle::ConstantTimeEq as _;

/// How long a session lives without being refreshed.
const IDLE_SECONDS: i64 = 30 * 24 * 3600;

/// What it takes to sign in.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// Either this …
    #[garde(custom(either(&self.username)), inner(length(max = 254)))]
    #[serde(default)]
    #[schema(format = "email", max_length = 254, example = "ada@example.com")]
    pub(crate) email: Option<String>,
    /// … or this.
    #[garde(inner(length(max = 254)))]
    #[serde(default)]
    #[schema(max_length = 254)]
    pub(crate) username: Option<String>,
    /// The password.
    #[garde(length(chars, min = 1, max = 128))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 1, max_length = 128)]
    pub(crate) password: String,
}

fn either<C>(username: &Option<String>) -> impl Fn(&Option<String>, &C) -> garde::Result + '_ {
    move |email, _| match (email, username) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(garde::Error::new("give either an email or a username")),
    }
}

/// What it takes to refresh.
#[derive(Debug, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// The one that came last.
    #[garde(length(min = 1, max = 400))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 400)]
    pub(crate) refresh_token: String,
}

/// What a signed-in client holds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds until the access token expires.
    #[schema(maximum = 600)]
    expires_in: i64,
    /// Works once, for the next tokens.
    refresh_token: String,
}

#[derive(Serialize, Deserialize)]
struct Session {
    family: String,
    secret: String,
    created_at: Timestamp,
    refreshed_at: Timestamp,
}

/// A secret as it goes out, and the digest that stays. It is random, so the digest needs neither salt nor slowness.
fn secret(platform: &Platform) -> (String, String) {
    let plain = URL_SAFE_NO_PAD.encode(random::bytes::<24>(&*platform.random));
    let digest = digest(&plain);
    (plain, digest)
}

fn digest(plain: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(plain))
}

fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn tokens(platform: &Platform, account: &str, session: &str, refresh_token: String) -> Result<Answer, Problem> {
    let issuer = &platform.settings.public_url;
    let access_token = platform
        .keys
        .issue(account, session, issuer, platform.now())
        .map_err(Problem::internal)?;
    let tokens = Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: ACCESS_TOKEN_SECONDS,
        refresh_token,
    };
    Ok(Answer::json(&tokens)?.issued().secret())
}

fn put(
    platform: &Platform,
    account: &str,
    id: &str,
    session: &Session,
    condition: Condition,
) -> Result<Change, Problem> {
    Ok(Change::Put {
        key: session_key(account, id),
        body: serde_json::to_string(session).map_err(|e| Problem::internal(e.to_string()))?,
        counters: Vec::new(),
        expires_at: Some(clock::after(platform.now(), IDLE_SECONDS)),
        condition,
        entries: Vec::new(),
        stale: Vec::new(),
    })
}

/// A new session: the change that makes it, and the answer.
pub(crate) fn open(platform: &Platform, account: &str) -> Result<(Change, Answer), Problem> {
    let now = platform.now();
    let id = id::new("ses", &*platform.clock, &*platform.random);
    let ((family, family_digest), (secret, secret_digest)) = (self::secret(platform), self::secret(platform));
    let session = Session {
        family: family_digest,
        secret: secret_digest,
        created_at: now,
        refreshed_at: now,
    };
    let change = put(platform, account, &id, &session, Condition::Absent)?;
    let token = format!("{account}.{id}.{family}.{secret}");
    Ok((change, tokens(platform, account, &id, token)?))
}

/// What a refresh token leads to.
pub(crate) enum Refreshed {
    /// The change that replaces the secret, and the answer.
    Go(Change, Answer),
    /// The token was used before: the change that ends the session.
    Reused(Change),
}

fn invalid() -> Problem {
    Problem::unauthorized("the refresh token is not valid or has expired: sign in again")
}

/// The next tokens of a session.
pub(crate) async fn refresh(platform: &Platform, token: &str) -> Result<Refreshed, Problem> {
    let mut parts = token.split('.');
    let (Some(account), Some(id), Some(family), Some(used), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid());
    };
    if !ACCOUNT.is_id(account) || !id::is("ses", id) {
        return Err(invalid());
    }
    let document: Document = get_one(&*platform.documents, session_key(account, id))
        .await?
        .ok_or_else(invalid)?;
    let session: Session = document.parse()?;
    if !same(&session.family, &digest(family)) {
        return Err(invalid());
    }
    if !same(&session.secret, &digest(used)) {
        return Ok(Refreshed::Reused(close(account, id)));
    }
    let (secret, secret_digest) = secret(platform);
    let session = Session {
        secret: secret_digest,
        refreshed_at: platform.now(),
        ..session
    };
    let change = put(platform, account, id, &session, Condition::Version(document.version))?;
    let token = format!("{account}.{id}.{family}.{secret}");
    Ok(Refreshed::Go(change, tokens(platform, account, id, token)?))
}

/// The change that ends a session, whether or not it still lives.
pub(crate) fn close(account: &str, id: &str) -> Change {
    Change::Delete {
        key: session_key(account, id),
        condition: Condition::Any,
        stale: Vec::new(),
    }
}
