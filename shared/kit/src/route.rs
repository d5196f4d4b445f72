//! The route table: one row per method and path, with everything that is true of it.
//!
//! A row cannot be written without saying who may call it. Routing, authorization, parameter checks, body limits, cache
//! policy and OpenAPI all read the same row, so none of them can disagree with another.
#![cfg_attr(
    not(feature = "openapi"),
    expect(dead_code, reason = "some fields are only for the document")
)]

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode, header};
use souk_core::Role;
use souk_core::freshness::relaxed;
#[cfg(feature = "openapi")]
use utoipa::openapi::RefOr;

use crate::body::Payload;
use crate::cache::{Wanted, labelled};
use crate::client::ClientAddress;
use crate::idempotency::Once;
use crate::work::schedule::Schedule;
use crate::work::{Job, Subscription};
use crate::{FieldError, Platform, Problem, viewer};

/// A function: a vertical slice of the API, deployed on its own or with others.
pub struct Function {
    /// Its name, as in `functions/{name}`.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Its rows.
    pub routes: Vec<Route>,
    /// What it does when a message asks for it.
    pub jobs: Vec<Job>,
    /// Which events its jobs want.
    pub subscriptions: &'static [Subscription],
    /// What it does when the clock asks for it.
    pub schedules: Vec<Schedule>,
}

impl Function {
    /// A function with routes and no jobs.
    #[must_use]
    pub fn new(name: &'static str, about: &'static str, routes: Vec<Route>) -> Self {
        Self {
            name,
            about,
            routes,
            jobs: Vec::new(),
            subscriptions: &[],
            schedules: Vec::new(),
        }
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, signed in or not.
    Public,
    /// Accounts with at least this role.
    Role(Role),
}

/// How long shared caches may keep an answer that was [`shared`](crate::Answer::shared).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Not at all.
    NoStore,
    /// At the CDN for so many seconds; browsers ask again each time.
    Public {
        /// Seconds at the CDN.
        s_maxage: u32,
        /// Seconds more during which a stale answer may be given while a fresh one is fetched.
        stale: u32,
    },
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name. One that ends in `.*` stands for all names with what is before the `*`.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its JSON schema.
    pub schema: &'static str,
}

impl Param {
    /// `limit` of every list.
    pub const LIMIT: Param = Param {
        name: "limit",
        about: "How many items at most.",
        schema: r#"{"type":"integer","minimum":1,"maximum":100,"default":20}"#,
    };
    /// `cursor` of every list.
    pub const CURSOR: Param = Param {
        name: "cursor",
        about: "The `next_cursor` of the page before.",
        schema: r#"{"type":"string","minLength":1,"maxLength":1400}"#,
    };
    /// `fields` of what can be trimmed.
    pub const FIELDS: Param = Param {
        name: "fields",
        about: "Only these fields, separated by commas.",
        schema: r#"{"type":"string","minLength":1}"#,
    };

    /// A parameter that is text.
    #[must_use]
    pub const fn text(name: &'static str, about: &'static str) -> Param {
        Param {
            name,
            about,
            schema: r#"{"type":"string","minLength":1}"#,
        }
    }

    fn is(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => self.name == name,
        }
    }
}

/// Schemas by name, as `utoipa` collects them.
#[cfg(feature = "openapi")]
pub(crate) type Schemas = Vec<(String, RefOr<utoipa::openapi::Schema>)>;

/// The JSON schema of a body.
#[derive(Clone)]
pub struct Schema {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    #[cfg(feature = "openapi")]
    pub(crate) collect: fn(&mut Schemas),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    Patch,
}

impl Schema {
    /// A `T`.
    #[must_use]
    pub fn of<T: utoipa::ToSchema>() -> Self {
        #[cfg(feature = "openapi")]
        let collect = |schemas: &mut Schemas| {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        };
        Self {
            name: T::name().into_owned(),
            shape: Shape::One,
            #[cfg(feature = "openapi")]
            collect,
        }
    }

    /// A page of `T`s.
    #[must_use]
    pub fn list_of<T: utoipa::ToSchema>() -> Self {
        Self {
            shape: Shape::List,
            ..Self::of::<T>()
        }
    }

    /// A merge patch of a `T`.
    #[must_use]
    pub fn patch_of<T: utoipa::ToSchema>() -> Self {
        Self {
            shape: Shape::Patch,
            ..Self::of::<T>()
        }
    }
}

/// One row of the table.
pub struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) policy: Policy,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) request: Option<Schema>,
    pub(crate) success: Vec<(StatusCode, &'static str, Option<Schema>)>,
    pub(crate) failures: Vec<StatusCode>,
    handler: Box<Answerer>,
}

/// What an axum handler is once it was called.
type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
/// A handler, whatever it takes of the request.
type Answerer = dyn Fn(Request, Arc<Platform>) -> Answering + Send + Sync;

/// What is checked before the handler runs, and what is known of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) cache: Cache,
    /// In bytes; 0 for a route that takes none.
    pub(crate) body: usize,
    pub(crate) params: &'static [Param],
}

impl Route {
    /// A row: this method and path, for these callers, answered by this handler.
    pub fn new<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = Answering>,
        T: 'static,
    {
        Self {
            method,
            path,
            policy: Policy {
                path,
                access,
                cache: Cache::NoStore,
                body: 0,
                params: &[],
            },
            summary: "",
            description: "",
            request: None,
            success: Vec::new(),
            failures: Vec::new(),
            handler: Box::new(move |request, platform| handler.clone().call(request, platform)),
        }
    }

    /// What it does, in a few words and, if need be, in a few more.
    #[must_use]
    pub fn about(mut self, summary: &'static str, description: &'static str) -> Self {
        self.summary = summary;
        self.description = description;
        self
    }

    /// The query parameters it knows. Any other is a 400.
    #[must_use]
    pub fn params(mut self, params: &'static [Param]) -> Self {
        self.policy.params = params;
        self
    }

    /// The body it takes, of at most `limit` bytes.
    #[must_use]
    pub fn takes(mut self, schema: Schema, limit: usize) -> Self {
        self.request = Some(schema);
        self.policy.body = limit;
        self
    }

    /// How its shared answers may be cached.
    #[must_use]
    pub fn cached(mut self, s_maxage: u32, stale: u32) -> Self {
        self.policy.cache = Cache::Public { s_maxage, stale };
        self
    }

    /// What it answers when all goes well.
    #[must_use]
    pub fn answers(mut self, status: StatusCode, about: &'static str, schema: Option<Schema>) -> Self {
        self.success.push((status, about, schema));
        self
    }

    /// How it can fail, beside what follows from its row.
    #[must_use]
    pub fn fails(mut self, statuses: &[StatusCode]) -> Self {
        self.failures.extend_from_slice(statuses);
        self
    }

    /// The answer of the handler, behind its policy.
    pub(crate) async fn run(&self, mut parts: Parts, credential: bool, platform: &Arc<Platform>) -> Response {
        let policy = self.policy;
        let wanted = parts.extensions.remove::<Wanted>();
        let is_public = matches!(policy.cache, Cache::Public { .. });
        match admit(&mut parts, platform, policy).await {
            Ok(None) => {}
            Ok(Some(answer)) => return answer.into_response(),
            Err(problem) => return problem.into_response(),
        }
        if !is_public || credential {
            return self.call(parts, platform).await;
        }
        match (wanted, &platform.cache) {
            // What everyone shall be answered is made of what was asked for, and not of who asks.
            (Some(Wanted(key)), Some(cache)) => {
                parts.headers.clear();
                parts.extensions.remove::<ClientAddress>();
                let make = relaxed(self.call(parts, platform));
                cache.fill(&key, policy, platform, make).await
            }
            _ if platform.is_tagged => labelled(relaxed(self.call(parts, platform))).await,
            _ => relaxed(self.call(parts, platform)).await,
        }
    }

    fn call(&self, parts: Parts, platform: &Arc<Platform>) -> Answering {
        (self.handler)(Request::from_parts(parts, Body::empty()), platform.clone())
    }
}

/// How large a body may be that nobody reads, in bytes.
const IGNORED_BODY: usize = 1024;

/// `Some` is an answer that makes the handler needless.
async fn admit(parts: &mut Parts, platform: &Arc<Platform>, policy: Policy) -> Result<Option<crate::Answer>, Problem> {
    let size = parts.extensions.get::<Payload>().map_or(0, |payload| payload.0.len());
    // What takes no body ignores one: many clients send `{}` with every POST.
    let limit = policy.body.max(IGNORED_BODY);
    if size > limit {
        let detail = format!("the body is larger than {limit} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    if let Access::Role(role) = policy.access {
        viewer::require(role, parts, platform).await?;
    }
    if size > 0 && policy.body > 0 && !is_json(parts) {
        let detail = "send the body as application/json";
        return Err(
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
                .field("Content-Type", detail),
        );
    }
    if let Some(query) = parts.uri.query() {
        let params = Params::parse(query, policy.params)?;
        parts.extensions.insert(params);
    }
    if parts.method == Method::POST {
        let once = Once::of(parts, platform)?;
        let replayed = once.replay().await?;
        parts.extensions.insert(once);
        return Ok(replayed);
    }
    Ok(None)
}

fn is_json(parts: &Parts) -> bool {
    let sent = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let essence = sent.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
        || (parts.method == Method::PATCH && essence.eq_ignore_ascii_case("application/merge-patch+json"))
}

/// The query parameters of a request, every one known to its route and given once.
#[derive(Clone, Debug, Default)]
pub struct Params(Arc<[(String, String)]>);

impl Params {
    fn parse(query: &str, known: &[Param]) -> Result<Self, Problem> {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let fault = if !known.iter().any(|param| param.is(&name)) {
                Some("is not a parameter of this route")
            } else if pairs.iter().any(|(other, _)| *other == name) {
                Some("is given twice")
            } else if value.is_empty() {
                Some("must not be empty")
            } else {
                None
            };
            match fault {
                Some(fault) => errors.push(FieldError {
                    field: name.into_owned(),
                    detail: fault.to_owned(),
                }),
                None => pairs.push((name.into_owned(), value.into_owned())),
            }
        }
        if errors.is_empty() {
            // The order in which they were sent means nothing.
            pairs.sort_unstable();
            return Ok(Self(pairs.into()));
        }
        let mut problem = Problem::bad_request("a parameter is not valid");
        problem.errors = errors;
        Err(problem)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All parameters whose name begins so, without that beginning.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Params>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_repeated_and_empty_parameters_are_all_named() {
        const KNOWN: &[Param] = &[Param::LIMIT, Param::text("attr.*", "")];
        let faults = |query: &str| -> Vec<String> {
            Params::parse(query, KNOWN)
                .unwrap_err()
                .errors
                .into_iter()
                .map(|e| e.field)
                .collect()
        };
        assert_eq!(
            faults("limit=1&limit=2&colour=red&attr.=x&attr.a="),
            ["limit", "colour", "attr.", "attr.a"]
        );
        let params = Params::parse("limit=5&attr.size=XL%20tall", KNOWN).unwrap();
        assert_eq!(params.get("limit"), Some("5"));
        assert_eq!(params.with_prefix("attr.").collect::<Vec<_>>(), [("size", "XL tall")]);
    }
}
