//! Mails. Jobs send them, so that no request waits for a provider.
//!
//! Without a provider, in development on the machine itself, mails are kept for a day and shown at `/dev/mail`.

use souk_core::mail::{Email, MailError};
use souk_core::{Key, Query, clock};

use super::{Context, Failure};

/// The partition of the mails that nobody sends.
const KEPT: &str = "dev-mail";
/// The partition of those to an address: what expires has no entries in an index.
fn to_address(address: &str) -> String {
    format!("dev-mail-to/{address}")
}
const KEPT_SECONDS: i64 = 24 * 3600;
/// How many of them are shown.
const SHOWN: usize = 100;

impl Context {
    /// Whether mails can be sent. Requests ask this before they promise one.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        self.settings.mail.is_some() || self.settings.keeps_mail
    }

    /// Sends a mail. If this fails, it may be tried again with the same [`Email::id`].
    pub async fn send_mail(&self, email: Email) -> Result<(), MailError> {
        match &self.platform().mail {
            Some(mail) => mail.send(email).await,
            None if self.settings.keeps_mail => self
                .keep(email)
                .await
                .map_err(|e| MailError::Unavailable(e.to_string())),
            None => Err(MailError::Refused("SOUK_MAIL_URL is not set".into())),
        }
    }

    async fn keep(&self, email: Email) -> Result<(), Failure> {
        let (email, apart) = (&email, self.apart());
        let kept = apart.commit(|tx| async move {
            let sort = format!("{:015} {}", email.sent_at.as_millisecond(), email.id);
            for partition in [KEPT.to_owned(), to_address(&email.to)] {
                tx.put(Key::new(partition, sort.clone()), email.clone())
                    .expires_at(clock::after(tx.now(), KEPT_SECONDS))
                    .always();
            }
            Ok::<_, Failure>(())
        });
        kept.await
    }

    /// The last mails, to this address or to all, that were kept in the place of being sent, the latest first; `None` if this host
    /// sends them.
    pub async fn kept_mails(&self, to: Option<&str>) -> Result<Option<Vec<Email>>, Failure> {
        if !self.settings.keeps_mail {
            return Ok(None);
        }
        let query = Query {
            descending: true,
            ..match to {
                Some(to) => Query::partition(to_address(to), SHOWN),
                None => Query::partition(KEPT, SHOWN),
            }
        };
        let page = self.query(&query).await?;
        let mails = page.items.iter().map(|item| item.document.parse());
        Ok(Some(mails.collect::<Result<_, _>>()?))
    }
}
