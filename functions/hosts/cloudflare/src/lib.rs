//! The Worker: the router that every host shares, over D1 and Queues, behind `fetch`, `queue` and `scheduled`.
//!
//! The platform and the router are built once per isolate, by its first event. Bodies are collected on both ways: a
//! stream between JavaScript and Wasm costs more than all the routing.
//!
//! What a request leaves for the queue is handed over after its response (`waitUntil`), by whichever request gets to it
//! first: the list in between is plain data, and each call belongs to the event that makes it. If the isolate ends before,
//! the sweeper finds it in the outbox.
#![cfg(target_arch = "wasm32")]

mod console;
mod consumer;
mod convert;
mod recovery;
#[cfg(feature = "testing")]
mod testing;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use souk_cloudflare::{CloudflareQueue, FetchOutbound, SystemClock, SystemRandom, WorkersKv, task};
use souk_kit::work::Subscription;
use souk_kit::{App, Caching, Keys, PasswordCost, Platform, Ports, Settings};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::js_sys::Function;
use worker::worker_sys::{Context as RawContext, MessageBatch, web_sys};
use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};

/// What an isolate keeps of answers. It does not hear of what other isolates write, so that is seen within 5 seconds. A
/// promise belongs to the request that made it: no request may wait for another.
const CACHING: Caching = Caching {
    bytes: 8 << 20,
    at_most: Some((3_000, 2_000)),
    collapse: false,
};

static APP: OnceLock<Option<App>> = OnceLock::new();

fn app(env: &Env) -> Option<&'static App> {
    APP.get_or_init(|| start(env)).as_ref()
}

/// The `fetch` handler, which gives the response to `done`. Not by `#[event(fetch)]`, which crosses to JavaScript for what nobody
/// here asks for.
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
pub fn fetch(request: web_sys::Request, env: Env, context: RawContext, done: Function) {
    task::spawn(async move {
        let response = answer(&request, env, context).await;
        // It settles a promise, and cannot fail.
        drop(done.call1(&JsValue::UNDEFINED, &response));
    });
}

async fn answer(request: &web_sys::Request, env: Env, context: RawContext) -> web_sys::Response {
    let app = app(&env);
    #[cfg(feature = "testing")]
    if let Some(response) = testing::serve(request, &env).await {
        return response;
    }
    let Some(app) = app else {
        return plain(500, "This Worker is not configured; its log says what is missing.");
    };
    let request = match convert::request(request).await {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(%error, "a request that is none");
            return plain(400, "The request is not well-formed.");
        }
    };
    let response = app.handle(request).await;
    if app.has_news() {
        Context::new(context).wait_until(app.relay());
    }
    convert::response(&response)
}

fn plain(status: u16, text: &'static str) -> web_sys::Response {
    let mut response = http::Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    convert::response(&response)
}

/// The `queue` handler. Not by `#[event(queue)]`, whose messages do not say how often they were delivered.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn queue(batch: MessageBatch, env: Env, _context: RawContext) {
    consumer::consume(app(&env), &batch).await;
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    if let Some(app) = app(&env) {
        app.tick().await;
    }
}

/// Builds everything, or logs why it cannot.
fn start(env: &Env) -> Option<App> {
    recovery::init();
    console::init(env);
    let functions = [
        souk_catalog::function(),
        souk_identity::function(),
        souk_vendors::function(),
        souk_ops::function(),
        souk_community::function(),
        souk_jobs::function(),
        souk_webhooks::function(),
        souk_search::function(),
    ];
    let subscriptions = functions.iter().flat_map(|f| f.subscriptions).copied().collect();
    match platform(env, subscriptions) {
        Ok(platform) => Some(App::new(Arc::new(platform), functions)),
        Err(why) => {
            tracing::error!(why, "the Worker is not configured");
            None
        }
    }
}

/// The ports and settings, from the bindings, variables and secrets that `wrangler.toml` names.
fn platform(env: &Env, subscriptions: Vec<Subscription>) -> std::result::Result<Platform, String> {
    // A secret is read like a variable.
    let lookup = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let database = env.d1("DB").map_err(|why| format!("DB: {why}"))?;
    let index = env.d1("SEARCH").map_err(|why| format!("SEARCH: {why}"))?;
    let values = env.kv("VALUES").map_err(|why| format!("VALUES: {why}"))?;
    let key = lookup("SOUK_SIGNING_KEY").ok_or("the secret SOUK_SIGNING_KEY is missing")?;
    let keys = Keys::parse(&key).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))?;
    let settings = Settings::from_lookup(lookup, PasswordCost::WORKER)?;
    let replicas = lookup("SOUK_D1_REPLICAS").is_some_and(|switch| switch == "on");
    let clock = Arc::new(SystemClock);
    let ports = Ports {
        documents: Arc::new(souk_cloudflare::open(database, replicas, clock.clone())),
        values: Some(Arc::new(WorkersKv::new(values, clock.clone()))),
        queue: Arc::new(CloudflareQueue::open(env)?),
        search: Arc::new(souk_cloudflare::open_search(index, replicas, clock.clone())),
        outbound: Arc::new(FetchOutbound::new(settings.outbound_allow.clone())),
        clock,
        random: Arc::new(SystemRandom),
    };
    Ok(Platform::new(ports, keys, settings, subscriptions).cached(CACHING))
}
