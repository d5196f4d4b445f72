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

/// The 3,000 passwords of at least eight characters that are most common in published leaks, in lower case: the first of the list
/// that comes with Django (BSD-3-Clause).
const COMMON: &str = include_str!("common_passwords.txt");
/// The length from which on a word of the account counts as one of its own; shorter ones are part of many.
const OWN_WORD: usize = 4;
/// How many letters and digits there must be beside the account's own words.
const BESIDE: usize = 6;

/// Fails if the password is one that everybody tries first: a common one, or one of the account's own words with little beside them.
/// `own` are the texts of the account; of an email address only what precedes the `@` counts.
pub(crate) fn check(password: &str, own: &[&str]) -> Result<(), Failure> {
    let plain = |text: &str| text.nfc().collect::<String>().to_lowercase();
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let password = plain(password);
    if COMMON.lines().any(|line| line == password) {
        let fault = Fault::invalid("is one of the passwords that are tried first");
        return Err(Failure::invalid("password", fault));
    }
    let mut words = Vec::new();
    for text in own {
        let text = plain(text.split('@').next().unwrap_or_default());
        words.extend(text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        words.push(letters(&text));
    }
    words.retain(|word| word.chars().count() > 1);
    words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
    let mut rest = letters(&password);
    let mut has_own = false;
    for word in &words {
        let is_long = word.chars().count() >= OWN_WORD;
        if (is_long || has_own) && rest.contains(word.as_str()) {
            has_own = true;
            rest = rest.replace(word.as_str(), " ");
        }
    }
    if has_own && letters(&rest).chars().count() < BESIDE {
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
        let ada = &["ada-lovelace", "ada.lovelace@analytical.example", "Ada Lovelace"][..];
        let (anna, joe) = (
            &["anna", "annab@mail.org", "Annabelle Smith"][..],
            &["joe_doe", "jo@me.com", "José"][..],
        );
        for (own, refused) in [
            (ada, "password1"),
            (ada, "PassWord1"),
            (ada, "iloveyou"),
            (ada, "lovelace"),
            (ada, "Lovelace1842!"),
            (ada, "adalovelace"),
            (ada, "AdaLovelaceAda"),
            (ada, "a.d.a.lovelace"),
            (anna, "annabelle1"),
            (anna, "smith-anna-99"),
            (joe, "joe_doe1"),
            (joe, "jose\u{301}jose\u{301}"),
        ] {
            assert!(check(refused, own).is_err(), "{refused}");
        }
        // Words of the account may be part of a longer one, short words are part of many, and a provider's name is nobody's own.
        for (own, taken) in [
            (ada, "lovelace wrote programs"),
            (ada, "correct horse battery staple"),
            (ada, "adamant1"),
            (ada, "analytical-1"),
            (anna, "Anna 1987-03-12/4711"),
            (joe, "\u{1e9e} 2847 1930 5577"),
            (&["b", "b@mail.org"], "mail#4417!8820$91"),
        ] {
            assert!(check(taken, own).is_ok(), "{taken}");
        }
        assert_eq!(COMMON.lines().count(), 3000);
        assert!(COMMON.is_ascii() && COMMON.lines().is_sorted());
    }
}
