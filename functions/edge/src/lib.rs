//! The Worker: the router that every host shares, over D1, behind one `fetch`.
//!
//! The platform and the router are built once per isolate, by its first request. Bodies are collected on both ways: a
//! stream between JavaScript and Wasm costs more than all the routing.
#![cfg(target_arch = "wasm32")]

mod console;
mod convert;
mod recovery;
#[cfg(feature = "testing")]
mod testing;

use std::sync::{Arc, OnceLock};

use souk_cloudflare::{SystemClock, SystemRandom};
use souk_core::{Clock, Random};
use souk_http::{App, Keys, PasswordCost, Platform, Settings};
use worker::{Context, Env, Request, Response, Result, event};

static APP: OnceLock<Option<App>> = OnceLock::new();

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, _context: Context) -> Result<Response> {
    let app = APP.get_or_init(|| start(&env));
    #[cfg(feature = "testing")]
    if let Some(response) = testing::serve(&mut request, &env).await {
        return response;
    }
    match app {
        Some(app) => convert::response(app.handle(convert::request(&mut request).await?).await),
        None => Response::error("This Worker is not configured; its log says what is missing.", 500),
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
    ];
    match platform(env) {
        Ok(platform) => Some(App::new(Arc::new(platform), functions)),
        Err(why) => {
            tracing::error!(why, "the Worker is not configured");
            None
        }
    }
}

/// The ports and settings, from the bindings, variables and secrets that `wrangler.toml` names.
fn platform(env: &Env) -> std::result::Result<Platform, String> {
    // A secret is read like a variable.
    let lookup = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let database = env.d1("DB").map_err(|why| format!("DB: {why}"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let key = lookup("SOUK_SIGNING_KEY").ok_or("the secret SOUK_SIGNING_KEY is missing")?;
    Ok(Platform {
        documents: Arc::new(souk_cloudflare::open(database, clock.clone())),
        clock,
        random,
        keys: Keys::parse(&key).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))?,
        settings: Settings::from_lookup(lookup, PasswordCost::WORKER)?,
    })
}
