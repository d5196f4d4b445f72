//! Passwords: argon2id, with the cost that the host sets. A hash includes its cost, so existing hashes stay valid when
//! the cost changes.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use souk_core::{Key, random};
use souk_kit::{Failure, Platform};

/// The key of the password hash of an account: a separate document, so that reading accounts does not read hashes.
pub(crate) fn key(account: &str) -> Key {
    Key::of("password", account)
}

/// The hash as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct PasswordHashDocument {
    pub(crate) hash: String,
}

fn argon2(platform: &Platform) -> Result<Argon2<'static>, Failure> {
    let cost = platform.settings.password_cost;
    let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The salted, slow hash of a password, in PHC form.
pub(crate) fn hash(platform: &Platform, password: &str) -> Result<String, Failure> {
    let failed = |e: argon2::password_hash::Error| Failure::Internal(e.to_string());
    let salt = SaltString::encode_b64(&random::bytes::<16>(&*platform.random)).map_err(failed)?;
    Ok(argon2(platform)?
        .hash_password(password.as_bytes(), &salt)
        .map_err(failed)?
        .to_string())
}

/// Whether the password is correct. Without a stored hash this takes the same time, so that timing does not reveal
/// which accounts exist.
pub(crate) fn verify(platform: &Platform, password: &str, stored: Option<&str>) -> Result<bool, Failure> {
    let Some(stored) = stored else {
        hash(platform, password)?;
        return Ok(false);
    };
    let parsed = PasswordHash::new(stored).map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(argon2(platform)?.verify_password(password.as_bytes(), &parsed).is_ok())
}
