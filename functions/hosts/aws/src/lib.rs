//! The AWS host: Souk's functions as Lambdas, from two binaries.
//!
//! `api` answers API Gateway's events with the functions that `SOUK_FUNCTIONS` names (all of them if it is unset).
//! `template.yaml` deploys it once for each function, with a role of its own. `worker` runs the jobs and schedules of all
//! functions: SQS invokes it with batches of messages, EventBridge every minute.
//!
//! **Outbox.** Lambda freezes an instance as soon as it has answered, so `api` sends what a request committed to SQS before it
//! answers. If SQS is slow the client does not wait: the sweeper sends the messages later.
//!
//! **Search.** The index is a file in S3 (`souk_aws::S3Search`) or, if `OPENSEARCH_URL` is set, in OpenSearch
//! (`souk_aws::OpenSearch`). The functions that search and the worker open it.

pub mod event;
mod queue_event;
mod roles;
#[cfg(test)]
mod template;

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lambda_http::{Error, LambdaEvent, lambda_runtime, service_fn};
use serde_json::Value;
use souk_aws::{
    CloudFront, DynamoDocuments, DynamoKeyValue, DynamoRateLimit, OpenSearch, S3Search, Ses, SqsQueue, SystemClock,
    SystemRandom,
};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::search::NoSearch;
use souk_core::{Clock, EdgeCache, Mail, Outbound, Search};
use souk_kit::http::Problem;
use souk_kit::platform::MailSettings;
use souk_kit::telemetry::{JsonLines, log_level};
use souk_kit::{App, DocumentCache, Function, Keys, PasswordCost, Platform, Ports, REQUEST_SECONDS, Settings};
use souk_mail::{HttpApi, Smtp};

use roles::{Limited, Role};

/// How long a client waits for SQS at most.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1500);
/// For how long no client waits for SQS after it was slow, in milliseconds.
const PAUSE_AFTER_TIMEOUT: i64 = 10_000;

/// Answers API Gateway's events with the functions that `SOUK_FUNCTIONS` names, or with what the settings lack.
pub async fn serve() -> Result<(), Error> {
    init_logging();
    let api = match Api::new() {
        Ok(api) => api,
        Err(why) => {
            tracing::error!(why, "the function is not configured");
            let problem = &Problem::not_configured(why);
            let answer = async |_: LambdaEvent<Value>| Ok::<_, Error>(event::response(problem.bare_response()).await?);
            return lambda_runtime::run(service_fn(answer)).await;
        }
    };
    let Api { host, proxies, secret } = &api;
    let flush = &OutboxFlush::default();
    let answer = async |event: LambdaEvent<Value>| {
        let mut request = event::request(event.payload, *proxies)?;
        if let Some(secret) = secret
            && !event::has_secret(&mut request, secret)
        {
            let problem = Problem::forbidden("this address is not for clients; use the public URL of the market");
            return Ok(event::response(host.app.refuse(problem)).await?);
        }
        let response = within_deadline(host.app.handle(request)).await;
        let response = response.unwrap_or_else(|| host.app.timed_out());
        flush.run(&host.app, &SystemClock).await;
        Ok::<_, Error>(event::response(response).await?)
    };
    lambda_runtime::run(service_fn(answer)).await
}

/// What `api` answers with, as the environment describes it.
struct Api {
    host: Host,
    proxies: usize,
    secret: Option<String>,
}

impl Api {
    fn new() -> Result<Self, String> {
        // `SOUK_PROXIES`: how many trusted proxies, such as CloudFront, are between the client and the API.
        let proxies = match env::var("SOUK_PROXIES") {
            Ok(text) => text.parse().map_err(|_| "SOUK_PROXIES: must be a whole number")?,
            Err(_) => 0,
        };
        // `SOUK_ORIGIN_SECRET`: requests without it did not come through CloudFront.
        let secret = env::var("SOUK_ORIGIN_SECRET").ok().filter(|secret| !secret.is_empty());
        let functions = souk_market::named(&env::var("SOUK_FUNCTIONS").unwrap_or_default());
        let functions = functions.map_err(|why| format!("SOUK_FUNCTIONS: {why}"))?;
        let keys = signing_keys()?;
        if !keys.can_sign() && functions.iter().any(|function| function.name == "identity") {
            return Err("SOUK_SIGNING_KEY: identity signs tokens, which a derived key cannot".into());
        }
        let aws = souk_aws::Settings::from_env()?;
        let search: Arc<dyn Search> = if functions.iter().any(|function| function.searches) {
            search_index(&aws)?
        } else {
            Arc::new(NoSearch(None))
        };
        let kinds = souk_market::registry().kinds;
        let roles = functions.iter().map(|function| Role::of(function, &kinds)).collect();
        let calls = functions.iter().any(|function| function.calls);
        let outbound = |settings: &Settings| if calls { client(settings) } else { Arc::new(NoOutbound) };
        let host = Host::new(&aws, keys, functions, roles, search, outbound, None)?;
        Ok(Self { host, proxies, secret })
    }
}

#[expect(clippy::disallowed_methods, reason = "only Lambda runs this, and its host is tokio")]
async fn within_deadline<T>(task: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(REQUEST_SECONDS), task)
        .await
        .ok()
}

/// Runs the jobs and schedules of all functions.
pub async fn work() -> Result<(), Error> {
    init_logging();
    let aws = souk_aws::Settings::from_env()?;
    let search = search_index(&aws)?;
    let edge = distribution().map(|id| -> Arc<dyn EdgeCache> {
        Arc::new(CloudFront::new(
            &aws,
            &id,
            Arc::new(SystemClock),
            Arc::new(SystemRandom),
        ))
    });
    let mut all = souk_market::functions();
    all.push(souk_ops::purge::function());
    #[cfg(feature = "testing")]
    all.push(souk_kit::testing::poison(|| std::process::abort()));
    let roles = vec![Role::of_worker(&all)];
    let host = &Host::new(
        &aws,
        signing_keys()?,
        all,
        roles,
        search,
        client,
        Some(OfWorker { edge, mail }),
    )?;
    let answer = async |event: LambdaEvent<Value>| queue_event::handle(&host.app, &host.queue, event.payload).await;
    lambda_runtime::run(service_fn(answer)).await
}

fn client(settings: &Settings) -> Arc<dyn Outbound> {
    Arc::new(souk_outbound::Client::new(&settings.outbound_allow))
}

/// What only the worker has.
struct OfWorker {
    /// The cache to purge.
    edge: Option<Arc<dyn EdgeCache>>,
    mail: OpenMail,
}

/// Opens what sends mails.
type OpenMail = fn(&MailSettings, &souk_aws::Settings, &Arc<dyn Outbound>) -> Result<Arc<dyn Mail>, String>;

fn mail(
    MailSettings { url, key, from }: &MailSettings,
    aws: &souk_aws::Settings,
    outbound: &Arc<dyn Outbound>,
) -> Result<Arc<dyn Mail>, String> {
    if url == "ses" {
        Ok(Arc::new(Ses::new(aws, from, Arc::new(SystemClock))))
    } else if url.starts_with("http") {
        Ok(Arc::new(HttpApi::new(outbound.clone(), url, key.as_deref(), from)))
    } else if url.starts_with("smtp") {
        Ok(Arc::new(Smtp::new(url, from, false)?))
    } else {
        Err("SOUK_MAIL_URL: must begin with smtp://, smtps:// or https://, or be ses on this host".into())
    }
}

/// Logs JSON lines, as Lambda's JSON log format takes them; `SOUK_LOG` sets the level.
fn init_logging() {
    tracing_subscriber::fmt()
        .event_format(JsonLines(Some(Arc::new(SystemClock))))
        .with_max_level(log_level(env::var("SOUK_LOG").ok().as_deref()))
        .init();
}

fn signing_keys() -> Result<Keys, String> {
    Keys::parse(&required("SOUK_SIGNING_KEY")?).map_err(|why| format!("SOUK_SIGNING_KEY: {why}"))
}

fn required(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("the environment variable {name} is missing"))
}

/// The id of the CloudFront distribution to purge (`SOUK_CLOUDFRONT`).
fn distribution() -> Option<String> {
    env::var("SOUK_CLOUDFRONT").ok().filter(|id| !id.is_empty())
}

/// The search index: in OpenSearch if `OPENSEARCH_URL` is set, else in S3 with local copies in `/tmp`.
fn search_index(aws: &souk_aws::Settings) -> Result<Arc<dyn Search>, String> {
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    if let Some(url) = env::var("OPENSEARCH_URL").ok().filter(|url| !url.is_empty()) {
        let index = OpenSearch::new(aws, &url, "souk-search", clock, random);
        return Ok(Arc::new(index.map_err(|e| format!("OPENSEARCH_URL: {e}"))?));
    }
    let bucket = required("SOUK_SEARCH_BUCKET")?;
    let folder = env::temp_dir();
    remove_old_copies(&folder);
    let folder = folder.join(format!("{COPIES}{}", std::process::id()));
    Ok(Arc::new(S3Search::new(aws, &bucket, &folder, clock, random)))
}

/// The name of a folder with copies of the search index is this and the id of the process that uses it.
const COPIES: &str = "souk-search-";

/// Removes the copies of processes that have ended: `/tmp` outlives a process that Lambda restarts.
fn remove_old_copies(folder: &Path) {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let has_ended = |id: &str| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists();
        if name.strip_prefix(COPIES).is_some_and(has_ended) {
            // Another process may be removing it too.
            let _ = std::fs::remove_dir_all(folder.join(name));
        }
    }
}

/// The functions over their ports, as the environment that `template.yaml` sets describes them.
struct Host {
    app: App,
    queue: Arc<SqsQueue>,
}

impl Host {
    fn new(
        aws: &souk_aws::Settings,
        keys: Keys,
        functions: Vec<Function>,
        roles: Vec<Role>,
        search: Arc<dyn Search>,
        outbound: impl FnOnce(&Settings) -> Arc<dyn Outbound>,
        worker: Option<OfWorker>,
    ) -> Result<Self, String> {
        let settings = Settings::from_lookup(|name| env::var(name).ok(), PasswordCost::SERVER)?;
        if settings.is_loopback() && env::var("AWS_ENDPOINT_URL").is_err() {
            return Err("SOUK_PUBLIC_URL: must be the URL of the API for clients, such as https://souk.example".into());
        }
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let queue = SqsQueue::new(aws, required("SOUK_QUEUE_PREFIX")?, clock.clone(), random.clone());
        let queue = Arc::new(queue);
        let table = required("SOUK_TABLE")?;
        let documents = DynamoDocuments::new(aws, &table, clock.clone(), random.clone());
        let documents = Arc::new(Limited::new(documents, roles.clone()));
        let values = DynamoKeyValue::new(aws, &table, clock.clone(), random.clone());
        let values = Arc::new(Limited::new(values, roles.clone()));
        let cells = DynamoRateLimit::new(aws, &table, clock.clone(), random.clone());
        let cells = Limited::new(cells, roles);
        // An event goes to the jobs of all functions, whichever are mounted here.
        let mut registry = souk_market::registry();
        if distribution().is_some() {
            registry.subscriptions.extend(souk_ops::purge::SUBSCRIPTIONS);
        }
        let kinds = registry.kinds.iter().copied();
        let cache = DocumentCache::new(documents.clone(), values, clock.clone(), kinds, settings.cache.values);
        let outbound = outbound(&settings);
        let mail = match (&worker, &settings.mail) {
            (Some(worker), Some(settings)) => Some((worker.mail)(settings, aws, &outbound)?),
            _ => None,
        };
        let ports = Ports {
            documents,
            queue: queue.clone(),
            search,
            outbound,
            principals: souk_market::principals(),
            clock,
            random,
        };
        let platform = Platform::new(ports, keys, settings, registry)
            .with_assets(souk_market::assets())
            .with_rate_limit(cells)
            .with_mail(mail);
        let mut platform = platform.with_document_cache(cache).with_cache_tags();
        platform.edge = worker.and_then(|worker| worker.edge);
        Ok(Self {
            app: App::new(Arc::new(platform), functions),
            queue,
        })
    }
}

/// Sends what requests have committed to SQS, before they are answered.
#[derive(Default)]
struct OutboxFlush {
    /// In milliseconds since 1970; until then the sweeper sends.
    paused_until: AtomicI64,
}

impl OutboxFlush {
    #[expect(clippy::disallowed_methods, reason = "only Lambda runs this, and its host is tokio")]
    async fn run(&self, app: &App, clock: &dyn Clock) {
        let now = || clock.now().as_millisecond();
        if !app.has_pending_work() || now() < self.paused_until.load(Ordering::Relaxed) {
            return;
        }
        if tokio::time::timeout(FLUSH_TIMEOUT, app.run_pending_work())
            .await
            .is_err()
        {
            tracing::warn!("SQS is slow: the sweeper sends what is in the outbox");
            let until = now().saturating_add(PAUSE_AFTER_TIMEOUT);
            self.paused_until.store(until, Ordering::Relaxed);
        }
    }
}

/// Refuses every call, for functions whose requests call nobody.
struct NoOutbound;

#[async_trait]
impl Outbound for NoOutbound {
    async fn call(&self, _call: Call) -> Result<Reply, OutboundError> {
        Err(OutboundError::Refused("this function calls no other systems".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_copies_of_ended_processes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("{COPIES}{}", std::process::id());
        for name in ["souk-search-4294967295", &own, "souk-search-x", "other-4294967295"] {
            std::fs::create_dir_all(folder.path().join(name).join("a")).unwrap();
        }
        remove_old_copies(folder.path());
        let names = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["other-4294967295", &own, "souk-search-x"]);
    }
}
