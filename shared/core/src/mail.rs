//! The `Mail` port: sends one mail to one address.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A mail to one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Tells it from others: a mail that is sent again has the same id.
    pub id: String,
    /// The address.
    pub to: String,
    /// The subject, one line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same in HTML.
    pub html: String,
    /// When it was written.
    pub sent_at: Timestamp,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The provider will not take it, however often it is sent.
    #[error("refused: {0}")]
    Refused(String),
    /// The provider does not answer, or asks to try later.
    #[error("{0}")]
    Unavailable(String),
}

impl MailError {
    /// What the answer of a provider that speaks HTTP means.
    #[must_use]
    pub fn of_status(status: u16, body: &str) -> Self {
        let body: String = body.chars().take(200).collect();
        let why = format!("{status} {body}");
        match status {
            // That of a key that is being changed may be right in a minute.
            401 | 403 | 408 | 409 | 425 | 429 | 500.. => Self::Unavailable(why),
            _ => Self::Refused(why),
        }
    }
}

/// The port.
#[async_trait]
pub trait Mail: Send + Sync {
    /// Sends a mail. One that is sent again may arrive twice.
    async fn send(&self, email: Email) -> Result<(), MailError>;
}
