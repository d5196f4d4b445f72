//! Passwords: argon2id, with the cost that the host sets. A hash includes its cost, so existing hashes stay valid when
//! the cost changes. Passwords are hashed in NFC, because keyboards type the same letters in different forms.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use souk_core::{Key, random};
use souk_kit::{Context, Failure, Fault};
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

/// The 3,000 passwords of at least eight characters that are most common in published leaks, in lower case.
const COMMON: &str = include_str!("common_passwords.txt");
/// The length of the account's own words that a password may not consist of.
const OWN_WORD: usize = 4;

/// Fails if the password is one that everybody tries first: a common one, or the account's own words with little beside them.
pub(crate) fn check(password: &str, own: &[&str]) -> Result<(), Failure> {
    let lower = password.to_lowercase();
    if COMMON.lines().any(|line| line == lower) {
        let fault = Fault::invalid("is one of the passwords that are tried first");
        return Err(Failure::invalid("password", fault));
    }
    let words = own.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let words = words
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= OWN_WORD);
    let rest = words.fold(lower, |rest, word| rest.replace(&word, ""));
    if rest.chars().filter(|c| c.is_alphabetic()).count() < OWN_WORD && rest.len() < password.len() {
        let fault = Fault::invalid("is made of the words of the account itself");
        return Err(Failure::invalid("password", fault));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_tries_first_is_refused() {
        let own = ["ada-lovelace", "ada.lovelace@analytical.example", "Ada Lovelace"];
        for refused in [
            "password1",
            "PassWord1",
            "iloveyou",
            "lovelace",
            "Lovelace1842!",
            "adalovelace",
            "analytical-1",
        ] {
            assert!(check(refused, &own).is_err(), "{refused}");
        }
        // Words of the account may be part of a longer one, and short words are part of many.
        for taken in [
            "lovelace wrote programs",
            "correct horse battery staple",
            "adamant1",
            "12 lamps of brass",
        ] {
            assert!(check(taken, &own).is_ok(), "{taken}");
        }
        assert_eq!(COMMON.lines().count(), 3000);
    }
}
