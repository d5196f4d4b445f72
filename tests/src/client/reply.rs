//! An answer, and what is true of every answer.

use std::collections::BTreeSet;
use std::ops::Index;
use std::sync::LazyLock;

use reqwest::Method;
use reqwest::header::{self, HeaderMap, HeaderName};
use serde_json::Value;

/// An answer that has been held to what is true of every answer:
///
/// - it names its request (`x-request-id`) and its place in a trace (`traceparent`);
/// - it says how it may be cached: never publicly if the request carried a credential or failed;
/// - it has the security headers;
/// - if it is an error it is a problem document with the request's id in it and codes that the API document lists, and never one
///   of ours (5xx);
/// - it says of what type it is, and what should have no body has none.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: String,
    /// The body, if it is JSON, else null.
    pub json: Value,
    /// For messages.
    what: String,
}

/// The codes that the API document lists.
pub struct Codes {
    /// Of problems.
    pub problems: BTreeSet<String>,
    /// Of faults of fields.
    pub fields: BTreeSet<String>,
}

/// The codes in the snapshot of the API document.
pub static CODES: LazyLock<Codes> = LazyLock::new(|| {
    let document = include_str!("../../../functions/ops/assets/openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let codes = |schema: &str| {
        let code = &document["components"]["schemas"][schema]["properties"]["code"];
        let (codes, about) = (
            code["enum"].as_array().unwrap(),
            code["x-enum-descriptions"].as_array().unwrap(),
        );
        assert_eq!(codes.len(), about.len(), "every code is explained");
        codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    };
    Codes {
        problems: codes("Problem"),
        fields: codes("FieldError"),
    }
});

impl Reply {
    /// Sends the request.
    pub(super) async fn of(http: &reqwest::Client, request: reqwest::Request) -> reqwest::Result<Self> {
        let what = format!("{} {}", request.method(), request.url());
        let what = what.chars().take(300).collect();
        let response = http.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?;
        let body = String::from_utf8(body.into()).unwrap();
        let json = serde_json::from_str(&body).unwrap_or_default();
        Ok(Self {
            status,
            headers,
            body,
            json,
            what,
        })
    }

    /// The answer, if its status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status, status,
            "{} answered {}: {:.2000}",
            self.what, self.status, self.body
        );
        self
    }

    /// The answer, if it is a problem of this status and code.
    #[track_caller]
    pub fn fails(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.json["code"], code, "{}: {}", reply.what, reply.body);
        reply
    }

    /// The answer, if it is an error of this status that names these fields and no other, in any order.
    #[track_caller]
    pub fn names(self, status: u16, fields: &[&str]) -> Self {
        let reply = self.expect(status);
        let mut named: Vec<_> = reply.errors().collect();
        let mut fields = fields.to_vec();
        named.sort_unstable();
        fields.sort_unstable();
        assert_eq!(named, fields, "{}: {}", reply.what, reply.body);
        reply
    }

    /// Whether the host had no time for the request, such as for the hash of a password, and did not begin it.
    pub(super) fn was_not_begun(&self) -> bool {
        self.json["code"] == "overloaded" || self.json["code"] == "busy"
    }

    /// The fields that it complains of.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        let errors = self.json["errors"].as_array().into_iter().flatten();
        errors.map(|error| error["field"].as_str().unwrap())
    }

    /// A header's value, empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A field that is text.
    #[track_caller]
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.json[field]
            .as_str()
            .unwrap_or_else(|| panic!("{}: no text {field:?} in {:.2000}", self.what, self.body))
    }

    /// The items of a list.
    #[track_caller]
    #[must_use]
    pub fn items(&self) -> &[Value] {
        self.json["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{}: no list: {:.2000}", self.what, self.body))
    }

    /// Panics unless all is true of it that must be of every answer.
    pub(super) fn check(self, request: &reqwest::Request) -> Self {
        if let Err(fault) = self.faults(request) {
            panic!(
                "{} answered {}: {fault}\n{:#?}\n{:.2000}",
                self.what, self.status, self.headers, self.body
            );
        }
        self
    }

    fn faults(&self, request: &reqwest::Request) -> Result<(), String> {
        let must = |ok: bool, rule: &str| if ok { Ok(()) } else { Err(rule.to_owned()) };
        // One that is empty may be lost on the way.
        let sent = |name: HeaderName| request.headers().get(name).is_some_and(|value| !value.is_empty());
        // The name server is not ours, and what an operator has switched off is not meant to answer.
        let is_theirs = self.json["code"] == "dns_unavailable" || self.json["code"] == "route_disabled";
        must(
            self.status < 500 || is_theirs,
            "no request may fail for a reason of ours",
        )?;

        must(!self.header("x-request-id").is_empty(), "x-request-id is missing")?;
        let trace: Vec<_> = self.header("traceparent").split('-').collect();
        let hex = |text: &&str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let lengths = trace.iter().map(|part| part.len()).eq([2, 32, 16, 2]);
        must(lengths && trace.iter().all(hex), "traceparent is not well-formed")?;

        let cache = self.header("cache-control");
        let good = matches!(self.status, 200..=299 | 301 | 304 | 308);
        let names_market = request.headers().contains_key("souk-tenant");
        // A rule of the gate has another answer for some clients.
        let is_for_some = self.header("vary").contains("x-app");
        if sent(header::AUTHORIZATION) || sent(header::COOKIE) || names_market || is_for_some {
            let is_kept =
                cache == "private, no-cache" && good && matches!(*request.method(), Method::GET | Method::HEAD);
            must(
                cache == "private, no-store" || is_kept,
                "what saw a credential, or is only for some, is private",
            )?;
        } else if cache != "no-store" {
            let public = cache.starts_with("public, max-age=0, s-maxage=");
            must(
                good && public && *request.method() != Method::POST,
                "this may not be cached so",
            )?;
        }
        for on in ["origin", "authorization"] {
            must(
                self.header("vary").contains(on),
                "vary must name what the answer depends on",
            )?;
        }

        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            must(self.header(name) == value, name)?;
        }
        must(
            self.header("content-security-policy").starts_with("default-src 'none'"),
            "content-security-policy",
        )?;
        let sets_cookie = matches!(request.url().path(), "/v1/sessions/cookie" | "/v1/sessions/current");
        must(sets_cookie || self.header("set-cookie").is_empty(), "no cookies")?;

        let kind = self.header("content-type").split(';').next().unwrap();
        let head = *request.method() == Method::HEAD;
        if head || matches!(self.status, 204 | 304) {
            return must(self.body.is_empty(), "a body where none may be");
        }
        must(!self.body.is_empty() && !kind.is_empty(), "no body, or one of no type")?;
        if kind == "application/json" {
            must(!self.json.is_null(), "this is not JSON")?;
            must(has_whole_times(&self.json), "times have three decimals")?;
        }
        if good {
            return Ok(());
        }
        must(kind == "application/problem+json", "not a problem document")?;
        must(self.json["status"] == self.status, "the problem's status is another")?;
        for field in ["type", "title", "code", "detail"] {
            must(self.json[field].as_str().is_some_and(|text| !text.is_empty()), field)?;
        }
        must(
            self.json["request_id"] == self.header("x-request-id"),
            "the problem is of another request",
        )?;
        let codes = &*CODES;
        must(
            codes.problems.contains(self.text("code")),
            "the API document has no such code",
        )?;
        let names = |error: &Value| {
            let code = error["code"].as_str().is_some_and(|code| codes.fields.contains(code));
            code && error["field"].is_string() && error["detail"].is_string()
        };
        must(
            self.json["errors"].as_array().is_none_or(|all| all.iter().all(names)),
            "errors name fields",
        )?;
        must(
            self.status != 401 || self.header("www-authenticate").starts_with("Bearer"),
            "a 401 says how to sign in",
        )?;
        must(
            self.status != 405 || !self.header("allow").is_empty(),
            "a 405 says what is allowed",
        )
    }
}

/// Whether all times in it are written like `2026-01-31T12:00:00.000Z`.
fn has_whole_times(json: &Value) -> bool {
    let is_time = |name: &str| name.ends_with("_at") || name == "timestamp";
    match json {
        Value::Array(all) => all.iter().all(has_whole_times),
        Value::Object(fields) => fields.iter().all(|(name, value)| match value.as_str() {
            Some(text) if is_time(name) => {
                text.len() == "2026-01-31T12:00:00.000Z".len()
                    && text.ends_with('Z')
                    && text.as_bytes().get(19) == Some(&b'.')
            }
            _ => has_whole_times(value),
        }),
        _ => true,
    }
}

impl Index<&str> for Reply {
    type Output = Value;

    fn index(&self, field: &str) -> &Value {
        &self.json[field]
    }
}
