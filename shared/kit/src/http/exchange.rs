//! The processing of one request: the steps before and after the router.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, response};
use souk_core::Tenant;

use super::answer::Shared;
use super::body::Payload;
use super::headers::{self, FromCache, RequestContext};
use super::{Access, CachePolicy, ClientAddress, Problem, Router, problem_type, viewer};
use crate::auth::{Caller, IDENTITY};
use crate::cache::{CacheStatus, key};
use crate::limits::{By, Limit, PLAN_REQUESTS};
use crate::operation::Failure;
use crate::platform::{Market, Platform};
use crate::telemetry::Trace;
use crate::tenancy::{self, HOST_HEADER, Named, REQUESTS, TENANT_HEADER, TenantStatus};

/// The maximum length of a URL, and the maximum size of all headers together, in bytes.
const MAX_URL: usize = 4 * 1024;
const MAX_HEADERS: usize = 8 * 1024;
/// The maximum size of an identity.
const MAX_IDENTITY: usize = 6 * 1024;
/// How much of what a client sent is logged, in characters.
const MAX_LOGGED: usize = 200;

/// Facts about a request that the route needs beside its `Parts`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming {
    /// Whether the request has a credential, valid or not.
    pub(crate) carries_credential: bool,
    /// The cache key, if the response may be cached.
    pub(crate) cache_key: Option<Arc<str>>,
    /// The `traceparent` for events, messages and outbound requests that this request causes.
    pub(crate) traceparent: Option<String>,
    /// The id of the request, if it may change something.
    pub(crate) request_id: String,
}

/// Handles one request. For a body larger than [`MAX_BODY`](crate::MAX_BODY) a host passes `None` and need not read it.
pub(crate) async fn handle(
    router: &Router,
    deployment: &Arc<Platform>,
    mut request: http::Request<Option<Bytes>>,
) -> Response<Bytes> {
    let is_open = router.is_open(request.uri().path());
    if let Err(problem) = identify(deployment, &mut request, is_open) {
        return refuse(deployment, problem);
    }
    // Whether the process lives does not depend on the store.
    let gate = match is_open {
        true => deployment.known_gate(),
        false => deployment.gate().await,
    };
    let Some(mut plan) = gate.plan(request.method(), request.uri().path(), request.headers()) else {
        return process(router, deployment, request, false, None).await;
    };
    let is_head = request.method() == Method::HEAD;
    let refused = plan.request(&mut request).err();
    let refused = refused.map(|unknown| Problem::invalid().field(unknown.0, unknown.fault()));
    let mut response = process(router, deployment, request, plan.is_for_some(), refused).await;
    plan.response(&mut response, is_head);
    response
}

/// Who the request is from, if a gate says so. What a gate must say and has not is refused, unless `is_open`.
fn identify(deployment: &Platform, request: &mut http::Request<Option<Bytes>>, is_open: bool) -> Result<(), Problem> {
    let settings = &deployment.settings;
    let Some(header) = request.headers_mut().remove(IDENTITY) else {
        return match settings.gate_only && !is_open {
            true => Err(not_for_clients()),
            false => Ok(()),
        };
    };
    let (sent, now) = (header.to_str().unwrap_or_default(), deployment.clock.now());
    let about = (request.method(), request.uri());
    let caller = match sent.len() <= MAX_IDENTITY {
        true => deployment.keys.vouched(sent, about, &settings.public_url, now),
        false => Err("it is too long"),
    };
    let caller = caller.map_err(|why| {
        tracing::warn!(target: "security", why, "an identity is not believed");
        not_for_clients()
    })?;
    // What is between the two may have replaced the host name.
    if let Some(Ok(host)) = caller.host.as_deref().map(HeaderValue::try_from) {
        request.headers_mut().insert(HOST_HEADER, host);
    }
    request.extensions_mut().insert(ClientAddress(caller.address.clone()));
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Signs who the request is from, for the host that it is forwarded to. If that one has another store, it finds out the market and
/// the principal itself, for which it gets the host name and the token.
pub(crate) async fn vouch(
    deployment: &Arc<Platform>,
    parts: &mut http::request::Parts,
    shares_store: bool,
) -> Result<(), Problem> {
    parts.headers.remove(IDENTITY);
    let address = parts
        .extensions
        .get()
        .cloned()
        .unwrap_or(ClientAddress(String::new()))
        .0;
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let mut caller = Caller {
        address,
        host: parts.uri.host().or(host).map(str::to_owned),
        ..Caller::default()
    };
    // What leads to no market, or to no principal, is left to the host behind, which knows whether that matters.
    if shares_store && let Ok(market) = market_of(deployment, parts).await {
        let platform = market.map_or_else(|| deployment.clone(), |market| market.platform);
        caller.tenant = Some(platform.tenant.name().to_owned());
        // A personal access token is looked up by the host behind, which knows what it allows.
        if let Ok(principal) = viewer::authenticate(parts, &platform).await
            && principal.token.is_none()
        {
            caller.account = Some(principal.into());
            parts.headers.remove(header::AUTHORIZATION);
        }
    }
    let (issuer, now) = (&deployment.settings.public_url, deployment.clock.now());
    let signed = deployment.keys.vouch(caller, (&parts.method, &parts.uri), issuer, now);
    let signed = signed.map_err(Problem::internal)?;
    let signed = HeaderValue::try_from(signed).map_err(|error| Problem::internal(error.to_string()))?;
    parts.headers.insert(IDENTITY, signed);
    Ok(())
}

/// The problem for a request that did not come through the gate.
fn not_for_clients() -> Problem {
    Problem::forbidden("this address is not for clients; use the public URL of the market")
}

/// Handles a request as the functions know it. `is_for_some` says that other clients get another answer, and `refused` why it is
/// not handled.
async fn process(
    router: &Router,
    deployment: &Arc<Platform>,
    request: http::Request<Option<Bytes>>,
    is_for_some: bool,
    refused: Option<Problem>,
) -> Response<Bytes> {
    let clock = &*deployment.clock;
    let began = clock.now();
    let (mut parts, payload) = request.into_parts();
    let method = parts.method.clone();
    let is_read = matches!(method, Method::GET | Method::HEAD);
    // Caches in front know a market by its host name, and not by this header.
    let is_named = parts.headers.contains_key(TENANT_HEADER);
    let carries_credential = viewer::carries_credential(&parts) || is_named || is_for_some;
    let is_preflight = method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let (platform, barred) = enter(deployment, &parts, is_preflight).await;
    let platform = &platform;
    let request = RequestContext {
        trace: Trace::of(&parts.headers, clock, &*platform.random),
        // Only GET and HEAD support `If-None-Match`: on other methods it would be a precondition.
        etags: if is_read {
            parts
                .headers
                .get_all(header::IF_NONE_MATCH)
                .into_iter()
                .cloned()
                .collect()
        } else {
            Vec::new()
        },
        origin: allowed_origin(&parts.headers, platform),
        is_head: method == Method::HEAD,
    };
    let micros = || clock.now().as_microsecond().saturating_sub(began.as_microsecond());
    let uri = parts.uri.clone();
    let line = LogLine {
        trace: &request.trace,
        tenant: &platform.tenant,
        method: method.as_str(),
        path: uri.path(),
        refused_origin: refused_origin(&parts.headers, request.origin.as_ref()),
    };

    let refused = check_limits(&parts, payload.is_some()).err().or(refused);
    let (response, policy) = if let Some(problem) = refused.or(barred) {
        (problem.into_response(), None)
    } else if is_preflight {
        (preflight(request.origin.is_some()), None)
    } else {
        let payload = payload.filter(|payload| !payload.is_empty());
        let mut incoming = Incoming {
            carries_credential,
            cache_key: None,
            traceparent: (!is_read).then(|| request.trace.parent.clone()),
            request_id: if is_read {
                String::new()
            } else {
                request.trace.request_id.clone()
            },
        };
        if let Some(responses) = &platform.responses
            && is_read
            && !carries_credential
            && payload.is_none()
            && let Some(target) = uri.path_and_query()
        {
            let key = key::of(target);
            let full = platform.tenant.stored(&key);
            if let Some((cached, status)) = responses.find(&full, began.as_millisecond()) {
                let response = request.answer(&cached, status, began.as_millisecond(), 0);
                line.write(cached.route, &response, None, micros());
                return response;
            }
            incoming.cache_key = request_key(&mut parts, &key).map(|()| full.into());
        }
        if let Some(payload) = payload {
            parts.extensions.insert(Payload(payload));
        }
        router.answer(parts, incoming, platform).await
    };

    let (mut parts, body) = response.into_parts();
    let (response, micros) = if let Some(FromCache(cached, status)) = parts.extensions.remove() {
        let micros = micros();
        (request.answer(&cached, status, began.as_millisecond(), micros), micros)
    } else {
        let cache = policy.map_or(CachePolicy::NoStore, |policy| policy.cache);
        let cache = parts.extensions.remove::<CachePolicy>().unwrap_or(cache);
        let body = headers::collect(body).await;
        let mut response = complete(&mut parts, body, &request.trace, cache, carries_credential, platform);
        let status = response.status();
        if parts.extensions.get::<Problem>().is_some_and(Problem::is_unavailable) {
            let seconds = platform.outages.note(is_read, began.as_millisecond());
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        } else if policy.is_some_and(|policy| !is_read || policy.access != Access::Open) && !status.is_server_error() {
            // (Whoever checks that the process lives has not seen the store.)
            platform.outages.end(is_read);
        }
        let micros = micros();
        request.respond(&mut response, CacheStatus::Bypass, micros);
        (response, micros)
    };
    // Log the route pattern, which has no personal data; log the path only if no route matches.
    let route = policy.map_or("", |policy| policy.path);
    line.write(route, &response, parts.extensions.get(), micros);
    response
}

/// The response for a request that the host could not read.
pub(crate) fn refuse(platform: &Platform, problem: Problem) -> Response<Bytes> {
    let trace = Trace::of(&HeaderMap::new(), &*platform.clock, &*platform.random);
    let (mut parts, _) = problem.into_response().into_parts();
    let mut response = complete(&mut parts, Bytes::new(), &trace, CachePolicy::NoStore, false, platform);
    trace.write(response.headers_mut());
    let line = LogLine {
        trace: &trace,
        tenant: &platform.tenant,
        method: "",
        path: "",
        refused_origin: None,
    };
    line.write("", &response, parts.extensions.get(), 0);
    response
}

/// Renews the cached response of a key, in the background.
pub(crate) async fn refresh(router: &Router, deployment: &Arc<Platform>, key: &str) {
    let (tenant, target) = match key.strip_prefix('@').and_then(|rest| rest.split_once('/')) {
        Some((name, target)) => (Tenant::named(name), target),
        None => (Some(Tenant::main()), key),
    };
    let Some(tenant) = tenant else {
        return;
    };
    let Ok(Some(platform)) = deployment.of_tenant(&tenant).await else {
        return;
    };
    let (mut parts, ()) = http::Request::new(()).into_parts();
    let incoming = Incoming {
        cache_key: request_key(&mut parts, target).map(|()| key.into()),
        ..Incoming::default()
    };
    drop(router.answer(parts, incoming, &platform).await);
}

/// The platform of the market that the request is for, or else the deployment's, and why it does not answer.
async fn enter(
    deployment: &Arc<Platform>,
    parts: &http::request::Parts,
    is_preflight: bool,
) -> (Arc<Platform>, Option<Problem>) {
    match market_of(deployment, parts).await {
        Ok(None) => (deployment.clone(), None),
        Err(problem) => (deployment.clone(), Some(problem)),
        // Without an answer to its preflight a page cannot see why its request is refused.
        Ok(Some(Market { platform, .. })) if is_preflight => (platform, None),
        Ok(Some(Market { platform, status, .. })) => {
            let barred = match status {
                TenantStatus::Active => count_request(&platform).await.err().map(Problem::from),
                TenantStatus::Suspended => {
                    let detail = "this market is suspended";
                    Some(Problem::new(problem_type::TENANT_SUSPENDED, detail))
                }
                TenantStatus::Erased => Some(no_market()),
            };
            (platform, barred)
        }
    }
}

/// The market that the request is for; `None` for the main one.
async fn market_of(deployment: &Arc<Platform>, parts: &http::request::Parts) -> Result<Option<Market>, Problem> {
    let domain = deployment.settings.tenant_domain.as_deref();
    let caller = parts.extensions.get::<Caller>();
    let named = match caller.and_then(|caller| caller.tenant.as_deref()) {
        Some("") => Named::Main,
        Some(name) => Tenant::named(name).map_or(Named::Nothing, Named::Name),
        None => tenancy::named(&parts.uri, &parts.headers, domain, &deployment.settings.public_url),
    };
    let is_host = matches!(named, Named::Host(_));
    let market = match named {
        Named::Main => return Ok(None),
        Named::Nothing => None,
        _ if domain.is_none() => None,
        named => deployment.market(named).await?,
    };
    match market {
        Some(market) => Ok(Some(market)),
        // A host name that nobody has claimed is another one of the deployment.
        None if is_host => Ok(None),
        None => Err(no_market()),
    }
}

/// Counts the request for the plan of the market, if that limits them.
async fn count_request(platform: &Platform) -> Result<(), Failure> {
    let Some(units) = platform.quotas.get(REQUESTS) else {
        return Ok(());
    };
    let limit = Limit::strict(PLAN_REQUESTS, *units, 60, By::Client);
    let subject = platform.keys.digest(platform.tenant.stored("limit").as_bytes());
    match platform.limiter.take(&limit, &subject).await {
        Some(verdict) if verdict.is_over && platform.limiter.is_enforced() => Err(Failure::Limited(verdict)),
        _ => Ok(()),
    }
}

fn no_market() -> Problem {
    Problem::new(problem_type::TENANT_NOT_FOUND, "there is no such market")
}

/// The `Origin` of the request, if CORS allows it.
fn allowed_origin(headers: &HeaderMap, platform: &Platform) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_allowed = origin.to_str().is_ok_and(|text| platform.settings.allows_origin(text));
    is_allowed.then(|| origin.clone())
}

/// The `Origin` that CORS does not allow, for the log. Pages of this host need no permission.
fn refused_origin(headers: &HeaderMap, allowed: Option<&HeaderValue>) -> Option<String> {
    let origin = headers.get(header::ORIGIN).filter(|_| allowed.is_none())?;
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_own = origin.split_once("://").is_some_and(|(_, own)| Some(own) == host);
    (!is_own && !origin.is_empty()).then(|| origin.chars().take(MAX_LOGGED).collect())
}

/// Completes a response that does not come from the cache, except for the headers that depend on the request.
fn complete(
    parts: &mut response::Parts,
    mut body: Bytes,
    trace: &Trace,
    cache: CachePolicy,
    carries_credential: bool,
    platform: &Platform,
) -> Response<Bytes> {
    let status = parts.status;
    let mut headers = std::mem::take(&mut parts.headers);
    if let Some(problem) = parts.extensions.get::<Problem>() {
        body = problem.document(&trace.request_id).into();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
    }
    let is_shared = platform.settings.cache.edge && parts.extensions.get::<Shared>().is_some() && !carries_credential;
    let cache = headers::cache_control(cache, status, is_shared, carries_credential);
    headers::common_headers(&mut headers, cache, platform.is_https());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Replaces the target of a request by its cache key, so that the response cannot depend on anything else in the URL.
fn request_key(parts: &mut http::request::Parts, key: &str) -> Option<()> {
    parts.uri = key.parse().ok()?;
    parts.method = Method::GET;
    Some(())
}

/// Checks the size limits, before any other work.
fn check_limits(parts: &http::request::Parts, fits: bool) -> Result<(), Problem> {
    let url = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if url > MAX_URL {
        return Err(Problem::new(problem_type::URL_TOO_LONG, "the URL is longer than 4 KB"));
    }
    if parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum::<usize>()
        > MAX_HEADERS
    {
        let detail = "the headers are larger than 8 KB";
        return Err(Problem::new(problem_type::HEADERS_TOO_LARGE, detail));
    }
    if !fits {
        let detail = "the body is larger than 256 KB";
        return Err(Problem::new(problem_type::BODY_TOO_LARGE, detail));
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
        let names = "authorization, content-type, idempotency-key, if-match, if-none-match, souk-reason, souk-tenant, traceparent, x-request-id";
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// The log line of a request, and the only place where a failure is logged.
pub(super) struct LogLine<'a> {
    trace: &'a Trace,
    tenant: &'a Tenant,
    method: &'a str,
    path: &'a str,
    /// The origin of a page that CORS keeps from reading the response.
    refused_origin: Option<String>,
}

impl LogLine<'_> {
    fn write(&self, route: &str, response: &Response<Bytes>, problem: Option<&Problem>, duration_us: i64) {
        let Self {
            trace,
            tenant,
            method,
            path,
            refused_origin,
        } = self;
        let tenant = (!tenant.is_main()).then(|| tenant.name());
        let refused_origin = refused_origin.as_deref();
        let (request_id, trace_id) = (&trace.request_id, trace.trace_id());
        let (status, bytes) = (response.status().as_u16(), response.body().len());
        let code = problem.map(|problem| problem.kind.code);
        match problem.and_then(|problem| problem.source.as_ref()) {
            Some(source) => {
                let cause = with_sources(&**source);
                tracing::error!(
                    request_id,
                    trace_id,
                    tenant,
                    method,
                    route,
                    status,
                    bytes,
                    duration_us,
                    code,
                    refused_origin,
                    cause,
                    "request failed"
                );
            }
            None if route.is_empty() => {
                let path: String = path.chars().take(MAX_LOGGED).collect();
                tracing::info!(
                    request_id,
                    trace_id,
                    tenant,
                    method,
                    path,
                    status,
                    bytes,
                    duration_us,
                    code,
                    refused_origin,
                    "request"
                );
            }
            None => tracing::info!(
                request_id,
                trace_id,
                tenant,
                method,
                route,
                status,
                bytes,
                duration_us,
                code,
                refused_origin,
                "request"
            ),
        }
    }
}

/// The error with its chain of sources.
fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        // A transparent error has the same text as its source.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}
