//! The AWS host: builds the platform from the environment, answers API Gateway's events with one function, and does the
//! work in the background of all of them.
//!
//! Each function is a binary of its own (`src/bin`), so that it starts fast and may do no more than its own role in
//! `template.yaml` allows. A Lambda answers one event at a time; more events make more Lambdas.
//!
//! **Requests.** A Lambda is frozen when it has answered, so what a request has committed is handed to the queue before
//! that. If the queue does not answer in time the client is not kept waiting: the sweeper hands it over later.
//!
//! **Search** has its index in S3 (`souk_aws::S3Search`), which the search function reads and the worker writes; or, if
//! `OPENSEARCH_URL` is set, in OpenSearch (`souk_aws::OpenSearch`).
//!
//! **Work** is done by one more binary, the worker: SQS invokes it with batches of messages, the clock every minute.

pub mod event;
mod queue_event;

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use serde_json::Value;
use souk_aws::{
    CloudFront, DynamoDocuments, DynamoKeyValue, OpenSearch, S3Search, SqsQueue, SystemClock, SystemRandom,
};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::search::NoSearch;
use souk_core::{Clock, EdgeCache, Outbound, Search};
use souk_kit::work::Subscription;
use souk_kit::{App, Function, Keys, Lines, PasswordCost, Platform, Ports, Settings, log_level};

/// How long a client waits for the queue at most.
const RELAY: Duration = Duration::from_millis(1500);
/// How long nobody waits any more, in milliseconds, after one has waited in vain.
const PAUSE: i64 = 10_000;

/// Which jobs get which events. Data alone, so that no function's binary has the others' code in it.
const SUBSCRIPTIONS: [&[Subscription]; 4] = [
    souk_community::SUBSCRIPTIONS,
    souk_jobs::SUBSCRIPTIONS,
    souk_search::SUBSCRIPTIONS,
    souk_webhooks::SUBSCRIPTIONS,
];

/// The id of the distribution of CloudFront in front of the API that is to be told what changes (`SOUK_CLOUDFRONT`).
fn distribution() -> Option<String> {
    env::var("SOUK_CLOUDFRONT").ok().filter(|id| !id.is_empty())
}

/// Every function there is.
fn functions() -> [Function; 8] {
    [
        souk_catalog::function(),
        souk_community::function(),
        souk_identity::function(),
        souk_jobs::function(),
        souk_ops::function(),
        souk_search::function(),
        souk_vendors::function(),
        souk_webhooks::function(),
    ]
}

/// Makes the port of those who have business with search, and only in their binaries is there the code for it.
type Index = fn(&souk_aws::Settings) -> Result<Arc<dyn Search>, String>;

/// Serves the routes of `function`, which searches nothing, until the Lambda service ends the process.
pub async fn serve(function: Function) -> Result<(), Error> {
    run(function, |_| Ok(Arc::new(NoSearch(None)))).await
}

/// Serves the routes of `function`, which searches, until the Lambda service ends the process.
pub async fn serve_search(function: Function) -> Result<(), Error> {
    run(function, index).await
}

async fn run(function: Function, index: Index) -> Result<(), Error> {
    log();
    // `SOUK_PROXIES`: how many proxies of ours, such as CloudFront, are between the client and the API.
    let proxies = match env::var("SOUK_PROXIES") {
        Ok(text) => text.parse().map_err(|_| "SOUK_PROXIES: must be a whole number")?,
        Err(_) => 0,
    };
    let Host { app, .. } = &host([function], index, |_| Arc::new(NoOutbound), |_| None)?;
    let relay = &Relay::default();
    let answer = async |event: LambdaEvent<Value>| {
        let request = event::request(event.payload, proxies)?;
        let response = app.handle(request).await;
        relay.run(app, &SystemClock).await;
        Ok::<_, Error>(event::answer(response).await?)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// Does the jobs and runs the schedules of all functions until the Lambda service ends the process.
pub async fn work() -> Result<(), Error> {
    log();
    let outbound =
        |settings: &Settings| -> Arc<dyn Outbound> { Arc::new(souk_outbound::Client::new(&settings.outbound_allow)) };
    let all = functions().into_iter().chain([souk_ops::purge::function()]);
    let Host { app, queue } = &host(all, index, outbound, edge)?;
    let answer = async |event: LambdaEvent<Value>| queue_event::answer(app, queue, event.payload).await;
    lambda_runtime::run(service_fn(answer)).await
}

/// Starts logging as `SOUK_LOG` says.
fn log() {
    // The Lambda service takes lines of JSON as they are.
    tracing_subscriber::fmt()
        .event_format(Lines(Some(Arc::new(SystemClock))))
        .with_max_level(log_level(env::var("SOUK_LOG").ok().as_deref()))
        .init();
}

fn required(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("the environment variable {name} is missing"))
}

/// The search index: in OpenSearch if there is one, else in S3, with its copies where a Lambda may write.
fn index(aws: &souk_aws::Settings) -> Result<Arc<dyn Search>, String> {
    if let Some(url) = env::var("OPENSEARCH_URL").ok().filter(|url| !url.is_empty()) {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let index = OpenSearch::new(aws, &url, "souk-search", clock, random);
        return Ok(Arc::new(index.map_err(|e| format!("OPENSEARCH_URL: {e}"))?));
    }
    let bucket = required("SOUK_SEARCH_BUCKET")?;
    let folder = env::temp_dir();
    sweep(&folder);
    let folder = folder.join(format!("{COPIES}{}", std::process::id()));
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    Ok(Arc::new(S3Search::new(aws, &bucket, &folder, clock, random)))
}

/// What the name of a folder of copies begins with, before the id of its process.
const COPIES: &str = "souk-search-";

/// Removes what processes have left that ended before they could: a Lambda keeps its `/tmp` when it starts anew.
fn sweep(folder: &Path) {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let is_left = |id: &str| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists();
        if name.strip_prefix(COPIES).is_some_and(is_left) {
            // Somebody else may be at it.
            let _ = std::fs::remove_dir_all(folder.join(name));
        }
    }
}

/// CloudFront, for the worker alone: no other may purge.
fn edge(aws: &souk_aws::Settings) -> Option<Arc<dyn EdgeCache>> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    Some(Arc::new(CloudFront::new(aws, &distribution()?, clock, random)))
}

struct Host {
    app: App,
    queue: Arc<SqsQueue>,
}

/// The functions over the ports and settings, from the environment that `template.yaml` sets.
fn host(
    functions: impl IntoIterator<Item = Function>,
    index: Index,
    outbound: impl FnOnce(&Settings) -> Arc<dyn Outbound>,
    edge: impl FnOnce(&souk_aws::Settings) -> Option<Arc<dyn EdgeCache>>,
) -> Result<Host, String> {
    let settings = Settings::from_lookup(|name| env::var(name).ok(), PasswordCost::SERVER)?;
    let aws = souk_aws::Settings::from_env()?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let queue = Arc::new(SqsQueue::new(
        &aws,
        required("SOUK_QUEUE_PREFIX")?,
        clock.clone(),
        random.clone(),
    ));
    let table = required("SOUK_TABLE")?;
    let values = DynamoKeyValue::new(&aws, &table, clock.clone(), random.clone());
    let ports = Ports {
        documents: Arc::new(DynamoDocuments::new(&aws, table, clock.clone(), random.clone())),
        values: Some(Arc::new(values)),
        queue: queue.clone(),
        search: index(&aws)?,
        outbound: outbound(&settings),
        clock,
        random,
    };
    let keys = Keys::parse(&required("SOUK_SIGNING_KEY")?).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))?;
    let mut subscriptions = SUBSCRIPTIONS.concat();
    if distribution().is_some() {
        subscriptions.extend(souk_ops::purge::SUBSCRIPTIONS);
    }
    let mut platform = Platform::new(ports, keys, settings, subscriptions).tagged();
    platform.edge = edge(&aws);
    Ok(Host {
        app: App::new(Arc::new(platform), functions),
        queue,
    })
}

/// Hands over what requests have committed, within bounds.
#[derive(Default)]
struct Relay {
    /// Not before, in milliseconds since 1970.
    paused_until: AtomicI64,
}

impl Relay {
    #[expect(clippy::disallowed_methods, reason = "only Lambda runs this, and its host is tokio")]
    async fn run(&self, app: &App, clock: &dyn Clock) {
        let now = || clock.now().as_millisecond();
        if !app.has_news() || now() < self.paused_until.load(Ordering::Relaxed) {
            return;
        }
        if tokio::time::timeout(RELAY, app.relay()).await.is_err() {
            tracing::warn!("the queue does not answer in time");
            self.paused_until.store(now().saturating_add(PAUSE), Ordering::Relaxed);
        }
    }
}

/// For those who call nobody: only jobs do.
struct NoOutbound;

#[async_trait]
impl Outbound for NoOutbound {
    async fn call(&self, _call: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Refused("only the worker calls others".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subscriptions_are_those_of_the_functions() {
        let own = functions().map(|function| function.subscriptions).concat();
        let listed = SUBSCRIPTIONS.concat();
        assert!(own.iter().all(|subscription| listed.contains(subscription)), "{own:?}");
        assert_eq!(own.len(), listed.len());
    }

    #[test]
    fn only_what_ended_processes_have_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("{COPIES}{}", std::process::id());
        for name in ["souk-search-4294967295", &own, "souk-search-x", "other-4294967295"] {
            std::fs::create_dir_all(folder.path().join(name).join("a")).unwrap();
        }
        sweep(folder.path());
        let names = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["other-4294967295", &own, "souk-search-x"]);
    }

    /// API Gateway takes the route that says a whole path, then the one whose beginning is the longest, then `$default`.
    #[test]
    fn every_route_of_the_template_leads_to_its_function() {
        let template = include_str!("../../../../template.yaml");
        let between = |line: &'static str, before: &str, after: &str| -> Option<&'static str> {
            line.split_once(before)?.1.split_once(after).map(|(text, _)| text)
        };
        let routes: Vec<_> = template
            .lines()
            .filter_map(|line| {
                Some((
                    between(line, "RouteKey: \"ANY ", "\"")?,
                    between(line, "/${", "Integration}")?,
                ))
            })
            .collect();
        let matches = |route: &str, path: &str| match route.strip_suffix("{proxy+}") {
            Some(start) => path.len() > start.len() && path.starts_with(start),
            None => {
                let (route, path) = (route.split('/'), path.split('/'));
                route.clone().count() == path.clone().count()
                    && route
                        .zip(path)
                        .all(|(name, value)| name.starts_with('{') || name == value)
            }
        };
        for function in functions() {
            let name = function.name;
            let document = souk_kit::openapi(&[function], "");
            for path in document["paths"].as_object().unwrap().keys() {
                let best = routes
                    .iter()
                    .filter(|(pattern, _)| matches(pattern, path))
                    .max_by_key(|(pattern, _)| (!pattern.ends_with("{proxy+}"), pattern.len()));
                let target = best.map_or("Ops", |(_, target)| target).to_lowercase();
                assert_eq!(target, name, "{path}");
            }
        }
    }
}
