//! Passwords: argon2id, at a cost that the host sets. A hash carries its own cost, so old ones stay valid when it changes.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Deserialize;
use souk_core::{Key, random};
use souk_kit::{Platform, Problem};

/// Where the password of an account is: apart from the account, so that nothing that reads accounts reads hashes.
pub(crate) fn key(account: &str) -> Key {
    Key::of("password", account)
}

#[derive(Deserialize)]
pub(crate) struct Stored {
    pub(crate) hash: String,
}

fn argon2(platform: &Platform) -> Result<Argon2<'static>, Problem> {
    let cost = platform.settings.password_cost;
    let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The salted, slow hash of a password, in PHC form.
pub(crate) fn hash(platform: &Platform, password: &str) -> Result<String, Problem> {
    let failed = |e: argon2::password_hash::Error| Problem::internal(e.to_string());
    let salt = SaltString::encode_b64(&random::bytes::<16>(&*platform.random)).map_err(failed)?;
    Ok(argon2(platform)?
        .hash_password(password.as_bytes(), &salt)
        .map_err(failed)?
        .to_string())
}

/// Whether the password is right. With no hash to compare with it works as long, so that time does not tell which
/// accounts exist.
pub(crate) fn verify(platform: &Platform, password: &str, stored: Option<&str>) -> Result<bool, Problem> {
    let Some(stored) = stored else {
        hash(platform, password)?;
        return Ok(false);
    };
    let parsed = PasswordHash::new(stored).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(argon2(platform)?.verify_password(password.as_bytes(), &parsed).is_ok())
}
