//! The second factor of an account: codes of an authenticator (TOTP, RFC 6238), and recovery codes for when it is lost.
//!
//! **Each code counts once.** The step of the last code that counted is stored, and no code of it or of an earlier one counts again;
//! a recovery code is removed with its use. Both are one commit with the sign-in.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp, check, random};
use souk_kit::{Context, Failure, Platform, Stored, Transaction};
use totp_rs::{Builder, Secret, Totp};

use crate::error::IdentityError;
use crate::limits::SECOND_FACTORS;

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// The letters of recovery codes: none that are mistaken for others.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// The length of a recovery code, without its hyphen.
const RECOVERY_LENGTH: usize = 12;

/// The second factor of an account in its stored form.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SecondFactor {
    /// The shared secret, sealed.
    secret: String,
    /// Since when sign-ins ask for a code; `None` until the first code was right.
    pub(crate) since: Option<Timestamp>,
    /// The step of the last code that counted.
    #[serde(default)]
    step: u64,
    /// Keyed digests of the recovery codes that are left.
    #[serde(default)]
    recovery: Vec<String>,
}

/// Whether sign-ins ask for a second factor.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SecondFactor)]
pub struct ShownFactor {
    /// Whether sign-ins ask for a code.
    pub enabled: bool,
    /// How many recovery codes are left.
    #[schema(maximum = 10)]
    pub recovery_codes_left: usize,
}

/// A new secret for an authenticator.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewFactor {
    /// The secret in base 32, to be typed into an authenticator.
    pub secret: String,
    /// The same as a URI, which authenticators read from a QR code.
    #[schema(
        format = "uri",
        example = "otpauth://totp/souk.example:ada?secret=JBSWY3DPEHPK3PXP&issuer=souk.example"
    )]
    pub uri: String,
}

/// Recovery codes, which are shown once.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodes {
    /// Each of them counts once in the place of a code.
    pub recovery_codes: Vec<String>,
}

/// The first code of an authenticator.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstCode {
    /// The six digits that the authenticator shows.
    #[garde(custom(check::characters(1, 20)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 20, example = "123456")]
    pub(crate) code: String,
}

/// The key of the second factor of an account.
pub(crate) fn key(account: &str) -> Key {
    Key::of("second-factor", account)
}

fn totp(secret: Vec<u8>) -> Result<Totp, Failure> {
    let built = Builder::new().with_secret(Secret::from(secret)).build();
    built.map_err(|error| Failure::Internal(error.to_string()))
}

/// A code as it is compared.
fn plain(code: &str) -> String {
    let letters = code.chars().filter(|c| !c.is_whitespace() && *c != '-');
    letters.flat_map(char::to_lowercase).collect()
}

fn input(account: &str, code: &str) -> Vec<u8> {
    format!("recovery\n{account}\n{code}").into_bytes()
}

/// New recovery codes, and their digests.
fn recovery_codes(platform: &Platform, account: &str) -> (RecoveryCodes, Vec<String>) {
    let code = |_| {
        let bytes = random::bytes::<RECOVERY_LENGTH>(&*platform.random);
        let letter = |byte: u8| ALPHABET.get(usize::from(byte % 32)).copied().map_or('a', char::from);
        bytes.map(letter).iter().collect::<String>()
    };
    let codes: Vec<String> = (0..RECOVERY_CODES).map(code).collect();
    let digests = codes.iter().map(|code| platform.keys.digest(&input(account, code)));
    let digests = digests.collect();
    let shown = |code: &String| match code.split_at_checked(RECOVERY_LENGTH / 2) {
        Some((a, b)) => format!("{a}-{b}"),
        None => code.clone(),
    };
    let recovery_codes = codes.iter().map(shown).collect();
    (RecoveryCodes { recovery_codes }, digests)
}

impl SecondFactor {
    /// A new one, which does not count before its first code was right.
    pub(crate) fn new(cx: &Context, username: &str) -> Result<(Self, NewFactor), Failure> {
        let bytes = random::bytes::<20>(&*cx.random);
        let sealed = cx.keys.seal(&bytes, &*cx.random);
        let new = Self {
            secret: sealed.ok_or_else(|| Failure::Internal("a secret cannot be sealed".into()))?,
            since: None,
            step: 0,
            recovery: Vec::new(),
        };
        let secret = Secret::from(bytes.to_vec()).to_base32();
        let url = &cx.settings.public_url;
        // A colon separates the two in a label.
        let issuer = url
            .split_once("://")
            .map_or(url.as_str(), |(_, host)| host)
            .replace(':', "%3A");
        let uri = format!("otpauth://totp/{issuer}:{username}?secret={secret}&issuer={issuer}");
        Ok((new, NewFactor { secret, uri }))
    }

    pub(crate) fn shown(&self) -> ShownFactor {
        ShownFactor {
            enabled: self.since.is_some(),
            recovery_codes_left: self.recovery.len(),
        }
    }

    /// The same after the use of a code, if it is right.
    pub(crate) fn used(&self, cx: &Context, account: &str, code: &str) -> Result<Option<Self>, Failure> {
        let code = plain(code);
        // First, so that they help where the secret was sealed with a key that was dropped since.
        let input = input(account, &code);
        if let Some(place) = self
            .recovery
            .iter()
            .position(|digest| cx.keys.is_digest(digest, &input))
        {
            let mut next = self.clone();
            next.recovery.remove(place);
            return Ok(Some(next));
        }
        let secret = cx.keys.open(&self.secret);
        let secret = secret.ok_or_else(|| Failure::Internal("a second factor is sealed with a dropped key".into()))?;
        let now = u64::try_from(cx.now().as_second()).unwrap_or_default();
        let step = totp(secret)?.check(&code, now).filter(|step| *step > self.step);
        Ok(step.map(|step| Self { step, ..self.clone() }))
    }

    /// The same with new recovery codes.
    pub(crate) fn with_recovery_codes(&self, cx: &Context, account: &str) -> (Self, RecoveryCodes) {
        let (codes, recovery) = recovery_codes(cx, account);
        let next = Self {
            recovery,
            ..self.clone()
        };
        (next, codes)
    }
}

/// Fails unless the account has no second factor, or `code` is one of it; then it is used.
pub(crate) async fn require(
    tx: &Transaction<IdentityError>,
    account: &str,
    code: Option<&str>,
) -> Result<(), IdentityError> {
    let Some(factor) = enabled(tx, account).await? else {
        return Ok(());
    };
    let code = code.filter(|code| !code.trim().is_empty());
    let Some(code) = code else {
        return Err(IdentityError::SecondFactorRequired);
    };
    tx.count(&SECOND_FACTORS, account).await?;
    let used = factor.used(tx, account, code)?;
    let Some(used) = used else {
        tracing::warn!(target: "security", "a second factor was refused");
        return Err(IdentityError::WrongSecondFactor);
    };
    tx.update(&factor.document, used).or_retry();
    tx.uncount(&SECOND_FACTORS, account).await;
    Ok(())
}

/// The second factor of an account, if sign-ins ask for it.
pub(crate) async fn enabled(cx: &Context, account: &str) -> Result<Option<Stored<SecondFactor>>, Failure> {
    let factor = cx.read::<SecondFactor>(key(account)).await?;
    Ok(factor.filter(|factor| factor.since.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, for SHA-1, in six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let totp = totp(b"12345678901234567890".to_vec()).unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 30), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 60), None, "{time}");
        }
        for strange in ["", "28708", "2870820", "28708a", "２８７０８２", "+87082"] {
            assert_eq!(totp.check(strange, 59), None, "{strange}");
        }
    }
}
