//! The AWS host: builds the platform from the environment and answers API Gateway's events with one function.
//!
//! Each function is a binary of its own (`src/bin`), so that it starts fast and may do no more than its own role in
//! `template.yaml` allows. A Lambda answers one request at a time; more requests make more Lambdas.

pub mod event;

use std::env;
use std::sync::Arc;

use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use serde_json::Value;
use souk_aws::{DynamoDocuments, SystemClock, SystemRandom};
use souk_core::{Clock, Random};
use souk_http::{App, Function, Keys, PasswordCost, Platform, Settings};
use tracing_subscriber::EnvFilter;

/// Serves `function` until the Lambda service ends the process.
pub async fn run(function: Function) -> Result<(), Error> {
    // The Lambda service takes lines of JSON as they are.
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .init();
    let app = &App::new(Arc::new(platform()?), [function]);
    let answer = async |event: LambdaEvent<Value>| {
        let request = event::request(event.payload)?;
        Ok::<_, Error>(event::answer(app.handle(request).await).await?)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// The ports and settings, from the environment that `template.yaml` sets.
fn platform() -> Result<Platform, String> {
    let required = |name: &str| env::var(name).map_err(|_| format!("the environment variable {name} is missing"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    Ok(Platform {
        documents: Arc::new(DynamoDocuments::connect(
            required("SOUK_TABLE")?,
            clock.clone(),
            random.clone(),
        )?),
        clock,
        random,
        keys: Keys::parse(&required("SOUK_SIGNING_KEY")?).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))?,
        settings: Settings::from_lookup(|name| env::var(name).ok(), PasswordCost::SERVER)?,
    })
}
