//! Mail over SMTP.

use std::time::Duration;

use async_trait::async_trait;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use souk_core::mail::{Email, Mail, MailError};

const TIMEOUT: Duration = Duration::from_secs(15);

/// An SMTP server.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
}

impl Smtp {
    /// The server at `smtp://user:password@host:587` or `smtps://…`, for mails from the address `from`. `smtp` begins without TLS and
    /// goes on with it, but with a server on this machine (`is_local`).
    pub fn new(url: &str, from: &str, is_local: bool) -> Result<Self, String> {
        let query = url.split_once('?').map(|(_, query)| query);
        let says_tls = query.is_some_and(|query| query.contains("tls="));
        let tls = match url.starts_with("smtp://") && !says_tls && !is_local {
            true if query.is_some() => "&tls=required",
            true => "?tls=required",
            false => "",
        };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&format!("{url}{tls}"));
        // The error may have the URL, which has a password.
        let transport = transport.map_err(|_| "SOUK_MAIL_URL: is not the URL of an SMTP server")?;
        let from: Mailbox = from.parse().map_err(|_| "SOUK_MAIL_FROM: is not an address")?;
        Ok(Self {
            transport: transport.timeout(Some(TIMEOUT)).build(),
            domain: from.email.domain().to_owned(),
            from,
        })
    }
}

#[async_trait]
impl Mail for Smtp {
    async fn send(&self, email: Email) -> Result<(), MailError> {
        let refused = |why: String| MailError::Refused(why);
        let to: Mailbox = email
            .to
            .parse()
            .map_err(|_| refused("not an address for SMTP".into()))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(email.subject)
            // The same for each attempt.
            .message_id(Some(format!("<{}@{}>", email.id, self.domain)))
            .multipart(MultiPart::alternative_plain_html(email.text, email.html))
            .map_err(|e| refused(e.to_string()))?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() && !is_about_us(&error) => Err(refused(answer(&error))),
            Err(error) => Err(MailError::Unavailable(answer(&error))),
        }
    }
}

/// Whether the server refuses us rather than the mail: somebody will mend the password.
fn is_about_us(error: &smtp::Error) -> bool {
    let code = error.status().map(|code| code.to_string());
    code.is_some_and(|code| ["530", "534", "535", "538"].contains(&code.as_str()))
}

fn answer(error: &smtp::Error) -> String {
    let text: String = error.to_string().chars().take(200).collect();
    text
}
