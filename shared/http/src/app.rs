//! The whole path of a request, once, for every host.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use souk_core::queue::{Delivery, Outcome};
use tower::Service as _;

use crate::answer::Shared;
use crate::body::Payload;
use crate::route::{Cache, Policy};
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
        let mut router = Router::new();
        let (mut jobs, mut schedules) = (HashMap::new(), Vec::new());
        for function in functions {
            for route in function.routes {
                router = router.route(route.path, route.service(&platform));
            }
            jobs.extend(function.jobs.into_iter().map(|job| (job.name, job)));
            schedules.extend(function.schedules);
        }
        let router = router
            .fallback(async || Problem::not_found("path"))
            .method_not_allowed_fallback(async || {
                Problem::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "the path is there, this method is not",
                )
            })
            .with_state(platform.clone());
        Self {
            router,
            platform,
            jobs,
            schedules,
        }
    }

    /// Whether a request has left something for [`relay`](Self::relay) to do.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.platform.has_pending()
    }

    /// Hands to the queue what the requests so far have committed for it. What fails is the sweeper's.
    pub async fn relay(&self) {
        if let Err(error) = self.platform.relay().await {
            tracing::warn!(%error, "events stay in the outbox");
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
        let trace = Trace::of(&parts.headers, clock, &*self.platform.random);
        let method = parts.method.clone();
        let credential = carries_credential(&parts.headers);
        // On a write it would be a condition on the write; here it only ever saves a transfer.
        let reads = matches!(method, Method::GET | Method::HEAD);
        let etags = parts.headers.get(header::IF_NONE_MATCH).filter(|_| reads).cloned();
        let origin = self.allowed_origin(&parts.headers);
        let uri = parts.uri.clone();

        let response = if let Err(problem) = measure(&parts, payload.is_some()) {
            problem.into_response()
        } else if method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            preflight(origin.is_some())
        } else {
            if let Some(payload) = payload.filter(|payload| !payload.is_empty()) {
                parts.extensions.insert(Payload(payload));
            }
            if !reads {
                parts.extensions.insert(Parent(trace.parent()));
            }
            let request = Request::from_parts(parts, Body::empty());
            // Routers never fail.
            self.router
                .clone()
                .call(request)
                .await
                .unwrap_or_else(|never| match never {})
        };

        let mut response = self.finish(response, &trace, credential, etags.as_ref(), origin).await;
        if method == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        let micros = clock.now().as_microsecond().saturating_sub(began.as_microsecond());
        record(&trace, &method, uri.path(), &response, micros);
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

    async fn finish(
        &self,
        response: axum::response::Response,
        trace: &Trace,
        credential: bool,
        etags: Option<&HeaderValue>,
        origin: Option<HeaderValue>,
    ) -> Response<Bytes> {
        let (mut parts, body) = response.into_parts();
        let mut body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let status = parts.status;
        if (status.is_client_error() || status.is_server_error()) && parts.extensions.get::<Problem>().is_none() {
            // The router's own refusal, of a path that is not UTF-8.
            let detail = "the request is not well-formed";
            parts.extensions.insert(Problem::new(status, "bad_request", detail));
        }
        let headers = &mut parts.headers;
        if let Some(problem) = parts.extensions.get::<Problem>() {
            body = problem.document(&trace.request_id).into();
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            );
            // The router has counted another body. Its count stays where it is right, for HEAD.
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let cache = parts
            .extensions
            .get::<Policy>()
            .map_or(Cache::NoStore, |policy| policy.cache);
        let shared = parts.extensions.get::<Shared>().is_some() && !credential;
        headers.insert(header::CACHE_CONTROL, cache_control(cache, shared, credential));
        headers.insert(header::VARY, HeaderValue::from_static("origin, authorization, cookie"));
        // Also for a 304: a browser takes its headers over for the page that it has.
        let page = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        if let (Some(sent), Some(own)) = (etags, headers.get(header::ETAG))
            && parts.status == StatusCode::OK
            && matches(sent, own)
        {
            parts.status = StatusCode::NOT_MODIFIED;
            body = Bytes::new();
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_LENGTH);
        }
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
        for (name, value) in SECURITY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let policy = if page { PAGE_POLICY } else { DATA_POLICY };
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        if self.platform.settings.public_url.starts_with("https:") {
            headers.insert(
                header::STRICT_TRANSPORT_SECURITY,
                HeaderValue::from_static("max-age=63072000"),
            );
        }
        trace.write(headers);
        Response::from_parts(parts, body)
    }
}

const EXPOSED: &str = "etag, location, retry-after, idempotency-replayed, x-request-id, traceparent";
const SECURITY: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// For our own pages: their own files, and nothing from anywhere else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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

/// `no-store` unless the answer is shared, its route allows it, and the request carried no credential.
fn cache_control(cache: Cache, shared: bool, credential: bool) -> HeaderValue {
    match cache {
        Cache::Public { s_maxage, stale } if shared => {
            let text = format!("public, max-age=0, s-maxage={s_maxage}, stale-while-revalidate={stale}");
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-store"))
        }
        _ if credential => HeaderValue::from_static("private, no-store"),
        _ => HeaderValue::from_static("no-store"),
    }
}

/// `If-None-Match`, by weak comparison as RFC 9110 says.
fn matches(sent: &HeaderValue, own: &HeaderValue) -> bool {
    let (sent, own) = (sent.to_str().unwrap_or(""), own.to_str().unwrap_or(""));
    sent.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
}

/// One line per request, and the only place where a failure is logged.
fn record(trace: &Trace, method: &Method, path: &str, response: &Response<Bytes>, duration_us: i64) {
    let request_id = &trace.request_id;
    let trace_id = &trace.trace_id;
    let status = response.status().as_u16();
    let bytes = response.body().len();
    // The pattern names no one; the path is logged only where no route knows it.
    let route = response.extensions().get::<Policy>().map_or("", |policy| policy.path);
    let problem = response.extensions().get::<Problem>();
    let code = problem.map(|problem| problem.code);
    match problem.and_then(|problem| problem.cause.as_deref()) {
        Some(cause) => {
            tracing::error!(
                request_id,
                trace_id,
                method = method.as_str(),
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
                method = method.as_str(),
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
            method = method.as_str(),
            route,
            status,
            bytes,
            duration_us,
            code,
            "request"
        ),
    }
}
