//! Secrets and signatures according to Standard Webhooks: <https://www.standardwebhooks.com>.
//!
//! A secret is shown once, when it is generated; it is stored encrypted (`webhook-secret/{id}`). For a day after a
//! rotation, deliveries are also signed with the previous secret, so that a receiver can switch without missing
//! deliveries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use souk_core::{Key, Random, Timestamp, clock, random};
use souk_kit::{Failure, Keys};

/// How long deliveries are also signed with a previous secret, in seconds.
pub(crate) const OVERLAP_SECONDS: i64 = 24 * 3600;
/// How many previous secrets are kept at most.
const MAX_PREVIOUS: usize = 5;

/// The encrypted secrets of a webhook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Secrets {
    current: String,
    /// The secrets that were replaced, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previous: Vec<Previous>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Previous {
    secret: String,
    /// When deliveries are no longer signed with this secret.
    until: Timestamp,
}

/// A new secret.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WebhookSecret)]
pub struct NewSecret {
    /// The new secret, with which deliveries are signed. Store it: it is not shown again.
    #[schema(pattern = "^whsec_")]
    pub secret: String,
    /// When deliveries are no longer signed with the previous secret.
    #[schema(value_type = String, format = DateTime)]
    pub previous_until: Timestamp,
}

impl Secrets {
    pub(crate) fn key(webhook: &str) -> Key {
        Key::of("webhook-secret", webhook)
    }

    /// Generates a secret; also returns its text, for the owner of the webhook.
    pub(crate) fn generate(keys: &Keys, source: &dyn Random) -> Result<(Self, String), Failure> {
        let secret: [u8; 32] = random::bytes(source);
        let current = keys
            .seal(&secret, source)
            .ok_or_else(|| Failure::Internal("a secret could not be sealed".into()))?;
        let shown = format!("whsec_{}", STANDARD.encode(secret));
        Ok((
            Self {
                current,
                previous: Vec::new(),
            },
            shown,
        ))
    }

    /// Replaces the current secret by that of `next`; also returns when the replaced one is no longer used.
    pub(crate) fn rotate(self, next: Self, now: Timestamp) -> (Self, Timestamp) {
        let until = clock::after(now, OVERLAP_SECONDS);
        let previous = Previous {
            secret: self.current,
            until,
        };
        // Each previous secret is used for its full day, even if the secret is rotated again before that.
        let valid = self.previous.into_iter().filter(|earlier| now < earlier.until);
        let rotated = Self {
            current: next.current,
            previous: std::iter::once(previous).chain(valid).take(MAX_PREVIOUS).collect(),
        };
        (rotated, until)
    }

    /// The value of `webhook-signature`: one signature for each valid secret. `None` if the current secret cannot be
    /// decrypted, because its encryption key has been removed.
    pub(crate) fn sign(&self, keys: &Keys, id: &str, now: Timestamp, body: &str) -> Option<String> {
        let content = format!("{id}.{}.{body}", now.as_second());
        let mut signatures = signature(&keys.open(&self.current)?, &content)?;
        let valid = self.previous.iter().filter(|previous| now < previous.until);
        for old in valid.filter_map(|previous| signature(&keys.open(&previous.secret)?, &content)) {
            signatures.push(' ');
            signatures.push_str(&old);
        }
        Some(signatures)
    }
}

fn signature(secret: &[u8], content: &str) -> Option<String> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).ok()?;
    let digest = mac.chain_update(content).finalize().into_bytes();
    Some(format!("v1,{}", STANDARD.encode(digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(std::sync::atomic::AtomicU8);
    impl Random for Count {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// The test vector of the reference libraries of Standard Webhooks.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let content = r#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#;
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&secret, content).unwrap(), expected);
    }

    #[test]
    fn the_previous_secret_is_valid_for_a_day() {
        let source = Count(0.into());
        let keys = Keys::parse(&Keys::generate(&source)).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (first, shown) = Secrets::generate(&keys, &source).unwrap();
        assert!(shown.starts_with("whsec_") && !first.current.contains(&shown));
        let (second, _) = Secrets::generate(&keys, &source).unwrap();
        let sign = |secrets: &Secrets, at| secrets.sign(&keys, "dlv_1", at, "{}").unwrap();
        let (rotated, until) = first.clone().rotate(second.clone(), now);
        assert_eq!(until, clock::after(now, 86_400));
        let before = clock::after(now, 86_399);
        assert_eq!(
            sign(&rotated, before),
            format!("{} {}", sign(&second, before), sign(&first, before))
        );
        assert_eq!(sign(&rotated, until), sign(&second, until));
        // A second rotation on the same day does not shorten the validity of the first previous secret.
        let (third, _) = Secrets::generate(&keys, &source).unwrap();
        let (again, _) = rotated.clone().rotate(third.clone(), before);
        let all = [&third, &second, &first].map(|secrets| sign(secrets, before));
        assert_eq!(sign(&again, before), all.join(" "));
        assert_eq!(
            sign(&again, until),
            format!("{} {}", sign(&third, until), sign(&second, until))
        );
        let others = Keys::parse(&Keys::generate(&source)).unwrap();
        assert_eq!(rotated.sign(&others, "dlv_1", now, "{}"), None);
    }
}
