//! Challenges: a mail contains a six-digit code and a link, and a client that sends one of them back proves that its user reads the
//! mailbox.
//!
//! **A link never acts by itself.** Mail scanners open links, and some submit the forms behind them. So the token of a link counts
//! only with the nonce, which the client has that asked for the mail; the six digits of the mail count alone.
//!
//! **Nobody learns which addresses are known.** A request only stores the challenge, for any address alike; what is mailed, and
//! whether anything is, the job decides. Five wrong codes use a challenge up.

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp, check, clock, id, random};
use souk_kit::{Context, Failure, Platform, Stored, Transaction};

use crate::account::{Account, email_key};
use crate::error::IdentityError;
use crate::jobs::{Letter, SendLetter};
use crate::limits::MAILED_CODES;
use crate::session::secret;

/// How long a challenge can be answered.
const SECONDS: i64 = 30 * 60;
/// How many wrong codes use it up.
const MAX_WRONG: u32 = 5;

/// What is done when a challenge is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// The address of an account is verified.
    VerifyEmail,
    /// An account gets another address.
    ChangeEmail,
    /// An account gets another password.
    ResetPassword,
    /// A session begins.
    SignIn,
}

impl Purpose {
    /// As links name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ChangeEmail => "change_email",
            Self::ResetPassword => "reset_password",
            Self::SignIn => "sign_in",
        }
    }
}

/// A challenge in its stored form, with keyed digests in the place of its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Challenge {
    pub(crate) purpose: Purpose,
    /// The account that asked, if it was signed in.
    pub(crate) account: Option<String>,
    /// The generation of the account when it asked, or when it was mailed: with all of its sessions its challenges end too.
    pub(crate) generation: Option<u32>,
    nonce: String,
    /// Who gets a mail: all of them have to answer.
    pub(crate) sides: Vec<Side>,
    wrong: u32,
    expires_at: Timestamp,
}

/// Somebody who gets a mail.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) email: String,
    code: String,
    token: String,
    pub(crate) has_answered: bool,
}

/// What a mail says.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Mailed {
    pub(crate) code: String,
    pub(crate) token: String,
}

/// A challenge: a code and a link have been mailed.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Challenge)]
pub struct ShownChallenge {
    /// The id, to be sent with the code.
    #[schema(pattern = "^chl_[0-9a-f]{32}$")]
    pub id: String,
    /// A secret of the client that asked. The token of the link in the mail counts only together with it.
    pub nonce: String,
    /// Until when it can be answered.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// An answer to a challenge.
pub(crate) struct Answered<'a> {
    pub(crate) challenge: &'a str,
    pub(crate) code: &'a str,
    pub(crate) nonce: Option<&'a str>,
}

/// The address that a mail is asked for.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MailRequest)]
pub(crate) struct Address {
    /// Email address.
    #[garde(custom(check::email))]
    #[serde(default)]
    #[schema(required = true, format = "email", max_length = 254, example = "ada@example.com")]
    pub(crate) email: String,
}

/// What proves that an address is somebody's.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EmailProof)]
pub(crate) struct EmailProof {
    /// The id of the challenge.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100)]
    pub(crate) challenge: String,
    /// The six digits of the mail, or the token of its link together with `nonce`.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100, example = "123456")]
    pub(crate) code: String,
    /// The nonce of the challenge.
    #[garde(inner(custom(check::characters(1, 100))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) nonce: Option<String>,
}

/// A new password, and what proves that the address of the account is yours.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordReset)]
pub(crate) struct PasswordReset {
    /// The id of the challenge.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100)]
    pub(crate) challenge: String,
    /// The six digits of the mail, or the token of its link together with `nonce`.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100, example = "123456")]
    pub(crate) code: String,
    /// The nonce of the challenge.
    #[garde(inner(custom(check::characters(1, 100))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) nonce: Option<String>,
    /// The new password, as in `signUp`.
    #[garde(custom(crate::account::is_passphrase))]
    #[serde(default)]
    #[schema(required = true, format = "password", min_length = 8, max_length = 128)]
    pub(crate) password: String,
}

/// What a session begins with that was asked for by mail.
#[derive(Debug, Deserialize, Serialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MailedSignIn)]
pub(crate) struct MailedSignIn {
    /// The id of the challenge.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100)]
    pub(crate) challenge: String,
    /// The six digits of the mail, or the token of its link together with `nonce`.
    #[garde(custom(check::characters(1, 100)))]
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 100, example = "123456")]
    pub(crate) code: String,
    /// The nonce of the challenge.
    #[garde(inner(custom(check::characters(1, 100))))]
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub(crate) nonce: Option<String>,
    /// The `device` of an earlier session of this account on this device.
    #[garde(inner(custom(check::characters(0, 400))))]
    #[serde(default)]
    #[schema(max_length = 400)]
    pub(crate) device: Option<String>,
    /// The six digits of the authenticator or a recovery code, if the account has a second factor.
    #[garde(inner(custom(check::characters(0, 40))))]
    #[serde(default)]
    #[schema(max_length = 40)]
    pub(crate) second_factor: Option<String>,
}

macro_rules! answers {
    ($($body:ty),+) => {
        $(impl $body {
            pub(crate) fn answer(&self) -> Answered<'_> {
                Answered {
                    challenge: &self.challenge,
                    code: &self.code,
                    nonce: self.nonce.as_deref(),
                }
            }
        })+
    };
}

answers!(EmailProof, PasswordReset, MailedSignIn);

/// Whether an address has been proved.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct EmailConfirmation {
    /// Whether the address is the account's now; `false` while the mail to the other address has to be answered too.
    pub verified: bool,
}

/// The key of a challenge.
pub(crate) fn key(id: &str) -> Key {
    Key::of("challenge", id)
}

/// What a digest is of: a secret of one challenge is of no use for another.
fn input(id: &str, secret: &str) -> Vec<u8> {
    format!("challenge\n{id}\n{secret}").into_bytes()
}

fn six_digits(platform: &Platform) -> String {
    let number = u64::from_le_bytes(random::bytes(&*platform.random)) % 1_000_000;
    format!("{number:06}")
}

/// Creates a challenge, and the message of the job that mails its codes and links to these addresses.
pub(crate) fn begin(
    tx: &Transaction<IdentityError>,
    purpose: Purpose,
    account: Option<&Account>,
    emails: &[&str],
) -> Result<ShownChallenge, Failure> {
    let id = id::new("chl", &*tx.clock, &*tx.random);
    let (nonce, _) = secret(tx);
    let mut mailed = Vec::with_capacity(emails.len());
    let sides = emails.iter().map(|email| {
        let (code, (token, _)) = (six_digits(tx), secret(tx));
        let side = Side {
            email: (*email).to_owned(),
            code: tx.keys.digest(&input(&id, &code)),
            token: tx.keys.digest(&input(&id, &token)),
            has_answered: false,
        };
        mailed.push(Mailed { code, token });
        side
    });
    let sides = sides.collect();
    let expires_at = clock::after(tx.now(), SECONDS);
    let challenge = Challenge {
        purpose,
        account: account.map(|account| account.profile.id.clone()),
        generation: account.map(|account| account.generation),
        nonce: tx.keys.digest(&input(&id, &nonce)),
        sides,
        wrong: 0,
        expires_at,
    };
    tx.create(key(&id), challenge).expires_at(expires_at).or_retry();
    let secrets = tx.keys.seal(&serde_json::to_vec(&mailed)?, &*tx.random);
    let letter = Letter::Challenge {
        challenge: id.clone(),
        secrets: secrets.ok_or_else(|| Failure::Internal("secrets cannot be sealed".into()))?,
    };
    tx.send(tx.message(&SendLetter(letter))?);
    tx.seal_result();
    Ok(ShownChallenge { id, nonce, expires_at })
}

/// The challenge of this purpose that is answered rightly, and the side that answers. Counts a wrong answer.
pub(crate) async fn answered(
    tx: &Transaction<IdentityError>,
    purpose: Purpose,
    answer: &Answered<'_>,
) -> Result<Option<(Stored<Challenge>, usize)>, Failure> {
    let id = answer.challenge;
    if !id::is("chl", id) {
        return Ok(None);
    }
    let Some(challenge) = tx.read::<Challenge>(key(id)).await? else {
        return Ok(None);
    };
    if challenge.purpose != purpose || challenge.wrong >= MAX_WRONG || challenge.expires_at <= tx.now() {
        return Ok(None);
    }
    if let Some(side) = challenge.side_of_link(tx, id, answer) {
        return Ok(Some((challenge, side)));
    }
    // Whoever begins many challenges has no more guesses.
    for side in &challenge.sides {
        tx.count(&MAILED_CODES, &email_key(&side.email).pk).await?;
    }
    if let Some(side) = challenge.side_of_code(tx, id, answer) {
        return Ok(Some((challenge, side)));
    }
    let wrong = Challenge {
        wrong: challenge.wrong.saturating_add(1),
        ..challenge.value.clone()
    };
    tx.update(&challenge.document, wrong).or_retry();
    Ok(None)
}

impl Challenge {
    /// The same, as it was mailed to this account.
    pub(crate) fn bound_to(&self, account: &Account) -> Self {
        Self {
            generation: Some(account.generation),
            ..self.clone()
        }
    }

    /// Whether the account is as it was when it asked, or was mailed.
    pub(crate) fn is_of(&self, account: &Account) -> bool {
        account.active
            && self
                .generation
                .is_none_or(|generation| generation == account.generation)
    }

    /// The side whose mail has this code.
    fn side_of_code(&self, cx: &Context, id: &str, answer: &Answered<'_>) -> Option<usize> {
        let code = plain(answer.code);
        let mut sides = self.sides.iter();
        sides.position(|side| cx.keys.is_digest(&side.code, &input(id, &code)))
    }

    /// The side whose mail has a link with this token, if the client is the one that asked.
    fn side_of_link(&self, cx: &Context, id: &str, answer: &Answered<'_>) -> Option<usize> {
        let is = |digest: &str, secret: &str| cx.keys.is_digest(digest, &input(id, secret));
        answer.nonce.filter(|nonce| is(&self.nonce, nonce))?;
        let token = plain(answer.code);
        self.sides.iter().position(|side| is(&side.token, &token))
    }
}

/// A code without the spaces that it is written with.
fn plain(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace()).collect()
}
