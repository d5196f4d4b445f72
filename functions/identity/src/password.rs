//! Passwords: argon2id, with the cost that the host sets. A hash includes its cost, so existing hashes stay valid when
//! the cost changes. Passwords are hashed in NFC, because keyboards type the same letters in different forms.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use souk_core::{Key, random};
use souk_kit::{Context, Failure};
use unicode_normalization::UnicodeNormalization as _;

use crate::limits::{PASSWORDS, count_network};

/// The key of the password hash of an account: a separate document, so that reading accounts does not read hashes.
pub(crate) fn key(account: &str) -> Key {
    Key::of("password", account)
}

/// The hash as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct PasswordHashDocument {
    pub(crate) hash: String,
}

fn argon2(cx: &Context) -> Result<Argon2<'static>, Failure> {
    let cost = cx.settings.password_cost;
    let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: argon2::password_hash::Error) -> Failure {
    Failure::Internal(error.to_string())
}

/// The salted, slow hash of a password, in PHC form.
pub(crate) async fn hash(cx: &Context, password: &str) -> Result<String, Failure> {
    count_network(cx, &PASSWORDS).await?;
    let salt = SaltString::encode_b64(&random::bytes::<16>(&*cx.random)).map_err(failed)?;
    let (argon2, password) = (argon2(cx)?, password.nfc().collect::<String>());
    let hash = move || {
        let hash = argon2.hash_password(password.as_bytes(), &salt);
        hash.map(|hash| hash.to_string())
    };
    cx.compute(hash).await?.map_err(failed)
}

/// Whether the password is correct. Without a stored hash this takes the same time, so that timing does not reveal
/// which accounts exist.
pub(crate) async fn verify(cx: &Context, password: &str, stored: Option<String>) -> Result<bool, Failure> {
    let Some(stored) = stored else {
        hash(cx, password).await?;
        return Ok(false);
    };
    count_network(cx, &PASSWORDS).await?;
    let (argon2, password) = (argon2(cx)?, password.to_owned());
    let verify = move || {
        let parsed = PasswordHash::new(&stored)?;
        let is_right = |password: &str| argon2.verify_password(password.as_bytes(), &parsed).is_ok();
        let composed: String = password.nfc().collect();
        // An old hash is of the password as it was typed.
        Ok(is_right(&composed) || (composed != password && is_right(&password)))
    };
    cx.compute(verify).await?.map_err(failed)
}
