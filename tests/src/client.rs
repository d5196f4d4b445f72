//! A client of a running market, as people use one:
//! `market.member().await` signs somebody up and in, `client.post("/v1/products", json).await.expect(201)` does something.
//!
//! Whatever a test is about, each answer is also held to what is true of all answers (see [`Reply`]).
//!
//! | variable | what | if it is not set |
//! | --- | --- | --- |
//! | `SOUK_URL` | the address of the host | every test says "skipped" and passes; with `SOUK_TEST_ALL=1` it fails |
//! | `SOUK_TEST_ADMIN_EMAIL` | what the host was started with as `SOUK_FIRST_ADMIN` | `admin@e2e.test` |
//! | `SOUK_TEST_ADMIN_PASSWORD` | the password to sign it up or in with | one of its own |
//! | `SOUK_TEST_HOST_HEADER` | the header that names a market's host: `souk-host` behind an API Gateway | `host` |

mod reply;

use std::env;
use std::future::IntoFuture;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

pub use reply::{CODES, Reply};

/// How often a [patient](Call::patient) call is sent again.
const PATIENCE: usize = 20;
/// How long the admin's access token is used: well below the ten minutes that it lives.
const FRESH: Duration = Duration::from_secs(300);

/// Why staff acts for somebody else.
const REASON: &str = "souk-reason";

/// How long what happens in the background may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// The market under test.
#[derive(Clone)]
pub struct Market {
    url: String,
    http: reqwest::Client,
    /// The host name of the market, if it is not the main one of the deployment.
    host: Option<String>,
}

/// The market at `SOUK_URL`, if there is one to test.
#[must_use]
pub fn market() -> Option<Market> {
    let Ok(url) = env::var("SOUK_URL") else {
        assert!(
            env::var("SOUK_TEST_ALL").is_err(),
            "set SOUK_URL to the address of a host"
        );
        // Not `eprintln`, which the test harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "skipped: set SOUK_URL to the address of a host");
        return None;
    };
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(120))
        // A connection for each request. Hosts close those that are idle, and a busy one may count one as idle whose next request
        // it has not come to read; who then wrote cannot tell whether it was heard.
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let url = url.trim_end_matches('/').to_owned();
    let host = None;
    Some(Market { url, http, host })
}

/// A word that no other test uses, beginning with `what`; it can be a slug or, if short, a username.
#[must_use]
pub fn unique(what: &str) -> String {
    format!("{what}-{:016x}", RandomState::new().build_hasher().finish())
}

/// A network address that no other client of this process is likely to have.
fn address() -> String {
    let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    format!("10.{a}.{b}.{c}")
}

/// What `look` finds, as soon as it does: for what happens in the background. Panics with what it says if it never does.
pub async fn eventually<T>(look: impl AsyncFn() -> Result<T, String>) -> T {
    let begin = Instant::now();
    let mut wait = Duration::from_millis(20);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(why) => assert!(begin.elapsed() < DEADLINE, "this has not become what it should: {why}"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(1));
    }
}

impl Market {
    /// The market of this deployment that has this host name.
    #[must_use]
    pub fn at(&self, host: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            ..self.clone()
        }
    }

    /// Somebody who has not signed in.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client {
            market: self.clone(),
            token: None,
            me: Value::Null,
            challenge: String::new(),
            password: String::new(),
            refresh_token: String::new(),
            device: String::new(),
            address: address(),
        }
    }

    /// Somebody who has just signed up and in.
    pub async fn member(&self) -> Client {
        let username = unique("m");
        let email = format!("{username}@example.com");
        let password = unique("password");
        let new = json!({ "email": email, "username": username, "password": password, "sign_in": true });
        let mut me = self.anonymous().post("/v1/accounts", new).await.expect(201).json;
        let session = me.as_object_mut().unwrap().remove("session").unwrap();
        let challenge = me["email_verification"]["id"].as_str().unwrap_or_default().to_owned();
        me.as_object_mut().unwrap().remove("email_verification");
        Client {
            me,
            challenge,
            ..self.of_session(&session, &password)
        }
    }

    /// Somebody who has just signed up and in, and has verified the address.
    pub async fn verified(&self) -> Client {
        let mut member = self.member().await;
        self.verify(member.text("email"), &member.challenge).await;
        member.me = member.get("/v1/me").await.expect(200).json;
        member
    }

    /// Confirms an address with the code that was mailed to it.
    pub async fn verify(&self, email: &str, challenge: &str) {
        let code = self.code(email, challenge).await;
        let proof = json!({ "challenge": challenge, "code": code });
        let done = self
            .anonymous()
            .post("/v1/email-confirmations", proof)
            .await
            .expect(200);
        assert_eq!(done.json["verified"], true);
    }

    /// The mails to an address that a host in development keeps, the latest first.
    pub async fn mails(&self, email: &str) -> Vec<Value> {
        let path = format!("/dev/mail/messages?to={}", email.replace('+', "%2B"));
        let mails = self.anonymous().get(&path).await.expect(200).json;
        mails.as_array().unwrap().clone()
    }

    /// The mail of a challenge to an address, when it is there.
    pub async fn mail(&self, email: &str, challenge: &str) -> String {
        eventually(async || {
            let mails = self.mails(email).await;
            let texts = mails.iter().map(|mail| mail["text"].as_str().unwrap());
            let mut texts = texts.filter(|text| text.contains(challenge));
            texts
                .next()
                .map(str::to_owned)
                .ok_or_else(|| format!("no mail to {email} has {challenge}"))
        })
        .await
    }

    /// The code of a challenge that was mailed to an address.
    pub async fn code(&self, email: &str, challenge: &str) -> String {
        let mail = self.mail(email, challenge).await;
        let code = mail.split(" is ").nth(1).unwrap().chars().filter(char::is_ascii_digit);
        code.take(6).collect()
    }

    /// Who has these tokens.
    #[must_use]
    pub fn of_session(&self, tokens: &Value, password: &str) -> Client {
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Client {
            refresh_token: text("refresh_token"),
            device: text("device"),
            password: password.to_owned(),
            ..self.with_token(&text("access_token"))
        }
    }

    /// So many members whom all tests share, for what anybody may do: each new account costs a password hash.
    pub async fn members(&self, count: usize) -> Vec<Client> {
        static MEMBERS: tokio::sync::Mutex<Vec<(Instant, Client)>> = tokio::sync::Mutex::const_new(Vec::new());
        let mut members = MEMBERS.lock().await;
        let known = std::mem::take(&mut *members).into_iter().map(Some);
        let fresh = known.chain(std::iter::repeat(None)).take(count.max(members.len()));
        let fresh = fresh.map(async |known| match known {
            Some((since, member)) if since.elapsed() < FRESH => (since, member),
            Some((_, member)) => {
                let since = Instant::now();
                let me = member.me.clone();
                let again = self.sign_in(member.text("username"), &member.password).await;
                (since, Client { me, ..again })
            }
            None => (Instant::now(), self.member().await),
        });
        *members = stream::iter(fresh).buffered(8).collect().await;
        let own = members.iter().take(count).map(|(_, member)| Client {
            market: self.clone(),
            ..member.clone()
        });
        own.collect()
    }

    /// A new session of the account with this username, or this verified address.
    pub async fn sign_in(&self, login: &str, password: &str) -> Client {
        let name = if login.contains('@') { "email" } else { "username" };
        let credentials = json!({ name: login, "password": password });
        let tokens = self.anonymous().post("/v1/sessions", credentials).await.expect(201);
        self.of_session(&tokens.json, password)
    }

    /// Somebody who shows this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Client {
        let token = Some(token.to_owned());
        Client {
            token,
            ..self.anonymous()
        }
    }

    /// The first admin, whose session all tests share.
    pub async fn admin(&self) -> Client {
        static SESSION: tokio::sync::Mutex<Option<(Instant, Client)>> = tokio::sync::Mutex::const_new(None);
        let mut session = SESSION.lock().await;
        let known = session.take().filter(|(since, _)| since.elapsed() < FRESH);
        let (since, admin) = match known {
            Some(known) => known,
            None => (Instant::now(), self.first_admin().await),
        };
        *session = Some((since, admin.clone()));
        // Connections belong to the test that opened them.
        Client {
            market: self.clone(),
            ..admin
        }
    }

    async fn first_admin(&self) -> Client {
        let email = env::var("SOUK_TEST_ADMIN_EMAIL").unwrap_or_else(|_| "admin@e2e.test".into());
        let password = env::var("SOUK_TEST_ADMIN_PASSWORD").unwrap_or_else(|_| "open sesame, e2e".into());
        let credentials = json!({ "email": email, "password": password });
        if self.anonymous().post("/v1/sessions", credentials).await.status != 201 {
            let new = json!({ "email": email, "username": unique("a"), "password": password });
            let me = self.anonymous().add("/v1/accounts", new).await;
            self.verify(&email, me["email_verification"]["id"].as_str().unwrap())
                .await;
        }
        let mut admin = self.sign_in(&email, &password).await;
        admin.me = admin.get("/v1/me").await.expect(200).json;
        assert_eq!(
            admin.me["roles"],
            json!(["admin"]),
            "the host must be started with SOUK_FIRST_ADMIN={email}"
        );
        admin
    }

    /// A new category with these attributes, by its id.
    pub async fn category(&self, attributes: Value) -> String {
        let new = json!({ "name": unique("Category"), "attributes": attributes });
        let category = self.admin().await.add("/v1/categories", new).await;
        category["id"].as_str().unwrap().to_owned()
    }
}

/// Somebody who calls the market.
#[derive(Clone)]
pub struct Client {
    market: Market,
    /// The access token it shows, if any.
    pub token: Option<String>,
    /// Its account, as its owner sees it.
    pub me: Value,
    /// The challenge that verifies its address.
    pub challenge: String,
    /// Its password.
    pub password: String,
    /// The refresh token it was given when it signed in.
    pub refresh_token: String,
    /// What its device is known by since then.
    pub device: String,
    /// Its network address, as the host under test sees it: limits count addresses.
    pub address: String,
}

impl Client {
    /// Its account's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.me["id"].as_str().unwrap()
    }

    /// A field of its account.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.me[field].as_str().unwrap()
    }

    /// The same without its token.
    #[must_use]
    pub fn signed_out(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    /// A request without a body.
    #[must_use]
    pub fn call(&self, method: Method, path: &str) -> Call {
        let url = format!("{}{path}", self.market.url);
        let mut request = self.market.http.request(method, url);
        if let Some(host) = &self.market.host {
            // An emulated API Gateway knows its API by `Host`.
            let name = env::var("SOUK_TEST_HOST_HEADER").unwrap_or_else(|_| HOST.to_string());
            request = request.header(name, host);
        }
        // Which of them counts depends on the host.
        let request = request
            .header("x-forwarded-for", &self.address)
            .header("cf-connecting-ip", &self.address);
        let request = match &self.token {
            // Staff says why it changes what is somebody else's.
            Some(token) => request
                .header(AUTHORIZATION, format!("Bearer {token}"))
                .header(REASON, "a test"),
            None => request,
        };
        let http = self.market.http.clone();
        Call {
            http,
            request,
            patient: false,
        }
    }

    /// Reads.
    #[must_use]
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Adds or does something.
    #[must_use]
    pub fn post(&self, path: &str, body: impl Into<Value>) -> Call {
        self.call(Method::POST, path).json(&body.into())
    }

    /// Changes something.
    #[must_use]
    pub fn patch(&self, path: &str, body: impl Into<Value>) -> Call {
        self.call(Method::PATCH, path).json(&body.into())
    }

    /// Removes something.
    #[must_use]
    pub fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    /// Does something that takes no body, such as publishing.
    #[must_use]
    pub fn act(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Adds something and says what it has become.
    pub async fn add(&self, path: &str, body: impl Into<Value>) -> Value {
        self.post(path, body).await.expect(201).json
    }

    /// A new draft in this category, with `more` of its fields.
    pub async fn draft(&self, category: &str, more: Value) -> Value {
        self.add("/v1/products", product(category, more)).await
    }

    /// A new published product in this category, with `more` of its fields.
    pub async fn published(&self, category: &str, more: Value) -> Value {
        let draft = self.draft(category, more).await;
        self.act(&format!("/v1/products/{}/publish", draft["id"].as_str().unwrap()))
            .await
            .expect(200)
            .json
    }

    /// What is at `path` as soon as `done` says so of it: for what happens in the background. Panics if it never does.
    pub async fn until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        eventually(async || {
            let found = self.get(path).patient().await.expect(200);
            let is_done = done(&found.json);
            is_done
                .then_some(found.json)
                .ok_or(format!("{path}: {:.2000}", found.body))
        })
        .await
    }

    /// Everything in a list, page by page, until there is no next cursor.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let mut page = self
                .get(&format!("{path}{mark}limit=100{cursor}"))
                .await
                .expect(200)
                .json;
            all.append(page["items"].as_array_mut().unwrap());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

/// What it takes to add a product: a title of its own, this category, a price, and `more`.
#[must_use]
pub fn product(category: &str, more: Value) -> Value {
    let mut product = json!({
        "title": unique("Product"),
        "category": category,
        "price": { "amount": 1999, "currency": "EUR" },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        product[name] = value.clone();
    }
    product
}

/// A request; `.await` sends it.
pub struct Call {
    http: reqwest::Client,
    request: reqwest::RequestBuilder,
    patient: bool,
}

impl Call {
    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request = match name {
            // In the place of the one that all requests of members have.
            REASON => {
                let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
                self.request
                    .headers(HeaderMap::from_iter([(HeaderName::from_static(REASON), value)]))
            }
            name => self.request.header(name, value.as_ref()),
        };
        self
    }

    /// With this `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With this body as JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With this body, whatever it is.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header(CONTENT_TYPE, content_type).body(body);
        self
    }

    /// For what may overload a host: sent again, when it is due, as long as the answer is 503, and when there is none, if
    /// it may be sent twice.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    async fn send(self) -> Reply {
        let request = self.request.build().unwrap();
        let repeatable = request.headers().contains_key("idempotency-key") || request.method() == Method::GET;
        let mut tries = if self.patient { PATIENCE } else { 0 };
        let mut overloads = PATIENCE;
        loop {
            let seconds = match Reply::of(&self.http, request.try_clone().unwrap()).await {
                Err(_) if tries > 0 && repeatable => 1,
                // The machine does other things as well. What was refused so was not begun.
                Ok(reply) if overloads > 0 && reply.status == 503 && reply.was_not_begun() => {
                    overloads -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                Ok(reply) if tries > 0 && reply.status == 503 => reply.header("retry-after").parse().unwrap(),
                result => {
                    return result
                        .unwrap_or_else(|error| panic!("{request:?}: {error:?}"))
                        .check(&request);
                }
            };
            tries -= 1;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
