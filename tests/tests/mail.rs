//! The adapters of `Mail` against programs that take mails.
//!
//! | variable | what |
//! | --- | --- |
//! | `SOUK_TEST_SMTP` | `host:port` of an SMTP server that keeps mails in a Maildir |
//! | `SOUK_TEST_MAILDIR` | that Maildir |
//! | `SOUK_TEST_SES` | an emulator of SES that sends through the same server |
//!
//! Without them the tests say "skipped" and pass; with `SOUK_TEST_ALL=1` they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use souk_core::mail::{Email, Mail, MailError};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::{Outbound, Timestamp};
use souk_mail::{HttpApi, Smtp};
use souk_tests::client::unique;

const FROM: &str = "no-reply@souk.example";

fn email(subject: &str) -> Email {
    Email {
        id: unique("msg"),
        to: "ada@example.com".into(),
        subject: subject.to_owned(),
        text: "Your code is 123 456.\n\n. A line that begins with a dot\n".into(),
        html: "<p>Your code is <b>123 456</b>.</p>".into(),
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

fn setting(name: &str) -> Option<String> {
    let value = env::var(name).ok();
    assert!(value.is_some() || env::var("SOUK_TEST_ALL").is_err(), "set {name}");
    if value.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: set {name}");
    }
    value
}

/// The mail in the Maildir that has this text in it.
fn received(maildir: &str, text: &str) -> String {
    for _ in 0..400 {
        let entries = fs::read_dir(Path::new(maildir).join("new"))
            .into_iter()
            .flatten()
            .flatten();
        let mut mails = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        if let Some(mail) = mails.find(|mail| mail.contains(text)) {
            return mail;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no mail has {text:?}");
}

#[tokio::test]
async fn smtp_delivers_both_forms_of_a_mail() {
    let (Some(server), Some(maildir)) = (setting("SOUK_TEST_SMTP"), setting("SOUK_TEST_MAILDIR")) else {
        return;
    };
    let smtp = Smtp::new(&format!("smtp://{server}"), FROM, true).unwrap();
    let sent = email("Vendu \u{2713}");
    smtp.send(sent.clone()).await.unwrap();
    let mail = received(&maildir, &sent.id);
    for part in [
        "From: no-reply@souk.example",
        "To: ada@example.com",
        "Subject: Vendu =?utf-8?b?",
        &format!("Message-ID: <{}@souk.example>", sent.id),
        "multipart/alternative",
        "Your code is 123 456.",
        ". A line that begins with a dot",
        "<p>Your code is <b>123 456</b>.</p>",
    ] {
        assert!(mail.to_lowercase().contains(&part.to_lowercase()), "{part}\n{mail}");
    }
    // What would end a header begins no other.
    let subject = "One\r\nBcc: eve@example.com";
    let strange = email(subject);
    if smtp.send(strange.clone()).await.is_ok() {
        let mail = received(&maildir, &strange.id);
        assert!(
            !mail.lines().any(|line| line.to_lowercase().starts_with("bcc:")),
            "{mail}"
        );
    }
    let nobody = Email {
        to: "not an address".into(),
        ..email("x")
    };
    assert!(matches!(smtp.send(nobody).await, Err(MailError::Refused(_))));
    // A server that demands no TLS is taken on this machine only.
    let strict = Smtp::new(&format!("smtp://{server}"), FROM, false).unwrap();
    assert!(matches!(
        strict.send(email("x")).await,
        Err(MailError::Unavailable(_) | MailError::Refused(_))
    ));
    let gone = Smtp::new("smtp://127.0.0.1:9", FROM, true).unwrap();
    assert!(matches!(gone.send(email("x")).await, Err(MailError::Unavailable(_))));
}

#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn ses_takes_mails_from_addresses_that_it_has_verified() {
    use souk_aws::{Ses, Settings, SystemClock};

    let (Some(emulator), Some(maildir)) = (setting("SOUK_TEST_SES"), setting("SOUK_TEST_MAILDIR")) else {
        return;
    };
    let from = format!("{}@souk.example", unique("from"));
    let ses = Ses::new(&Settings::emulator(&emulator), &from, Arc::new(SystemClock));
    let sent = email(&unique("Subject"));
    assert!(matches!(ses.send(sent.clone()).await, Err(MailError::Refused(_))));
    let verify = format!("Action=VerifyEmailIdentity&Version=2010-12-01&EmailAddress={from}");
    let request = reqwest::Client::new()
        .post(&emulator)
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20261201/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(verify);
    assert!(request.send().await.unwrap().status().is_success());
    ses.send(sent.clone()).await.unwrap();
    let mail = received(&maildir, &sent.subject);
    assert!(mail.contains(&from) && mail.contains("ada@example.com"), "{mail}");
    let gone = Ses::new(&Settings::emulator("http://127.0.0.1:9"), &from, Arc::new(SystemClock));
    assert!(matches!(gone.send(sent).await, Err(MailError::Unavailable(_))));
}

/// Answers every call with this status.
struct Provider(u16, Mutex<Vec<Call>>);

#[async_trait]
impl Outbound for Provider {
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        self.1.lock().unwrap().push(call);
        match self.0 {
            0 => Err(OutboundError::TimedOut),
            status => Ok(Reply {
                status,
                headers: Vec::new(),
                body: b"{\"id\":\"1\"}".to_vec(),
                truncated: false,
            }),
        }
    }
}

#[tokio::test]
async fn an_api_gets_one_mail_and_knows_it_again() {
    for (status, expected) in [
        (200, "sent"),
        (202, "sent"),
        (422, "refused"),
        (403, "later"),
        (429, "later"),
        (503, "later"),
        (0, "later"),
    ] {
        let provider = Arc::new(Provider(status, Mutex::default()));
        let api = HttpApi::new(provider.clone(), "https://mail.example/emails", Some("key"), FROM);
        let sent = email("Hello");
        let found = match api.send(sent.clone()).await {
            Ok(()) => "sent",
            Err(MailError::Refused(_)) => "refused",
            Err(MailError::Unavailable(_)) => "later",
        };
        assert_eq!(found, expected, "{status}");
        let calls = provider.1.lock().unwrap();
        let call = &calls[0];
        let header = |name: &str| {
            call.headers
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        assert_eq!(header("authorization").as_deref(), Some("Bearer key"));
        assert_eq!(header("idempotency-key"), Some(sent.id));
        let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({ "from": FROM, "to": ["ada@example.com"], "subject": "Hello", "text": sent.text, "html": sent.html })
        );
    }
}
