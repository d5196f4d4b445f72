//! The keys that sign access tokens, and the keys derived from them.
//!
//! Each key is an Ed25519 seed of 32 bytes, written with a prefix and a checksum, so that nothing else is taken for one. The
//! first key signs, all keys verify. To rotate keys, add a new one in front and remove the old one when its last token has
//! expired. Secrets at rest (stored idempotent results that hold tokens) are encrypted with a key derived from the same seeds.
//!
//! A function that signs no tokens can do with a *derived* key: the public key and the one that encrypts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use jwt_compact::alg::Ed25519;
use jwt_compact::{AlgorithmExt, Claims, Header, UntrustedToken};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use souk_core::{Random, Timestamp, random};

use super::TokenError;
use super::caller::{Caller, request_digest};

/// How long an access token is valid.
pub const ACCESS_TOKEN_SECONDS: i64 = 600;
/// The audience of access tokens.
const AUDIENCE: &str = "souk";
/// The audience of what a gate tells the host behind it.
const INNER: &str = "souk-functions";
/// How long that is of use.
const CALLER_SECONDS: i64 = 30;
/// What a written seed begins with. Ids of keys, which are public, have no prefix.
const PREFIX: &str = "souksecret_";
/// What a written derived key begins with.
const DERIVED: &str = "soukderived_";
/// The length of the checksum behind a key, in bytes.
const CHECKSUM: usize = 4;
/// The allowed clock skew between two machines.
const SKEW_SECONDS: i64 = 5;

struct Pair {
    id: String,
    /// `None` in a derived key.
    signing: Option<SigningKey>,
    verifying: VerifyingKey,
    sealing: [u8; 32],
}

/// The keys; the first one signs.
pub struct Keys(Vec<Pair>);

/// The verified claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The account.
    pub account: String,
    /// The session.
    pub session: String,
}

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AccessClaims {
    /// The account.
    sub: String,
    /// The session.
    sid: String,
    /// The issuer: `SOUK_PUBLIC_URL`.
    iss: String,
    /// The audience.
    aud: String,
}

/// The claims of the header that says who a request is from.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct CallerClaims {
    /// The issuer: `SOUK_PUBLIC_URL`.
    iss: String,
    /// The audience.
    aud: String,
    /// The digest of the method and the target.
    req: String,
    #[serde(flatten)]
    caller: Caller,
}

/// The `N` bytes of a key that is written with this prefix.
fn read<const N: usize>(prefix: &str, text: &str) -> Option<[u8; N]> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?;
    let (key, sum) = bytes.split_first_chunk::<N>()?;
    (checksum(key) == sum).then_some(*key)
}

fn write(prefix: &str, key: &[u8]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode([key, &checksum(key)].concat()))
}

fn checksum(key: &[u8]) -> Vec<u8> {
    Sha256::digest(key).into_iter().take(CHECKSUM).collect()
}

impl Pair {
    fn read(text: &str) -> Option<Self> {
        if let Some(seed) = read::<32>(PREFIX, text) {
            let signing = SigningKey::from_bytes(&seed);
            let sealing = mac(&seed, b"souk sealing key");
            return Some(Self::new(signing.verifying_key(), Some(signing), sealing));
        }
        let derived = read::<64>(DERIVED, text)?;
        let (verifying, rest) = derived.split_first_chunk::<32>()?;
        let sealing = rest.first_chunk::<32>()?;
        Some(Self::new(VerifyingKey::from_bytes(verifying).ok()?, None, *sealing))
    }

    fn new(verifying: VerifyingKey, signing: Option<SigningKey>, sealing: [u8; 32]) -> Self {
        // The JWK thumbprint (RFC 7638).
        let jwk = format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            URL_SAFE_NO_PAD.encode(verifying.as_bytes())
        );
        Self {
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(jwk)),
            signing,
            verifying,
            sealing,
        }
    }
}

impl Keys {
    /// Parses comma-separated keys, the signing one first.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                Pair::read(part).ok_or_else(|| {
                    format!(
                        "a signing key begins with {PREFIX} and is made by `souk keys --generate`; an id is not a key"
                    )
                })
            });
        let pairs = pairs.collect::<Result<Vec<_>, String>>()?;
        if pairs.is_empty() {
            Err("there is no signing key".into())
        } else {
            Ok(Self(pairs))
        }
    }

    /// A new seed in the format of [`Keys::parse`].
    pub fn generate(source: &dyn Random) -> String {
        write(PREFIX, &random::bytes::<32>(source))
    }

    /// Whether the first key can sign.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.0.first().is_some_and(|pair| pair.signing.is_some())
    }

    /// The ids of the keys, the signing one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pair| pair.id.as_str())
    }

    /// The public keys as a JWK set.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let keys = self.0.iter().map(|pair| {
            let x = URL_SAFE_NO_PAD.encode(pair.verifying.as_bytes());
            serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": pair.id, "x": x })
        });
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    }

    /// An access token for a session of an account, valid for [`ACCESS_TOKEN_SECONDS`].
    pub fn issue(&self, account: &str, session: &str, issuer: &str, now: Timestamp) -> Result<String, String> {
        let claims = AccessClaims {
            sub: account.into(),
            sid: session.into(),
            iss: issuer.into(),
            aud: AUDIENCE.into(),
        };
        self.sign(claims, ACCESS_TOKEN_SECONDS, "at+jwt", now)
    }

    fn sign<C: Serialize>(&self, claims: C, seconds: i64, kind: &str, now: Timestamp) -> Result<String, String> {
        let pair = self.0.first().ok_or("there is no signing key")?;
        let signing = pair.signing.as_ref().ok_or("a derived key signs nothing")?;
        let mut claims = Claims::new(claims);
        claims.issued_at = chrono::DateTime::from_timestamp(now.as_second(), 0);
        claims.expiration = chrono::DateTime::from_timestamp(now.as_second().saturating_add(seconds), 0);
        let header = Header::empty().with_key_id(pair.id.clone()).with_token_type(kind);
        Ed25519.token(&header, &claims, signing).map_err(|e| e.to_string())
    }

    /// What says who a request is from, signed.
    pub(crate) fn vouch(
        &self,
        caller: Caller,
        (method, uri): (&http::Method, &http::Uri),
        issuer: &str,
        now: Timestamp,
    ) -> Result<String, String> {
        let claims = CallerClaims {
            iss: issuer.into(),
            aud: INNER.into(),
            req: URL_SAFE_NO_PAD.encode(request_digest(method, uri)),
            caller,
        };
        self.sign(claims, CALLER_SECONDS, "souk-identity+jwt", now)
    }

    /// Who a request is from, if a gate has signed this for it, or why that is not believed.
    pub(crate) fn vouched(
        &self,
        header: &str,
        (method, uri): (&http::Method, &http::Uri),
        issuer: &str,
        now: Timestamp,
    ) -> Result<Caller, &'static str> {
        let signed = self.claims::<CallerClaims>(header, CALLER_SECONDS, now);
        let (claims, expires) =
            signed.ok_or("it is no identity that a key known here has signed, or a clock is wrong")?;
        if claims.aud != INNER {
            return Err("it is a token for something else");
        }
        if claims.iss != issuer {
            return Err("it is of another SOUK_PUBLIC_URL");
        }
        if claims.req != URL_SAFE_NO_PAD.encode(request_digest(method, uri)) {
            return Err("it is of another request");
        }
        // The clock of the gate may be behind.
        match now.as_second() < expires.saturating_add(SKEW_SECONDS) {
            true => Ok(claims.caller),
            false => Err("it has expired"),
        }
    }

    /// The claims of a valid token. `validate` of `jwt-compact` checks only the signature, so the other claims are
    /// checked here, with the clock of the host.
    pub(crate) fn verify(&self, token: &str, issuer: &str, now: Timestamp) -> Result<AccessToken, TokenError> {
        let (token, expires) = self.signed(token, issuer, now).ok_or(TokenError::Invalid)?;
        if now.as_second() < expires {
            Ok(token)
        } else {
            Err(TokenError::Expired)
        }
    }

    /// The claims of a token that was valid at some time, and the second of its end.
    fn signed(&self, token: &str, issuer: &str, now: Timestamp) -> Option<(AccessToken, i64)> {
        let (claims, expires) = self.claims::<AccessClaims>(token, ACCESS_TOKEN_SECONDS, now)?;
        let token = AccessToken {
            account: claims.sub,
            session: claims.sid,
        };
        (claims.iss == issuer && claims.aud == AUDIENCE).then_some((token, expires))
    }

    /// The claims that one of the keys has signed for at most so long, and the second of their end.
    fn claims<C: DeserializeOwned + Clone>(&self, token: &str, seconds: i64, now: Timestamp) -> Option<(C, i64)> {
        let untrusted = UntrustedToken::new(token).ok()?;
        if untrusted.algorithm() != "EdDSA" {
            return None;
        }
        let key = untrusted.header().key_id.as_deref()?;
        let pair = self.0.iter().find(|pair| pair.id == key)?;
        let token = Ed25519.validator::<C>(&pair.verifying).validate(&untrusted).ok()?;
        let claims = token.claims();
        let expires = claims.expiration?.timestamp();
        let issued = claims.issued_at?.timestamp();
        let is_valid =
            issued <= now.as_second().saturating_add(SKEW_SECONDS) && expires.saturating_sub(issued) <= seconds;
        is_valid.then(|| (claims.custom.clone(), expires))
    }

    /// A keyed digest (HMAC): deterministic, and not reproducible from the contents of the store alone.
    #[must_use]
    pub fn digest(&self, input: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(self.0.first().map(|pair| mac(&pair.sealing, input)).unwrap_or_default())
    }

    /// Whether this is the digest of the input under any of the keys, also one that does not sign any more.
    #[must_use]
    pub fn is_digest(&self, digest: &str, input: &[u8]) -> bool {
        let mut digests = self
            .0
            .iter()
            .map(|pair| URL_SAFE_NO_PAD.encode(mac(&pair.sealing, input)));
        digests.any(|own| own == digest)
    }

    /// Encrypts a secret for the store.
    pub fn seal(&self, plain: &[u8], source: &dyn Random) -> Option<String> {
        let nonce = random::bytes::<12>(source);
        let cipher = ChaCha20Poly1305::new(&self.0.first()?.sealing.into());
        let sealed = cipher.encrypt(Nonce::from_slice(&nonce), plain).ok()?;
        Some(format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(nonce),
            URL_SAFE_NO_PAD.encode(sealed)
        ))
    }

    /// Decrypts a sealed secret; tries every key.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_once('.')?;
        let nonce: [u8; 12] = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        self.0.iter().find_map(|pair| {
            let cipher = ChaCha20Poly1305::new(&pair.sealing.into());
            cipher.decrypt(Nonce::from_slice(&nonce), sealed.as_slice()).ok()
        })
    }
}

/// HMAC-SHA256.
fn mac(key: &[u8; 32], input: &[u8]) -> [u8; 32] {
    // HMAC accepts keys of any length, so the empty digest is never used.
    <Hmac<Sha256> as Mac>::new_from_slice(key)
        .map(|mac| mac.chain_update(input).finalize().into_bytes().into())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "souksecret_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9jDc0p";

    /// The derived key is what `infra/new-key --derive` prints for the other one.
    #[test]
    fn a_derived_key_does_all_but_sign() {
        let keys = Keys::parse(KEY).unwrap();
        let derived = Keys::parse(
            "soukderived_A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbh2nhp8XW-5TkVoazBEFkVWS0_wUHFjn6v5FHGqkhwiT0QCq0s",
        )
        .unwrap();
        assert!(keys.can_sign() && !derived.can_sign());
        let now = Timestamp::UNIX_EPOCH;
        assert!(derived.issue("acc_1", "ses_1", "https://souk.example", now).is_err());
        let token = keys.issue("acc_1", "ses_1", "https://souk.example", now).unwrap();
        assert!(derived.verify(&token, "https://souk.example", now).is_ok());
        let later = Timestamp::from_second(ACCESS_TOKEN_SECONDS).unwrap();
        for (issuer, now, expected) in [
            ("https://souk.example", later, "Expired"),
            ("https://other.example", now, "Invalid"),
        ] {
            assert_eq!(
                format!("{:?}", derived.verify(&token, issuer, now).unwrap_err()),
                expected
            );
        }
        assert_eq!(derived.jwks(), keys.jwks());
        assert_eq!(derived.digest(b"x"), keys.digest(b"x"));
        assert!(derived.is_digest(&keys.digest(b"x"), b"x") && !derived.is_digest(&keys.digest(b"x"), b"y"));
        struct Fill;
        impl Random for Fill {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(1);
            }
        }
        // What an older key has made is known as long as that key is.
        let rotated = Keys::parse(&format!("{},{KEY}", Keys::generate(&Fill))).unwrap();
        assert!(rotated.digest(b"x") != keys.digest(b"x") && rotated.is_digest(&keys.digest(b"x"), b"x"));
        let sealed = derived.seal(b"secret", &Fill).unwrap();
        assert_eq!(keys.open(&sealed).unwrap(), b"secret");
    }

    #[test]
    fn a_caller_is_believed_for_one_request_of_a_gate() {
        let keys = Keys::parse(KEY).unwrap();
        let issuer = "https://souk.example";
        let at = |second| Timestamp::from_second(second).unwrap();
        let uri = |text: &'static str| http::Uri::from_static(text);
        let (get, post) = (&http::Method::GET, &http::Method::POST);
        let caller = Caller {
            address: "192.0.2.1".into(),
            tenant: Some("a1".into()),
            ..Caller::default()
        };
        let target = uri("/v1/things?q=a%20b");
        let header = keys.vouch(caller.clone(), (get, &target), issuer, at(1000)).unwrap();
        let found = |header: &str, method, uri: &http::Uri, issuer: &str, now| {
            keys.vouched(header, (method, uri), issuer, at(now)).ok()
        };
        for (method, other, issuer, now, is_believed) in [
            (get, target.clone(), issuer, 1000, true),
            (get, uri("/v1/things?q=a%20b"), issuer, 1034, true),
            // A host that has decoded and encoded the target again.
            (get, uri("/v1/thing%73?q=a%20b"), issuer, 1000, true),
            (get, target.clone(), issuer, 1035, false),
            (get, target.clone(), issuer, 994, false),
            (post, target.clone(), issuer, 1000, false),
            (get, uri("/v1/things?q=a"), issuer, 1000, false),
            (get, uri("/v1/others?q=a%20b"), issuer, 1000, false),
            (get, uri("/v1%2Fthings?q=a%20b"), issuer, 1000, false),
            (get, uri("/v1/things%3Fq=a%20b"), issuer, 1000, false),
            (get, uri("/v1/things?q=a%20b&"), issuer, 1000, false),
            (get, target.clone(), "https://other.example", 1000, false),
        ] {
            let expected = is_believed.then(|| caller.clone());
            assert_eq!(
                found(&header, method, &other, issuer, now),
                expected,
                "{method} {other} {now}"
            );
        }
        // Neither is the other one, although the key is the same.
        let token = keys.issue("acc_1", "ses_1", issuer, at(1000)).unwrap();
        assert_eq!(found(&token, get, &target, issuer, 1000), None);
        assert!(keys.verify(&header, issuer, at(1000)).is_err());
        let (signed, signature) = header.rsplit_once('.').unwrap();
        for forged in [
            signed.to_owned(),
            format!("{signed}."),
            format!("{signed}.{}", signature.chars().rev().collect::<String>()),
            String::new(),
        ] {
            assert_eq!(found(&forged, get, &target, issuer, 1000), None, "{forged}");
        }
    }
}
