//! The whole path of a request, once, for every host.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, response};
use souk_core::queue::{Delivery, Outcome};

use crate::answer::Shared;
use crate::body::Payload;
use crate::cache::{Wanted, key};
use crate::finish::{self, Asker, Served, Way};
use crate::route::Cache;
use crate::router::Router;
use crate::trace::{Parent, Trace};
use crate::viewer::carries_credential;
use crate::work::schedule::Schedule;
use crate::work::{self, Job};
use crate::{Function, Platform, Problem};

/// How long a URL and how large all headers together may be, in bytes.
const MAX_URL: usize = 4 * 1024;
const MAX_HEADERS: usize = 8 * 1024;

/// The functions that this host serves.
pub struct App {
    router: Router,
    platform: Arc<Platform>,
    jobs: HashMap<&'static str, Job>,
    schedules: Vec<Schedule>,
}

impl App {
    /// Mounts the functions. No two may have a route in common.
    #[must_use]
    pub fn new(platform: Arc<Platform>, functions: impl IntoIterator<Item = Function>) -> Self {
        let (mut routes, mut jobs, mut schedules) = (Vec::new(), HashMap::new(), Vec::new());
        for function in functions {
            routes.extend(function.routes);
            jobs.extend(function.jobs.into_iter().map(|job| (job.name, job)));
            schedules.extend(function.schedules);
        }
        Self {
            router: Router::new(routes),
            platform,
            jobs,
            schedules,
        }
    }

    /// Whether a request has left something for [`relay`](Self::relay) to do.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let Platform { cache, copies, .. } = &*self.platform;
        self.platform.has_pending()
            || cache.as_ref().is_some_and(|cache| cache.has_errands())
            || copies.as_ref().is_some_and(|copies| copies.has_errands())
    }

    /// Hands to the queue what the requests so far have committed for it, makes anew what they found stale in the cache, and
    /// puts copies of what they had to read. What fails is the sweeper's, or the next one's who asks.
    pub async fn relay(&self) {
        if let Err(error) = self.platform.relay().await {
            tracing::warn!(%error, "events stay in the outbox");
        }
        if let Some(cache) = &self.platform.cache {
            let make = async |key: &str| {
                let (mut parts, ()) = http::Request::new(()).into_parts();
                want(&mut parts, key);
                drop(self.router.answer(parts, false, &self.platform).await);
            };
            cache.run(make).await;
        }
        if let Some(copies) = &self.platform.copies {
            copies.run().await;
        }
    }

    /// Has [`relay`](Self::relay) make the pages that most come to see, before anybody asks for them.
    pub fn warm(&self) {
        if let Some(cache) = &self.platform.cache {
            cache.warm();
        }
    }

    /// Does what the queue has delivered and says what to tell it of each.
    pub async fn work(&self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        let outcomes = work::work(&self.platform, &self.jobs, deliveries).await;
        self.relay().await;
        outcomes
    }

    /// Keeps as dead letters what the queue's own dead-letter queue has delivered.
    pub async fn bury(&self, deliveries: Vec<Delivery>) -> Vec<Outcome> {
        work::bury(&self.platform, deliveries).await
    }

    /// Runs the schedules that are due. To be called every minute.
    pub async fn tick(&self) {
        work::tick(&self.platform, &self.schedules).await;
        self.relay().await;
    }

    /// Answers one request. A host passes `None` for a body larger than [`MAX_BODY`](crate::MAX_BODY), which it need not
    /// read.
    pub async fn handle(&self, request: http::Request<Option<Bytes>>) -> Response<Bytes> {
        let clock = &*self.platform.clock;
        let began = clock.now();
        let (mut parts, payload) = request.into_parts();
        let method = parts.method.clone();
        let credential = carries_credential(&parts.headers);
        // On a write it would be a condition on the write; here it only ever saves a transfer.
        let reads = matches!(method, Method::GET | Method::HEAD);
        let asker = Asker {
            trace: Trace::of(&parts.headers, clock, &*self.platform.random),
            etags: if reads {
                lines(&parts.headers, &header::IF_NONE_MATCH)
            } else {
                Vec::new()
            },
            origin: self.allowed_origin(&parts.headers),
            is_head: method == Method::HEAD,
        };
        let micros = || clock.now().as_microsecond().saturating_sub(began.as_microsecond());
        let uri = parts.uri.clone();
        let line = Line {
            trace: &asker.trace,
            method: method.as_str(),
            path: uri.path(),
        };

        let (response, policy) = if let Err(problem) = measure(&parts, payload.is_some()) {
            (problem.into_response(), None)
        } else if method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            (preflight(asker.origin.is_some()), None)
        } else {
            let payload = payload.filter(|payload| !payload.is_empty());
            if let Some(cache) = &self.platform.cache
                && reads
                && !credential
                && payload.is_none()
                && let Some(target) = uri.path_and_query()
            {
                let key = key::of(target);
                if let Some((ready, way)) = cache.find(&key, began.as_millisecond()) {
                    let response = asker.answer(&ready, way, began.as_millisecond(), 0);
                    let micros = micros();
                    line.write(ready.route, &response, None, micros);
                    return response;
                }
                want(&mut parts, &key);
            }
            if let Some(payload) = payload {
                parts.extensions.insert(Payload(payload));
            }
            if !reads {
                parts.extensions.insert(Parent(asker.trace.parent.clone()));
            }
            self.router.answer(parts, credential, &self.platform).await
        };

        let (mut parts, body) = response.into_parts();
        let (response, micros) = if let Some(Served(ready, way)) = parts.extensions.remove() {
            let micros = micros();
            (asker.answer(&ready, way, began.as_millisecond(), micros), micros)
        } else {
            let cache = policy.map_or(Cache::NoStore, |policy| policy.cache);
            let mut response = self.complete(&mut parts, body, &asker.trace, cache, credential).await;
            let micros = micros();
            asker.finish(&mut response, Way::Bypass, micros);
            (response, micros)
        };
        // The pattern names no one; the path is logged only where no route knows it.
        let route = policy.map_or("", |policy| policy.path);
        line.write(route, &response, parts.extensions.get(), micros);
        response
    }

    /// The `Origin` of a page that may call us.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.platform
            .settings
            .cors_origins
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }

    /// An answer that is not for everyone, or not to be kept: complete but for what the asker's own headers say.
    async fn complete(
        &self,
        parts: &mut response::Parts,
        body: Body,
        trace: &Trace,
        cache: Cache,
        credential: bool,
    ) -> Response<Bytes> {
        let mut body = finish::collect(body).await;
        let status = parts.status;
        let mut headers = std::mem::take(&mut parts.headers);
        if let Some(problem) = parts.extensions.get::<Problem>() {
            body = problem.document(&trace.request_id).into();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            );
        }
        let edge = self.platform.settings.cache.edge;
        let shared = edge && parts.extensions.get::<Shared>().is_some() && !credential;
        let cache = finish::cache_control(cache, shared, credential);
        finish::settle(&mut headers, cache, self.platform.is_https());
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

/// Turns a request into one whose answer may be kept for `key`: it asks for the key and for nothing else.
fn want(parts: &mut http::request::Parts, key: &str) {
    if let Ok(uri) = key.parse() {
        parts.uri = uri;
        parts.method = Method::GET;
        parts.extensions.insert(Wanted(key.into()));
    }
}

/// All lines of a header.
fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    headers.get_all(name).into_iter().cloned().collect()
}

/// Limits, before any work.
fn measure(parts: &http::request::Parts, fits: bool) -> Result<(), Problem> {
    let url = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if url > MAX_URL {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            "url_too_long",
            "the URL is longer than 4 KB",
        ));
    }
    if parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>()
        > MAX_HEADERS
    {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::new(
            status,
            "headers_too_large",
            "the headers are larger than 8 KB",
        ));
    }
    if !fits {
        let detail = "the body is larger than 256 KB";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
    }
    Ok(())
}

fn preflight(allowed: bool) -> axum::response::Response {
    let mut response = axum::response::Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if allowed {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names = "authorization, content-type, idempotency-key, if-match, if-none-match, traceparent, x-request-id";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// The line of a request in the log, and the only place where a failure is logged.
struct Line<'a> {
    trace: &'a Trace,
    method: &'a str,
    path: &'a str,
}

impl Line<'_> {
    fn write(&self, route: &str, response: &Response<Bytes>, problem: Option<&Problem>, duration_us: i64) {
        let Self { trace, method, path } = self;
        let (request_id, trace_id) = (&trace.request_id, trace.trace_id());
        let (status, bytes) = (response.status().as_u16(), response.body().len());
        let code = problem.map(|problem| problem.code);
        match problem.and_then(|problem| problem.cause.as_deref()) {
            Some(cause) => {
                tracing::error!(
                    request_id,
                    trace_id,
                    method,
                    route,
                    status,
                    bytes,
                    duration_us,
                    code,
                    cause,
                    "request failed"
                );
            }
            None if route.is_empty() => {
                let path: String = path.chars().take(200).collect();
                tracing::info!(
                    request_id,
                    trace_id,
                    method,
                    path,
                    status,
                    bytes,
                    duration_us,
                    code,
                    "request"
                );
            }
            None => tracing::info!(
                request_id,
                trace_id,
                method,
                route,
                status,
                bytes,
                duration_us,
                code,
                "request"
            ),
        }
    }
}
