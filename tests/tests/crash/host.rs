//! The server that is killed, and calls to it that survive its death.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

const ADMIN: &str = "admin@crash.test";
/// The username of the admin.
pub(crate) const ADMIN_NAME: &str = "keeper";
const PASSWORD: &str = "twist every dial";
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it dies with this.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts it on this data and waits until it is ready. With `synchronous` its files lose what it does not sync.
    pub(crate) async fn start(binary: &Path, data: &Path, synchronous: Option<&str>) -> Self {
        let said = data.with_extension("log");
        let mut command = Command::new(binary);
        if let Some(level) = synchronous {
            command
                .env("SOUK_TEST_POWER_LOSS", "1")
                .env("SOUK_TEST_SYNCHRONOUS", level);
        }
        let child = command
            .args(["serve", "--no-demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("SOUK_FIRST_ADMIN", ADMIN)
            // Each start listens at another port, and tokens are of one URL.
            .env("SOUK_PUBLIC_URL", "http://127.0.0.1")
            .env("SOUK_LOG", "warn")
            // All requests come from one address.
            .env("SOUK_LIMITS", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            url: String::new(),
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&said).unwrap();
            // It chose a free port and says which.
            let greeting = text.split_once("open at ").and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((url, _)) = greeting {
                server.url = url.trim().to_owned();
                let ready = server.api().send(Method::GET, "/readyz", None, None).await;
                if ready.is_some_and(|reply| reply.status == 200) {
                    return server;
                }
            }
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "it does not start ({ended:?}): {text}"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Its resident memory, in megabytes; where the system tells.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator would; all that it has is in its files then.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Anonymous calls.
    pub(crate) fn api(&self) -> Api {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Api {
            http,
            url: self.url.clone(),
            token: None,
            id: String::new(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Calls of one caller.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
    /// The caller's account.
    pub(crate) id: String,
}

/// An answer that has arrived whole.
pub(crate) struct Reply {
    status: u16,
    /// Whether it is the answer to an earlier request of the same `Idempotency-Key`.
    pub(crate) replayed: bool,
    json: Value,
    what: String,
}

impl Reply {
    /// What it says, if its status is this one.
    pub(crate) fn expect(self, status: u16) -> Result<Value, String> {
        if self.status == status {
            Ok(self.json)
        } else {
            Err(format!("{} answered {}: {}", self.what, self.status, self.json))
        }
    }
}

impl Api {
    /// `None` if the server died before the last byte.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Option<Reply> {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        loop {
            let response = request.try_clone()?.send().await.ok()?;
            let status = response.status().as_u16();
            let replayed = response.headers().contains_key("idempotency-replayed");
            let json: Value = serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default();
            // The machine does other things as well. What was refused so was not begun.
            if status == 503 && json["code"] == "overloaded" {
                tokio::time::sleep(Duration::from_millis(300)).await;
                continue;
            }
            return Some(Reply {
                status,
                replayed,
                json,
                what,
            });
        }
    }

    /// What is there, if anything.
    pub(crate) async fn show(&self, path: &str) -> Result<Option<Value>, String> {
        let reply = self.send(Method::GET, path, None, None).await.ok_or("no answer")?;
        if reply.status == 404 {
            Ok(None)
        } else {
            reply.expect(200).map(Some)
        }
    }

    /// Adds something before the load begins.
    pub(crate) async fn add(&self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, None, Some(&body))
            .await
            .unwrap()
            .expect(201)
            .unwrap()
    }

    /// Signs somebody up.
    pub(crate) async fn sign_up(&self, email: &str, username: &str) -> Value {
        let new = json!({ "email": email, "username": username, "password": PASSWORD });
        self.add("/v1/accounts", new).await
    }

    /// Signs up the admin, who has to verify the address.
    pub(crate) async fn sign_up_admin(&self) {
        let account = self.sign_up(ADMIN, ADMIN_NAME).await;
        let challenge = account["email_verification"]["id"].as_str().unwrap();
        let end = Instant::now() + PATIENCE;
        let text = loop {
            let mails = self
                .send(Method::GET, "/dev/mail/messages", None, None)
                .await
                .unwrap()
                .json;
            let texts = mails
                .as_array()
                .unwrap()
                .iter()
                .map(|mail| mail["text"].as_str().unwrap().to_owned());
            if let Some(text) = texts.into_iter().find(|text| text.contains(challenge)) {
                break text;
            }
            assert!(Instant::now() < end, "no mail comes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let code: String = text
            .split(" is ")
            .nth(1)
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .take(6)
            .collect();
        let proof = json!({ "challenge": challenge, "code": code });
        let done = self
            .send(Method::POST, "/v1/email-confirmations", None, Some(&proof))
            .await;
        assert_eq!(done.unwrap().status, 200);
    }

    /// The same calls by somebody who has signed up.
    pub(crate) async fn sign_in(&self, username: &str) -> Self {
        let credentials = json!({ "username": username, "password": PASSWORD });
        let tokens = self.add("/v1/sessions", credentials).await;
        let token = tokens["access_token"].as_str().map(str::to_owned);
        Self { token, ..self.clone() }
    }

    /// The same calls by somebody new.
    pub(crate) async fn author(&self, username: String) -> Self {
        let email = format!("{username}@crash.test");
        let account = self.sign_up(&email, &username).await;
        let id = account["id"].as_str().unwrap().to_owned();
        Self {
            id,
            ..self.sign_in(&username).await
        }
    }

    /// The same caller at the server that `other` calls.
    pub(crate) fn at(&self, other: &Api) -> Self {
        Self {
            http: other.http.clone(),
            url: other.url.clone(),
            ..self.clone()
        }
    }
}
