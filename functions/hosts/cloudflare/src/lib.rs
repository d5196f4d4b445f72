//! The Worker: the router that every host shares, over D1, KV and Queues, behind the handlers `fetch`, `queue` and
//! `scheduled`.
//!
//! The first event of an isolate builds the platform and the router. Bodies are collected in both directions, because a
//! stream between JavaScript and Wasm costs more than the routing.
//!
//! Events are sent to the queue after the response (`waitUntil`). Any request may send what another one has committed: the
//! list of pending events is plain data, and the call belongs to the request that makes it. If the isolate ends first, the
//! sweeper finds the events in the outbox.
#![cfg(target_arch = "wasm32")]

mod console;
mod consumer;
mod convert;
pub mod limits;
#[cfg(not(feature = "all"))]
mod origin;
pub mod recovery;
#[cfg(feature = "testing")]
mod testing;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use convert::Rejected;
use souk_cloudflare::{
    CloudflareQueue, DurableRateLimit, EmailBinding, FetchOutbound, StaticAssets, SystemClock, SystemRandom,
    TakingTurns, WorkersKv,
};
use souk_core::{Mail, Outbound, Tenant};
use souk_kit::http::{Problem, problem_type};
use souk_kit::platform::{MailSettings, is_loopback};
use souk_kit::{App, DocumentCache, Keys, MemoryCacheConfig, PasswordCost, Platform, Ports, REQUEST_SECONDS, Settings};
use souk_mail::HttpApi;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::worker_sys::{Context as RawContext, MessageBatch, web_sys};
use worker::{Context, Delay, Env, ScheduleContext, ScheduledEvent, event};

/// Responses are cached for 5 seconds at most, because an isolate does not hear of other isolates' writes. Requests are not
/// collapsed: a promise belongs to the request that created it, so no request may wait for another's.
const MEMORY_CACHE: MemoryCacheConfig = MemoryCacheConfig {
    bytes: 8 << 20,
    at_most: Some((3_000, 2_000)),
    collapse: false,
};

static APP: OnceLock<Result<App, String>> = OnceLock::new();
/// Whether the public URL is one of the machine itself.
static IS_LOOPBACK: OnceLock<bool> = OnceLock::new();
/// Whether the public URL is one of HTTPS.
static IS_HTTPS: OnceLock<bool> = OnceLock::new();

/// The app, or what the settings lack.
fn app(env: &Env) -> Result<&'static App, &'static str> {
    APP.get_or_init(|| start(env)).as_ref().map_err(String::as_str)
}

/// The `fetch` handler. It does not use `#[event(fetch)]`, which converts the request by many calls to JavaScript.
#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys)]
pub async fn fetch(request: web_sys::Request, env: Env, context: RawContext) -> web_sys::Response {
    let app = app(&env);
    #[cfg(feature = "testing")]
    if let Some(response) = testing::serve(&request, &env).await {
        return response;
    }
    let app = match app {
        Ok(app) => app,
        Err(why) => return convert::response(&Problem::not_configured(why).bare_response()),
    };
    if let Some(response) = to_https(&request) {
        return response;
    }
    #[cfg(not(feature = "all"))]
    match within_deadline(origin::forward(app, &request, &env)).await {
        Some(None) => {}
        Some(Some(response)) => return response,
        None => return convert::response(&app.timed_out()),
    }
    // Links and tokens with the address of a laptop would be of no use to anybody, and a deployment must not go on with them.
    if *IS_LOOPBACK.get().unwrap_or(&false) && !is_local(&request) {
        let why = "SOUK_PUBLIC_URL in wrangler.toml must be the URL that clients use, such as https://souk.example";
        return convert::response(&app.refuse(Problem::not_configured(why).caused_by(why)));
    }
    let request = match convert::request(&request).await {
        Ok(request) => request,
        Err(Rejected::Malformed(error)) => {
            tracing::warn!(%error, "the request is not well-formed");
            return convert::response(&app.refuse(Problem::bad_request("the request is not well-formed")));
        }
        Err(Rejected::Late) => {
            let detail = "the body did not arrive in time";
            let problem = Problem::new(problem_type::REQUEST_TIMEOUT, detail);
            return convert::response(&app.refuse(problem));
        }
    };
    let response = handle(app, request).await;
    if app.has_pending_work() {
        Context::new(context).wait_until(app.run_pending_work());
    }
    convert::response(&response)
}

/// The redirect of a request that came without TLS, which a zone lets through unless it says "Always Use HTTPS".
fn to_https(request: &web_sys::Request) -> Option<web_sys::Response> {
    let url = request.url();
    let rest = url.strip_prefix("http://")?;
    let is_public = *IS_HTTPS.get().unwrap_or(&false) && !is_local(request);
    is_public.then(|| convert::redirect(&format!("https://{rest}")))
}

/// Whether the request was sent to the machine itself.
fn is_local(request: &web_sys::Request) -> bool {
    let uri: Option<http::Uri> = request.url().parse().ok();
    uri.is_some_and(|uri| uri.host().is_some_and(is_loopback))
}

/// The response of the app, or a 503 after [`REQUEST_SECONDS`]. Only a request that waits for something needs a timer.
async fn handle(app: &App, request: http::Request<Option<Bytes>>) -> http::Response<Bytes> {
    let response = within_deadline(app.handle(request)).await;
    response.unwrap_or_else(|| app.timed_out())
}

/// What a task has come to, unless it takes longer than [`REQUEST_SECONDS`].
async fn within_deadline<T>(task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    let mut deadline = None;
    poll_fn(|cx| {
        if let Poll::Ready(result) = task.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        let deadline = deadline.get_or_insert_with(|| Box::pin(Delay::from(Duration::from_secs(REQUEST_SECONDS))));
        deadline.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// The `queue` handler. It does not use `#[event(queue)]`, whose messages lack `attempts`.
#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys)]
pub async fn queue(batch: MessageBatch, env: Env, _context: RawContext) {
    consumer::consume(app(&env).ok(), &batch).await;
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Ok(app) = app(&env) {
        app.tick().await;
    }
}

/// Builds the app, or logs why it cannot.
fn start(env: &Env) -> Result<App, String> {
    console::init(env);
    match platform(env) {
        Ok(platform) => Ok(App::new(Arc::new(platform), functions())),
        Err(why) => {
            tracing::error!(why, "the Worker is not configured");
            Err(why)
        }
    }
}

#[cfg(not(feature = "testing"))]
use souk_market::functions;

#[cfg(feature = "testing")]
fn functions() -> Vec<souk_kit::Function> {
    let mut functions = souk_market::functions();
    functions.push(souk_kit::testing::poison(|| core::arch::wasm32::unreachable()));
    functions
}

/// The names of databases of their own that markets may have (`SOUK_DATABASES`).
fn named_databases(list: Option<&str>) -> Result<Vec<String>, String> {
    let names = list.unwrap_or_default().split(',').map(str::trim);
    let names = names
        .filter(|name| !name.is_empty())
        .map(|name| match Tenant::named(name) {
            Some(_) => Ok(name.to_owned()),
            None => Err(
                "SOUK_DATABASES: must be names of lower-case letters, digits and hyphens, separated by commas"
                    .to_owned(),
            ),
        });
    names.collect()
}

/// Who sends mails.
fn mail(
    settings: Option<&MailSettings>,
    env: &Env,
    outbound: &Arc<dyn Outbound>,
) -> Result<Option<Arc<dyn Mail>>, String> {
    let Some(MailSettings { url, key, from }) = settings else {
        return Ok(None);
    };
    if url == "binding" {
        return Ok(Some(Arc::new(EmailBinding::open(env, "MAIL", from)?)));
    }
    match url.starts_with("http") {
        true => Ok(Some(Arc::new(HttpApi::new(
            outbound.clone(),
            url,
            key.as_deref(),
            from,
        )))),
        false => Err("SOUK_MAIL_URL: must begin with https://, or be binding, on this host".into()),
    }
}

/// The ports and settings, from the bindings, variables and secrets in `wrangler.toml`.
fn platform(env: &Env) -> std::result::Result<Platform, String> {
    // `var` reads secrets too.
    let lookup = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let database = env.d1("DB").map_err(|why| format!("DB: {why}"))?;
    let index = env.d1("SEARCH").map_err(|why| format!("SEARCH: {why}"))?;
    let values = env.kv("VALUES").map_err(|why| format!("VALUES: {why}"))?;
    let key = lookup("SOUK_SIGNING_KEY").ok_or("the secret SOUK_SIGNING_KEY is missing")?;
    let keys = Keys::parse(&key).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))?;
    if !keys.can_sign() && functions().iter().any(|function| function.name == "identity") {
        return Err("SOUK_SIGNING_KEY: identity signs tokens, which a derived key cannot".into());
    }
    #[cfg(not(feature = "all"))]
    if !keys.can_sign() && origin::is_set(env) {
        return Err("SOUK_SIGNING_KEY: a gate signs who requests are from, which a derived key cannot".into());
    }
    let settings = Settings::from_lookup(lookup, PasswordCost::WORKER)?;
    // What a gate forwards is not checked for an identity, so such a gate would sign requests of anybody.
    #[cfg(not(feature = "all"))]
    if settings.gate_only && origin::is_set(env) {
        return Err("SOUK_GATE_ONLY: a Worker in front of another one cannot be behind a third".into());
    }
    let _ = IS_LOOPBACK.set(settings.is_loopback());
    let _ = IS_HTTPS.set(settings.public_url.starts_with("https:"));
    let replicas = lookup("SOUK_D1_REPLICAS").is_some_and(|switch| switch == "on");
    let clock = Arc::new(SystemClock);
    let registry = souk_market::registry();
    let documents = Arc::new(souk_cloudflare::open(database, replicas, clock.clone()));
    let values = Arc::new(WorkersKv::new(values, clock.clone()));
    let kinds = registry.kinds.iter().copied();
    let cache = DocumentCache::new(documents.clone(), values, clock.clone(), kinds, settings.cache.values);
    let outbound: Arc<dyn Outbound> = Arc::new(FetchOutbound::new(settings.outbound_allow.clone()));
    let mail = mail(settings.mail.as_ref(), env, &outbound)?;
    let ports = Ports {
        documents,
        queue: Arc::new(CloudflareQueue::open(env)?),
        search: Arc::new(souk_cloudflare::open_search(index, replicas, clock.clone())),
        outbound,
        principals: souk_market::principals(),
        clock: clock.clone(),
        random: Arc::new(SystemRandom),
    };
    let mut platform = Platform::new(ports, keys, settings, registry)
        .with_compute(TakingTurns::default())
        .with_mail(mail);
    for name in named_databases(lookup("SOUK_DATABASES").as_deref())? {
        let binding = format!("DB_{}", name.to_uppercase().replace('-', "_"));
        match env.d1(&binding) {
            Ok(database) => {
                let documents = souk_cloudflare::open(database, replicas, clock.clone());
                platform = platform.with_database(&name, Arc::new(documents));
            }
            // Its markets do not answer then, and all others do.
            Err(why) => tracing::error!(binding, %why, "a database of SOUK_DATABASES is not bound"),
        }
    }
    let objects = env.durable_object("LIMITS").map_err(|why| format!("LIMITS: {why}"))?;
    platform = platform.with_rate_limit(DurableRateLimit::new(objects, clock));
    if let Ok(assets) = env.assets("ASSETS") {
        platform = platform.with_assets(StaticAssets(assets));
    }
    Ok(platform.with_document_cache(cache).with_memory_cache(MEMORY_CACHE))
}
