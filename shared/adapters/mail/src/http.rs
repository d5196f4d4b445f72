//! Mail over an HTTP API in the form that Resend made common: one `POST` of JSON, with an `Idempotency-Key`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use souk_core::Outbound;
use souk_core::mail::{Email, Mail, MailError};
use souk_core::outbound::{Call, USUAL_REPLY};

const TIMEOUT_MS: u32 = 10_000;

/// A provider of mail that speaks HTTP.
pub struct HttpApi {
    outbound: Arc<dyn Outbound>,
    url: String,
    key: Option<String>,
    from: String,
}

impl HttpApi {
    /// The API at `url`, to which `key` is a bearer token, for mails from the address `from`.
    #[must_use]
    pub fn new(outbound: Arc<dyn Outbound>, url: &str, key: Option<&str>, from: &str) -> Self {
        Self {
            outbound,
            url: url.to_owned(),
            key: key.map(str::to_owned),
            from: from.to_owned(),
        }
    }
}

#[async_trait]
impl Mail for HttpApi {
    async fn send(&self, email: Email) -> Result<(), MailError> {
        let body = json!({
            "from": self.from,
            "to": [email.to],
            "subject": email.subject,
            "text": email.text,
            "html": email.html,
        });
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("idempotency-key".to_owned(), email.id),
        ];
        if let Some(key) = &self.key {
            headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        }
        let call = Call {
            method: "POST".into(),
            url: self.url.clone(),
            headers,
            body: body.to_string(),
            timeout_ms: TIMEOUT_MS,
            max_reply: USUAL_REPLY,
        };
        let reply = self
            .outbound
            .call(call)
            .await
            .map_err(|error| MailError::Unavailable(error.to_string()))?;
        match reply.status {
            200..300 => Ok(()),
            status => Err(MailError::of_status(status, &reply.text())),
        }
    }
}
