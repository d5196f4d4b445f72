//! The job that writes mails to the owners of accounts.

use serde::{Deserialize, Serialize};
use souk_core::kind::owner_of;
use souk_core::mail::{Email, MailError};
use souk_core::queue::Payload;
use souk_core::{Lane, Message, Timestamp};
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, Retries};
use souk_kit::{Context, Failure};
use souk_model::identity::ACCOUNT;

use crate::account::{Account, email_key};
use crate::challenge::{self, Challenge, Mailed, Purpose};
use crate::mails::{self, Text};
use crate::operations::{find_by_email, may_have_mail};

/// The delay after each failed attempt, in seconds. A code is of use for half an hour.
const SCHEDULE: Retries = Retries::Schedule(&[2, 10, 30, 120, 300, 600]);

/// A mail to be written and sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct SendLetter(pub(crate) Letter);

/// What a mail is about. It has no address: who gets it is read when it is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub(crate) enum Letter {
    /// The codes and links of a challenge.
    Challenge {
        challenge: String,
        /// What the mails say, sealed.
        secrets: String,
    },
    /// What was done in an account.
    Deed { account: String, deed: Deed, at: Timestamp },
}

/// What was done in an account, that its owner should hear of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(crate) enum Deed {
    /// A sign-in on a device that the account did not know.
    NewDevice { agent: Option<String> },
    /// A new password, by who knew the former one.
    PasswordChanged,
    /// A new password, by who had the mail.
    PasswordReset,
    /// A personal access token was made, or got another secret.
    TokenMade,
    /// The recovery codes were replaced.
    RecoveryCodesRenewed,
    /// Sign-ins ask for a code.
    SecondFactorEnabled,
    /// Sign-ins ask for no code any more.
    SecondFactorDisabled,
}

impl Payload for SendLetter {
    const JOB: &'static str = "identity.mail";
    // It waits for others.
    const LANE: Lane = Lane::Notifications;
}

pub(crate) fn jobs() -> Vec<Job> {
    vec![Job::single("Writes a mail to the owner of an account.", send).retries(SCHEDULE)]
}

async fn send(tx: JobTransaction, letter: SendLetter, message: Message) -> Result<JobOutput, JobError> {
    match letter.0 {
        Letter::Challenge { challenge, secrets } => challenged(&tx, &message, &challenge, &secrets).await?,
        Letter::Deed { account, deed, at } => tell(&tx, &message, &account, mails::deed(&deed, at)).await?,
    }
    Ok(JobOutput::default())
}

/// Mails the codes and links of a challenge, or what is true instead.
async fn challenged(cx: &JobTransaction, message: &Message, id: &str, secrets: &str) -> Result<(), JobError> {
    // Answered or expired.
    let Some(challenge) = cx.read::<Challenge>(challenge::key(id)).await? else {
        return Ok(());
    };
    let secrets = cx.keys.open(secrets);
    let secrets: Option<Vec<Mailed>> = secrets.and_then(|secrets| serde_json::from_slice(&secrets).ok());
    let account = ACCOUNT.key(challenge.account.as_deref().unwrap_or_default());
    let account = cx.read::<Account>(account).await?;
    let username = account.as_ref().map_or("", |account| &account.profile.username);
    let secrets = secrets.ok_or_else(|| JobError::Fatal("the secrets were sealed with another key".into()))?;
    let new = challenge.sides.last().map_or("", |side| &side.email);
    for (n, (side, mailed)) in challenge.sides.iter().zip(&secrets).enumerate() {
        let link = format!(
            "{}/account#{}/{id}/{}",
            cx.settings.public_url,
            challenge.purpose.name(),
            mailed.token
        );
        let purpose = challenge.purpose;
        // Never to an address as somebody typed it: two that are compared alike need not be of the same mailbox.
        let mut to = side.email.clone();
        let text = match purpose {
            Purpose::VerifyEmail | Purpose::ChangeEmail => {
                let is_new = n + 1 == challenge.sides.len();
                if is_new && is_verified(account.as_deref(), &side.email) {
                    None
                } else if is_new && is_of_another(cx, &side.email, challenge.account.as_deref()).await? {
                    Some(mails::known(&cx.settings.public_url))
                } else if is_new {
                    Some(mails::verify(username, &mailed.code, &link))
                } else {
                    Some(mails::leave(new, &mailed.code, &link))
                }
            }
            Purpose::ResetPassword | Purpose::SignIn => {
                let found = find_by_email(cx, &side.email).await?;
                let found = found.filter(|account| may_have_mail(account, purpose));
                if let Some(account) = &found {
                    cx.update(&challenge.document, challenge.bound_to(account)).or_retry();
                }
                found.map(|account| {
                    to.clone_from(&account.email);
                    match purpose {
                        Purpose::ResetPassword => mails::reset(&mailed.code, &link),
                        _ => mails::sign_in(&mailed.code, &link),
                    }
                })
            }
        };
        if let Some(text) = text {
            post(cx, format!("{}.{n}", message.id), &to, text).await?;
        }
    }
    Ok(())
}

/// Whether this account has verified this address meanwhile.
fn is_verified(account: Option<&Account>, email: &str) -> bool {
    account.is_some_and(|account| account.email == email && account.email_verified_at.is_some())
}

/// Whether an address is verified by an account other than this one.
async fn is_of_another(cx: &Context, email: &str, account: Option<&str>) -> Result<bool, Failure> {
    let owner = owner_of(cx.get(email_key(email)).await?.as_ref())?;
    match owner.filter(|owner| Some(owner.as_str()) != account) {
        Some(owner) => {
            let other = cx.read::<Account>(ACCOUNT.key(&owner)).await?;
            Ok(other.is_some_and(|other| other.email_verified_at.is_some()))
        }
        None => Ok(false),
    }
}

/// Tells an account something, if its address is verified.
async fn tell(cx: &Context, message: &Message, account: &str, text: Text) -> Result<(), JobError> {
    match cx.read::<Account>(ACCOUNT.key(account)).await? {
        Some(account) if account.email_verified_at.is_some() => {
            post(cx, message.id.clone(), &account.email, text).await
        }
        _ => Ok(()),
    }
}

async fn post(cx: &Context, id: String, to: &str, text: Text) -> Result<(), JobError> {
    let email = Email {
        id,
        to: to.to_owned(),
        subject: text.subject,
        text: text.text,
        html: text.html,
        sent_at: cx.now(),
    };
    match cx.send_mail(email).await {
        Ok(()) => Ok(()),
        // Another attempt would get the same answer.
        Err(MailError::Refused(why)) => {
            tracing::warn!(why = masked(&why), "a mail was refused");
            Ok(())
        }
        Err(MailError::Unavailable(why)) => Err(JobError::Retry(masked(&why))),
    }
}

/// What a provider says, without addresses: it ends in the log.
fn masked(why: &str) -> String {
    let words = why.split_whitespace();
    let words = words.map(|word| if word.contains('@') { "…@…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
