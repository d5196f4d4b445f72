//! `Mail` over SES (API version 2).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use souk_core::Clock;
use souk_core::mail::{Email, Mail, MailError};

use crate::Settings;
use crate::answer::text;
use crate::call::Failure;
use crate::sign::{Signer, Wire};

/// SES in the region of the stack.
pub struct Ses {
    url: String,
    from: String,
    timeout: Duration,
    signer: Signer,
    wire: Wire,
}

impl Ses {
    /// SES, for mails from the address `from`, which must be a verified identity there.
    #[must_use]
    pub fn new(settings: &Settings, from: &str, clock: Arc<dyn Clock>) -> Self {
        let default = || format!("https://email.{}.amazonaws.com", settings.region);
        let url = settings.ses.clone().unwrap_or_else(default);
        Self {
            url: format!("{}/v2/email/outbound-emails", url.trim_end_matches('/')),
            from: from.to_owned(),
            timeout: settings.timeout,
            signer: Signer::new(settings, "ses", clock),
            wire: Wire::new(settings),
        }
    }
}

#[async_trait]
impl Mail for Ses {
    async fn send(&self, email: Email) -> Result<(), MailError> {
        let part = |text: &str| json!({ "Data": text, "Charset": "UTF-8" });
        let body = json!({
            "FromEmailAddress": self.from,
            "Destination": { "ToAddresses": [email.to] },
            "Content": { "Simple": {
                "Subject": part(&email.subject),
                "Body": { "Text": part(&email.text), "Html": part(&email.html) },
            } },
        });
        let body = Bytes::from(body.to_string());
        let headers = [("content-type", "application/json")];
        let call = self
            .wire
            .call(Some(&self.signer), "POST", &self.url, &headers, body, self.timeout);
        let answer = call.await.map_err(unavailable)?;
        match answer.status().as_u16() {
            200..300 => Ok(()),
            status => Err(MailError::of_status(status, &text(answer).await.map_err(unavailable)?)),
        }
    }
}

fn unavailable(failure: Failure) -> MailError {
    MailError::Unavailable(match failure {
        Failure::Passing(why) => why,
        Failure::Lasting(error) => error.to_string(),
        Failure::Conditions(_) => "the answer makes no sense".into(),
    })
}
