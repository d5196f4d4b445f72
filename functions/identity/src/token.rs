//! Personal access tokens: what programs of an account use in the place of its password.
//!
//! A token is `soukpat_` and, in base 64, the numbers of its account and of itself, a secret, and a checksum of all of it. So what
//! was typed or cut wrongly is refused without a look at the store, scanners of secrets recognize it, and one read of two documents
//! tells whose it is. Only a digest of the secret is stored. It is looked up for every request: one that was revoked, changed or has
//! expired does not work any more, everywhere.

use std::net::IpAddr;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use garde::Validate;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use souk_core::access::ByToken;
use souk_core::{Fault, Key, Kind, Timestamp, check, random};
use souk_kit::auth::TOKEN_PREFIX;
use souk_kit::{Failure, Platform};
use souk_model::identity::ACCOUNT;

/// Personal access tokens.
pub(crate) const TOKEN: Kind = Kind::new("access-token", "tok");
/// How many tokens an account may have.
pub(crate) const MAX_TOKENS: usize = 50;
/// How many networks a token may be bound to.
const MAX_NETWORKS: usize = 20;
/// The length of the secret, in bytes.
const SECRET: usize = 24;
/// The length of the checksum, in bytes.
const CHECKSUM: usize = 4;
/// How long the former secret of a token works at most after a rotation, in seconds.
const MAX_OVERLAP: u32 = 7 * 86_400;

/// What a token may be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TokenAccess)]
pub enum Access {
    /// Requests that change nothing.
    #[default]
    Read,
    /// All requests of the account, but for those about the account itself.
    Write,
}

/// The fields of a token that its owner sets.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccessToken)]
pub struct NewToken {
    /// What it is for.
    #[garde(custom(check::line(1, 80)))]
    #[serde(default, deserialize_with = "check::one_line")]
    #[schema(required = true, min_length = 1, max_length = 80, example = "Nightly import")]
    pub name: String,
    /// What it may be used for: `read` what the account may see, or also `write`.
    #[garde(skip)]
    #[serde(default)]
    #[schema(default = "read")]
    pub access: Access,
    /// The names of the permissions of the account that it has too; none by default. It never has one that the account has not.
    #[garde(length(max = 100))]
    #[serde(default)]
    #[schema(max_items = 100, example = json!(["webhooks:market"]))]
    pub permissions: Vec<String>,
    /// The networks that it works from, such as `203.0.113.0/24` or `2001:db8::/32`; from everywhere by default.
    #[garde(custom(are_networks))]
    #[serde(default)]
    #[schema(max_items = 20, example = json!(["203.0.113.0/24"]))]
    pub networks: Vec<String>,
    /// When it stops working; never by default.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// How long the former secret of a token goes on working.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenRotation)]
pub(crate) struct Rotation {
    /// For so many seconds, so that programs can be given the new one; an hour by default.
    #[garde(range(max = MAX_OVERLAP))]
    #[serde(default = "an_hour")]
    #[schema(default = 3600, maximum = 604_800)]
    pub(crate) overlap_seconds: u32,
}

fn an_hour() -> u32 {
    3_600
}

fn are_networks(names: &[String], _: &()) -> garde::Result {
    if names.len() > MAX_NETWORKS {
        return Err(Fault::too_many(MAX_NETWORKS).into());
    }
    match names.iter().all(|name| network(name).is_some()) {
        true => Ok(()),
        false => Err(Fault::format("must be networks such as 203.0.113.0/24, or addresses").into()),
    }
}

fn network(name: &str) -> Option<IpNet> {
    IpNet::from_str(name)
        .ok()
        .or_else(|| IpAddr::from_str(name).ok().map(IpNet::from))
}

/// A token in its stored form.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    #[serde(flatten)]
    pub(crate) fields: NewToken,
    /// The digest of its secret.
    secret: String,
    /// The digest of the former secret, and how long that works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<(String, Timestamp)>,
    pub(crate) created_at: Timestamp,
}

/// A token as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AccessToken)]
pub struct ShownToken {
    /// The id, `tok_…`.
    #[schema(pattern = "^tok_[0-9a-f]{32}$")]
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    pub access: Access,
    /// The names of the permissions that it has too.
    pub permissions: Vec<String>,
    /// The networks that it works from; from everywhere if empty.
    pub networks: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops working.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, about to the minute.
    #[schema(required = true, value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// A token with its secret, which is shown once.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = IssuedToken)]
pub struct IssuedToken {
    /// The token.
    #[serde(flatten)]
    pub shown: ShownToken,
    /// What is sent as `Authorization: Bearer …`.
    #[schema(example = "soukpat_AZKxx5t8fD6bH2otTox7WgGSsceb…")]
    pub token: String,
}

/// The last use of a token: a document of its own, which is written without a condition.
#[derive(Serialize, Deserialize)]
pub(crate) struct LastUse {
    pub(crate) at: Timestamp,
}

/// The partition of the tokens of an account.
pub(crate) fn partition(account: &str) -> String {
    format!("access-tokens/{account}")
}

pub(crate) fn key(account: &str, token: &str) -> Key {
    Key::new(partition(account), token)
}

pub(crate) fn use_key(token: &str) -> Key {
    Key::of("access-token-use", token)
}

fn digest(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

fn checksum(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).into_iter().take(CHECKSUM).collect()
}

/// The 16 bytes of an id.
fn number(kind: Kind, id: &str) -> Option<[u8; 16]> {
    let hex = id.strip_prefix(kind.prefix)?.strip_prefix('_')?;
    u128::from_str_radix(hex, 16).ok().map(u128::to_be_bytes)
}

fn id(kind: Kind, number: [u8; 16]) -> String {
    format!("{}_{:032x}", kind.prefix, u128::from_be_bytes(number))
}

/// A token as it was sent.
pub(crate) struct Sent {
    pub(crate) account: String,
    pub(crate) id: String,
    secret: Vec<u8>,
}

impl Sent {
    /// Reads a token; `None` if it is not one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(TOKEN_PREFIX)?).ok()?;
        let (plain, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if plain.len() != 32 + SECRET || checksum(plain) != sum {
            return None;
        }
        let (account, rest) = plain.split_first_chunk::<16>()?;
        let (token, secret) = rest.split_first_chunk::<16>()?;
        Some(Self {
            account: id(ACCOUNT, *account),
            id: id(TOKEN, *token),
            secret: secret.to_vec(),
        })
    }
}

/// A new secret of a token: the text for the client, and the digest to store.
fn secret(platform: &Platform, account: &str, token: &str) -> Result<(String, String), Failure> {
    let numbers = number(ACCOUNT, account).zip(number(TOKEN, token));
    let (account, token) = numbers.ok_or_else(|| Failure::Internal("an id has another form".into()))?;
    let secret = random::bytes::<SECRET>(&*platform.random);
    let plain = [&account[..], &token[..], &secret[..]].concat();
    let text = URL_SAFE_NO_PAD.encode([&plain[..], &checksum(&plain)].concat());
    Ok((format!("{TOKEN_PREFIX}{text}"), digest(&secret)))
}

impl Token {
    /// A new token with this id, and its text.
    pub(crate) fn new(
        platform: &Platform,
        account: &str,
        id: &str,
        fields: NewToken,
        now: Timestamp,
    ) -> Result<(Self, String), Failure> {
        let (text, secret) = secret(platform, account, id)?;
        let token = Self {
            fields,
            secret,
            former: None,
            created_at: now,
        };
        Ok((token, text))
    }

    /// The same with another secret; the present one works until then.
    pub(crate) fn rotated(
        &self,
        platform: &Platform,
        account: &str,
        id: &str,
        until: Timestamp,
    ) -> Result<(Self, String), Failure> {
        let (text, secret) = secret(platform, account, id)?;
        let token = Self {
            secret,
            former: Some((self.secret.clone(), until)),
            ..self.clone()
        };
        Ok((token, text))
    }

    /// Whether this is its secret, or was until a while ago.
    pub(crate) fn is(&self, sent: &Sent, now: Timestamp) -> bool {
        let digest = digest(&sent.secret);
        let is_former = |former: &(String, Timestamp)| now < former.1 && super::session::same(&former.0, &digest);
        super::session::same(&self.secret, &digest) || self.former.as_ref().is_some_and(is_former)
    }

    /// Whether it works from this address.
    pub(crate) fn works_from(&self, address: &str) -> bool {
        let networks = &self.fields.networks;
        // An IPv4 address may be written as one of IPv6.
        let address = IpAddr::from_str(address).ok().map(|address| address.to_canonical());
        let has = |name: &String| {
            network(name)
                .zip(address)
                .is_some_and(|(network, at)| network.contains(&at))
        };
        networks.is_empty() || networks.iter().any(has)
    }

    pub(crate) fn by_token(&self) -> ByToken {
        match self.fields.access {
            Access::Read => ByToken::Read,
            Access::Write => ByToken::Write,
        }
    }

    pub(crate) fn shown(&self, id: &str, last_used_at: Option<Timestamp>) -> ShownToken {
        let NewToken {
            name,
            access,
            permissions,
            networks,
            expires_at,
        } = self.fields.clone();
        ShownToken {
            id: id.to_owned(),
            name,
            access,
            permissions,
            networks,
            created_at: self.created_at,
            expires_at,
            last_used_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(networks: &[&str]) -> Token {
        let networks = networks.iter().map(ToString::to_string).collect();
        Token {
            fields: NewToken {
                networks,
                ..NewToken::default()
            },
            secret: String::new(),
            former: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_token_works_from_its_networks_only() {
        let bound = token(&["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]);
        for inside in ["203.0.113.9", "2001:db8::1", "198.51.100.7", "::ffff:203.0.113.9"] {
            assert!(bound.works_from(inside), "{inside}");
        }
        for outside in [
            "203.0.114.9",
            "2001:db9::1",
            "198.51.100.8",
            "",
            "203.0.113.9:80",
            "localhost",
        ] {
            assert!(!bound.works_from(outside), "{outside}");
        }
        assert!(token(&[]).works_from("") && token(&[]).works_from("203.0.113.9"));
    }

    #[test]
    fn what_was_not_issued_is_no_token() {
        let plain = [7; 56];
        let text = |bytes: &[u8]| format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let good = [&plain[..], &checksum(&plain)].concat();
        let sent = Sent::read(&text(&good)).unwrap();
        assert_eq!(sent.account, format!("acc_{}", "07".repeat(16)));
        assert_eq!(sent.id, format!("tok_{}", "07".repeat(16)));
        for (n, byte) in good.iter().enumerate() {
            let mut other = good.clone();
            other[n] = byte ^ 1;
            assert!(Sent::read(&text(&other)).is_none(), "{n}");
        }
        for other in [
            "",
            TOKEN_PREFIX,
            text(&good).trim_start_matches('s'),
            &text(&good[1..]),
            &(text(&good) + "A"),
        ] {
            assert!(Sent::read(other).is_none(), "{other}");
        }
    }
}
