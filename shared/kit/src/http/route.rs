//! The route table: one row per method and path, with its access, parameters, body, responses and cache policy.
//!
//! A row cannot be built without an [`Access`]. Routing, authorization, parameter checks, body limits, cache policy and
//! OpenAPI all read the same row, so they cannot contradict each other.
#![cfg_attr(
    not(feature = "openapi"),
    expect(dead_code, reason = "some fields are used only for OpenAPI")
)]

use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::{self, IntoResponse};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use souk_core::{Fault, Permission};

use super::answer::Shared;
use super::body::Payload;
use super::client::ClientAddress;
use super::exchange::Incoming;
use super::headers::{self, FromCache};
use super::params::{Param, QueryParams};
use super::schema::Schema;
use super::{Problem, problem_type, request, viewer};
use crate::cache::{CacheStatus, Joined, Lifetime, ReadLog, Reads};
use crate::limits::{By, Limit, Reach, network};
use crate::operation::audit::Origin;
use crate::operation::{Context, Failure};
use crate::platform::Platform;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone; credentials are ignored. For sign-in and health checks.
    Open,
    /// Anyone, signed in or not. An access token is optional and must be valid if it is sent.
    Public,
    /// Everybody who is signed in, and their programs with a personal access token.
    Member,
    /// Everybody who is signed in with a session: what is about the account itself.
    Session,
    /// Staff with this permission.
    Permission(&'static Permission),
}

/// How long shared caches may store a response that a [`Viewer`](super::Viewer) shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Not at all.
    NoStore,
    /// In the CDN; browsers revalidate each time, and may also keep what only they may see.
    Public {
        /// How long the response is fresh in the CDN, in seconds.
        s_maxage: u32,
        /// How long after that the CDN may serve it stale while it revalidates, in seconds.
        stale: u32,
    },
}

/// The requests by which subscribers get events: one of the `webhooks` of the document for each type of event.
pub struct Notification {
    /// The envelope of an event: an object with the name of its type in `type`, and its data in `data`.
    pub body: Schema,
    /// What the receiver must know.
    pub description: &'static str,
    /// The headers beside `Content-Type`, each with its description.
    pub headers: &'static [(&'static str, &'static str)],
}

/// One row of the table.
pub struct Route {
    /// The operation id in the OpenAPI document; empty if the document leaves the row out.
    pub(crate) id: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) policy: Policy,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) body: Option<Schema>,
    pub(crate) responses: Vec<Response>,
    pub(crate) errors: Vec<StatusCode>,
    /// How often a client may call it.
    pub(crate) limits: Vec<&'static Limit>,
    /// Whether the body of a response holds secrets: then it has no `ETag`, which would be a digest of them.
    pub(crate) is_secret: bool,
    handler: Box<HandlerFn>,
    /// The schemas of the parameters.
    schemas: Vec<Value>,
}

/// A response that a row declares.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) about: &'static str,
    pub(crate) schema: Option<Schema>,
    /// Whether it has the header `Location`.
    pub(crate) has_location: bool,
}

/// The future of an axum handler.
type HandlerFuture = Pin<Box<dyn Future<Output = response::Response> + Send>>;
/// A handler, whatever it extracts from the request.
type HandlerFn = dyn Fn(Request, Arc<Platform>) -> HandlerFuture + Send + Sync;

/// What is checked before the handler runs, and how its response may be cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) cache: CachePolicy,
    /// The maximum size of the body in bytes; 0 for a route without a body.
    pub(crate) body: usize,
    /// Whether the body may have any media type.
    pub(crate) takes_raw: bool,
    pub(crate) params: &'static [Param],
    pub(crate) check: Option<Check>,
}

/// What a handler says of parameters beyond their schemas.
type Check = fn(&QueryParams) -> Result<(), Problem>;

impl Route {
    /// A row with this method, path, access and handler. `id` names it in the OpenAPI document and in clients that are
    /// generated from it: a verb and a noun, such as `listOrders`.
    pub fn new<H, T>(id: &'static str, method: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        let limits = match (access, method.is_safe()) {
            // Whoever watches the process must not be refused.
            (Access::Open, true) => Vec::new(),
            (_, true) => vec![&REQUESTS],
            (_, false) => vec![&REQUESTS, &WRITES],
        };
        Self {
            id,
            method,
            path,
            limits,
            policy: Policy {
                path,
                access,
                cache: CachePolicy::NoStore,
                body: 0,
                takes_raw: false,
                params: &[],
                check: None,
            },
            summary: "",
            description: "",
            body: None,
            responses: Vec::new(),
            errors: Vec::new(),
            is_secret: false,
            handler: Box::new(move |request, platform| handler.clone().call(request, platform)),
            schemas: Vec::new(),
        }
    }

    /// The row for `GET` of the paths that no other row has ([`Function::fallback`](crate::Function)), with any query. It has
    /// no path, so the log has those of its requests.
    pub fn fallback<H, T>(handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        Self::page("", handler)
    }

    /// The row for `GET` of a page for people or of one of its files. It is not in the OpenAPI document.
    pub fn page<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Platform>, Future = HandlerFuture>,
        T: 'static,
    {
        Self::new("", Method::GET, path, Access::Public, handler)
    }

    /// The path, with names of its parameters in braces.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Sets the summary of the operation, and an optional description.
    #[must_use]
    pub fn summary(mut self, summary: &'static str, description: &'static str) -> Self {
        self.summary = summary;
        self.description = description;
        self
    }

    /// Sets the query parameters. Any other parameter is a 400.
    #[must_use]
    pub fn params(mut self, params: &'static [Param]) -> Self {
        self.policy.params = params;
        self.schemas = params.iter().map(Param::parsed).collect();
        self
    }

    /// Sets what the handler checks of the parameters beyond their schemas. It runs only if a schema finds faults, so that
    /// the client gets all faults at once.
    #[must_use]
    pub fn checked(mut self, check: Check) -> Self {
        self.policy.check = Some(check);
        self
    }

    /// Adds a limit on how often a client may call it.
    #[must_use]
    pub fn limited(mut self, limit: &'static Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Sets the only limit on how often a client may call it, in the place of those that all routes have.
    #[must_use]
    pub fn limited_only(mut self, limit: &'static Limit) -> Self {
        self.limits = vec![limit];
        self
    }

    /// Sets the request body, of at most `limit` bytes.
    #[must_use]
    pub fn body(mut self, schema: Schema, limit: usize) -> Self {
        self.body = Some(schema);
        self.policy.body = limit;
        self
    }

    /// Sets a request body of at most `limit` bytes of any media type, which the handler gets as [`Raw`](super::Raw).
    #[must_use]
    pub fn raw_body(mut self, limit: usize) -> Self {
        self.policy.body = limit;
        self.policy.takes_raw = true;
        self
    }

    /// Allows shared caches to store shared responses for `s_maxage` seconds, and to serve them stale for another
    /// `stale` seconds while they revalidate.
    #[must_use]
    pub fn cached(mut self, s_maxage: u32, stale: u32) -> Self {
        self.policy.cache = CachePolicy::Public { s_maxage, stale };
        self
    }

    /// Adds a successful response. A 201, a 202 and a redirect have a `Location`.
    #[must_use]
    pub fn response(mut self, status: StatusCode, about: &'static str, schema: Option<Schema>) -> Self {
        let has_location = status.is_redirection() || [StatusCode::CREATED, StatusCode::ACCEPTED].contains(&status);
        self.responses.push(Response {
            status,
            about,
            schema,
            has_location,
        });
        self
    }

    /// Adds a 201 for a thing without a URL, such as a token.
    #[must_use]
    pub fn issues(mut self, about: &'static str, schema: Schema) -> Self {
        self.responses.push(Response {
            status: StatusCode::CREATED,
            about,
            schema: Some(schema),
            has_location: false,
        });
        self
    }

    /// Declares that responses hold secrets: they get no `ETag`, which would be a digest of the secret.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Adds error statuses beside those that follow from the row.
    #[must_use]
    pub fn errors(mut self, statuses: &[StatusCode]) -> Self {
        self.errors.extend_from_slice(statuses);
        self
    }

    /// Applies the policy, then returns a cached response or the response of the handler.
    pub(crate) async fn run(
        &self,
        mut parts: Parts,
        incoming: Incoming,
        platform: &Arc<Platform>,
    ) -> response::Response {
        let mut cx = Context::system(platform.clone()).traced(incoming.traceparent.as_deref());
        let address = parts.extensions.get::<ClientAddress>();
        cx.network = address
            .map(|address| network(&address.0))
            .filter(|text| !text.is_empty())
            .map(Arc::from);
        if !self.method.is_safe() {
            cx.agent = request::agent(&parts).map(Arc::from);
        }
        let origin = self.origin(&parts, &incoming);
        let verdicts = cx.verdicts.clone();
        let admitted = match origin {
            Ok(origin) => {
                cx.origin = origin.map(Arc::new);
                self.admit(&mut parts, cx).await
            }
            Err(problem) => Err(problem),
        };
        let mut response = match admitted {
            Ok(cx) => self.answer(parts, incoming, cx).await,
            Err(problem) => problem.into_response(),
        };
        // A response that others get too says nothing of this client.
        if !is_shared(&response) && response.extensions().get::<FromCache>().is_none() {
            let verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
            headers::limits(response.headers_mut(), &verdicts);
        }
        response
    }

    /// A cached response or the response of the handler.
    async fn answer(&self, mut parts: Parts, incoming: Incoming, cx: Context) -> response::Response {
        let (policy, platform) = (self.policy, cx.platform().clone());
        let CachePolicy::Public { .. } = policy.cache else {
            return self.call(parts, cx).await;
        };
        let allowed = self.cache_policy(&platform);
        let CachePolicy::Public { s_maxage, stale } = allowed else {
            return with_policy(self.call(parts, cx).await, allowed);
        };
        if incoming.carries_credential {
            return self.call(parts, cx).await;
        }
        let (Some(key), Some(cache)) = (incoming.cache_key, &platform.responses) else {
            let reads = platform
                .is_tagged
                .then(|| Arc::new(ReadLog::new(platform.tenant.clone())));
            let response = self.call(parts, cx.eventual(reads.clone())).await;
            return match reads {
                Some(reads) => with_policy(tagged(response, &mut reads.take()), allowed),
                None => with_policy(response, allowed),
            };
        };
        let making = match cache.join(&key).await {
            Joined::Ready(cached) => return FromCache(cached, CacheStatus::Collapsed).into_response(),
            Joined::Make(making) => making,
        };
        // A cached response must not depend on the client: remove the headers, the address and the network.
        parts.headers.clear();
        parts.extensions.remove::<ClientAddress>();
        let reads = Arc::new(ReadLog::new(platform.tenant.clone()));
        let cx = cx.eventual(Some(reads.clone())).without_client();
        let mut response = self.call(parts, cx).await;
        let mut reads = reads.take();
        if platform.is_tagged {
            response = tagged(response, &mut reads);
        }
        // What an operator has set meanwhile holds for what is kept.
        if self.check_enabled(&platform).is_err() || self.cache_policy(&platform) != allowed {
            return with_policy(response, CachePolicy::NoStore);
        }
        // A redirect costs a read or two, and is left to the caches in front.
        if response.status() != StatusCode::OK || !is_shared(&response) {
            return with_policy(response, allowed);
        }
        let (parts, body) = response.into_parts();
        let complete = headers::to_cache(parts, body, allowed, &platform).await;
        let lifetime = Lifetime { fresh: s_maxage, stale };
        let (cached, status) = making.keep(&key, policy.path, complete, reads, lifetime);
        FromCache(cached, status).into_response()
    }

    /// How long shared caches may store a response, as an operator has set it.
    fn cache_policy(&self, platform: &Platform) -> CachePolicy {
        let gate = platform.known_gate();
        match gate.route(self.id).and_then(|set| set.cache) {
            Some(set) if set.fresh_seconds == 0 => CachePolicy::NoStore,
            Some(set) => CachePolicy::Public {
                s_maxage: set.fresh_seconds,
                stale: set.stale_seconds,
            },
            None => self.policy.cache,
        }
    }

    /// Fails if an operator has switched it off.
    fn check_enabled(&self, platform: &Platform) -> Result<(), Problem> {
        let gate = platform.known_gate();
        match gate.route(self.id).filter(|set| !set.enabled) {
            Some(set) => {
                let detail = set
                    .reason
                    .as_deref()
                    .unwrap_or("this operation is switched off for now");
                Err(Problem::new(problem_type::ROUTE_DISABLED, detail).retry_after(60))
            }
            None => Ok(()),
        }
    }

    /// What the audit log says of a request that changes something.
    fn origin(&self, parts: &Parts, incoming: &Incoming) -> Result<Option<Origin>, Problem> {
        if self.method.is_safe() {
            return Ok(None);
        }
        Ok(Some(Origin {
            action: self.id,
            request_id: incoming.request_id.clone(),
            reason: request::reason(parts)?,
        }))
    }

    /// The policy step: the context of the handler, or the problem to respond with.
    async fn admit(&self, parts: &mut Parts, mut cx: Context) -> Result<Context, Problem> {
        let (policy, platform) = (self.policy, cx.platform().clone());
        let platform = &platform;
        self.check_enabled(platform)?;
        // What costs a call only counts requests of those who may make them.
        self.count(&cx, |limit| limit.by == By::Address && limit.reach == Reach::Instance)
            .await?;
        let size = parts.extensions.get::<Payload>().map_or(0, |payload| payload.0.len());
        // A route without a body ignores one that is sent: many clients send `{}` with every POST.
        let limit = policy.body.max(IGNORED_BODY);
        if size > limit {
            let detail = format!("the body is larger than {limit} bytes");
            return Err(Problem::new(problem_type::BODY_TOO_LARGE, detail));
        }
        let principal = match policy.access {
            Access::Open => None,
            Access::Public => viewer::optional(parts, platform).await?,
            Access::Member | Access::Session => Some(viewer::authenticate(parts, platform).await?),
            Access::Permission(permission) => Some(viewer::permitted(permission, parts, platform).await?),
        };
        if let Some(principal) = &principal {
            viewer::check_token(principal, policy.access, &parts.method)?;
            cx = cx.acting_as(principal.clone());
        }
        self.count(&cx, |limit| limit.by == By::Client || limit.reach == Reach::Everywhere)
            .await?;
        if size > 0 && policy.body > 0 && !policy.takes_raw && !is_json(parts) {
            let detail = "send the body as application/json";
            let fault = Fault::not_one_of(&["application/json"]);
            return Err(Problem::new(problem_type::UNSUPPORTED_MEDIA_TYPE, detail).field("Content-Type", fault));
        }
        if size > 0
            && let Some(encoding) = parts.headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let detail = format!("{encoding:?} is not supported: send the body uncompressed");
            let fault = Fault::not_one_of(&["identity"]);
            return Err(
                Problem::new(problem_type::UNSUPPORTED_CONTENT_ENCODING, detail).field("Content-Encoding", fault)
            );
        }
        let is_fallback = policy.path.is_empty();
        if let Some(query) = parts.uri.query().filter(|_| !is_fallback) {
            let (params, mut faults) = QueryParams::parse(query, policy.params, &self.schemas);
            if !faults.is_empty() {
                let others = policy.check.and_then(|check| check(&params).err());
                let mut others = others.map_or(Vec::new(), |problem| problem.errors);
                others.retain(|other| faults.iter().all(|fault| fault.field != other.field));
                faults.extend(others);
                return Err(Failure::BadParameter(faults).into());
            }
            parts.extensions.insert(params);
        }
        if parts.method == Method::POST {
            let account = principal.as_ref().map(|principal| principal.account.as_str());
            cx.idempotency = request::idempotency(parts, account, platform)?.map(Arc::new);
        }
        Ok(cx)
    }

    /// Counts the request by these of the limits.
    async fn count(&self, cx: &Context, counts: impl Fn(&Limit) -> bool) -> Result<(), Problem> {
        for limit in self.limits.iter().filter(|limit| counts(limit)) {
            let client = match (limit.by, cx.principal()) {
                (By::Client, Some(principal)) => &principal.account,
                _ => cx.network(),
            };
            // Those whom the host cannot tell apart are not counted as one.
            if !client.is_empty() {
                cx.count(limit, client).await?;
            }
        }
        Ok(())
    }

    async fn call(&self, mut parts: Parts, cx: Context) -> response::Response {
        let platform = cx.platform().clone();
        parts.extensions.insert(cx.clone());
        let mut response = (self.handler)(Request::from_parts(parts, Body::empty()), platform).await;
        if self.is_secret {
            response.headers_mut().remove(header::ETAG);
        }
        if cx.was_replayed() && response.status().is_success() {
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert("idempotency-replayed", replayed);
        }
        response
    }
}

fn is_shared(response: &response::Response) -> bool {
    response.extensions().get::<Shared>().is_some()
}

/// The response with a policy other than that of its row.
fn with_policy(mut response: response::Response, cache: CachePolicy) -> response::Response {
    response.extensions_mut().insert(cache);
    response
}

/// The response with the tags of what was read for it, if caches in front may store it.
fn tagged(mut response: response::Response, reads: &mut Reads) -> response::Response {
    if is_shared(&response)
        && let Some(tags) = reads.labels.header()
    {
        response.headers_mut().insert(CACHE_TAG, tags);
    }
    response
}

/// What an address may ask of an instance, and what a client may change.
const REQUESTS: Limit = Limit::cheap("requests", 6_000, 60, By::Address);
const WRITES: Limit = Limit::cheap("writes", 1_200, 60, By::Client);

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// The maximum size of a body that a route ignores, in bytes.
const IGNORED_BODY: usize = 1024;

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
