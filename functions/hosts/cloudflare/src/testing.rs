//! Routes for the tests only (feature `testing`): the ports over HTTP, so that the contract tests run against workerd, and
//! routes that crash the instance.
//!
//! `POST /__test/documents/get|query|commit|scan|erase`, `/__test/values/get|put|delete`, `/__test/limits/take|give-back|clear`,
//! `/__test/queue/send|backlog` and
//! `/__test/outbound/call` take the method's argument as JSON, or an array of several, and respond with its `Result` as JSON;
//! `/__test/search/…` always takes an array, and the header `x-test-tenant` says whose index it is. The header `x-test-now` (milliseconds since 1970) sets the clock of documents,
//! values and limits for the call. `GET /__test/panic` panics, `GET /__test/trap` traps, `GET /__test/wait` responds after 300 ms and
//! `GET /__test/wait-long` after a minute.
//!
//! The consumer handles messages of the job `test` by the script in them (see `souk_tests::contract::queue`), which may
//! also say `trap` here. `POST /__test/queue/seen` returns the deliveries of a lane since the last call.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_cloudflare::{
    CloudflareQueue, D1Search, DurableRateLimit, FetchOutbound, ReceivedMessage, SystemClock, WorkersKv,
};
use souk_core::outbound::Call;
use souk_core::queue::{Delivery, Outcome};
use souk_core::rate_limit::Quota;
use souk_core::search::{IndexChange, Listing, Search as _, SearchQuery};
use souk_core::{
    Clock, Commit, Consistency, Documents, Key, KeyValue as _, Lane, Message, Outbound as _, Query, Queue as _,
    RateLimit as _, Tenant, Timestamp,
};
use worker::worker_sys::web_sys;
use worker::{Delay, Env, Error, Request, Response, Result};

/// The deliveries since the last call of `queue/seen`, each with the name of its queue.
static SEEN: Mutex<Vec<(String, Seen)>> = Mutex::new(Vec::new());

#[derive(Serialize)]
struct Seen {
    delivery: Delivery,
    at: i64,
}

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The response, if the request is for one of these routes.
pub(crate) async fn serve(request: &web_sys::Request, env: &Env) -> Option<web_sys::Response> {
    let mut request = Request::from(Clone::clone(request));
    let path = request.path();
    let route = path.strip_prefix("/__test/")?;
    let response = match route {
        "panic" => panic("on demand"),
        // Like a stack overflow or exhausted memory: without the panic hook.
        "trap" => core::arch::wasm32::unreachable(),
        "wait" => {
            Delay::from(Duration::from_millis(300)).await;
            Response::ok("waited")
        }
        "wait-long" => {
            Delay::from(Duration::from_secs(60)).await;
            Response::ok("waited")
        }
        _ => port(route, &mut request, env).await,
    };
    let response = response.or_else(|error| Response::error(error.to_string(), 500));
    response.ok().map(Into::into)
}

#[expect(clippy::panic, reason = "the route exists to panic")]
fn panic(why: &str) -> ! {
    panic!("{why}")
}

/// One per isolate, like the app's, because it keeps state.
static INDEX: OnceLock<D1Search> = OnceLock::new();

async fn search(method: &str, body: &str, tenant: &str, env: &Env) -> Result<Response> {
    let database = env.d1("SEARCH")?;
    let main = INDEX.get_or_init(|| souk_cloudflare::open_search(database, true, Arc::new(SystemClock)));
    let index = main.of(&Tenant::named(tenant).unwrap_or(Tenant::main()));
    match method {
        "search" => answer(&index.search(&parse::<[SearchQuery; 1]>(body)?[0]).await),
        "suggest" => {
            let (typed, limit) = parse::<(String, usize)>(body)?;
            answer(&index.suggest(&typed, limit).await)
        }
        "used" => answer(&index.used(&parse::<[Vec<(String, u32)>; 1]>(body)?[0]).await),
        "apply" => answer(&index.apply(&parse::<[Vec<IndexChange>; 1]>(body)?[0]).await),
        "begin" => answer(&index.begin().await),
        "fill" => {
            let (generation, listings) = parse::<(u64, Vec<Listing>)>(body)?;
            answer(&index.fill(generation, &listings).await)
        }
        "finish" => answer(&index.finish(parse::<[u64; 1]>(body)?[0]).await),
        "state" => answer(&index.state().await),
        "erase" => answer(&index.erase().await),
        _ => Response::error("no such test", 404),
    }
}

async fn port(method: &str, request: &mut Request, env: &Env) -> Result<Response> {
    let clock: Arc<dyn Clock> = match request.headers().get("x-test-now")?.and_then(|now| now.parse().ok()) {
        Some(now) => Arc::new(Fixed(Timestamp::from_millisecond(now).unwrap_or_default())),
        None => Arc::new(SystemClock),
    };
    let store = souk_cloudflare::open(env.d1("DB")?, true, clock.clone());
    let values = WorkersKv::new(env.kv("VALUES")?, clock.clone());
    let cells = DurableRateLimit::new(env.durable_object("LIMITS")?, clock);
    let queue = CloudflareQueue::open(env).map_err(Error::RustError)?;
    let body = request.text().await?;
    if let Some(method) = method.strip_prefix("search/") {
        let tenant = request.headers().get("x-test-tenant")?.unwrap_or_default();
        return search(method, &body, &tenant, env).await;
    }
    match method {
        "documents/get" => {
            let (keys, consistency) = parse::<(Vec<Key>, Consistency)>(&body)?;
            answer(&store.get(&keys, consistency).await)
        }
        "documents/query" => {
            let (query, consistency) = parse::<(Query, Consistency)>(&body)?;
            answer(&store.query(&query, consistency).await)
        }
        "documents/commit" => answer(&store.commit(parse::<Commit>(&body)?).await),
        "documents/scan" => {
            let (tenant, after): (Tenant, Option<String>) = parse(&body)?;
            answer(&store.scan(&tenant, after.as_deref()).await)
        }
        "documents/erase" => {
            let (tenant, after): (Tenant, Option<String>) = parse(&body)?;
            answer(&store.erase(&tenant, after.as_deref()).await)
        }
        "values/get" => answer(&values.get(&parse::<String>(&body)?).await),
        "values/put" => {
            let (key, value, expires_at) = parse::<(String, String, Timestamp)>(&body)?;
            answer(&values.put(&key, &value, expires_at).await)
        }
        "values/delete" => answer(&values.delete(&parse::<String>(&body)?).await),
        "limits/take" => {
            let (key, quota, wanted) = parse::<(String, Quota, u32)>(&body)?;
            answer(&cells.take(&key, quota, wanted).await)
        }
        "limits/give-back" => {
            let (key, units, ends_at) = parse::<(String, u32, i64)>(&body)?;
            answer(&cells.give_back(&key, units, ends_at).await)
        }
        "limits/clear" => answer(&cells.clear(&parse::<String>(&body)?).await),
        "queue/send" => answer(&queue.send(&parse::<Vec<Message>>(&body)?).await),
        "queue/backlog" => answer(&queue.backlog(parse::<Lane>(&body)?).await),
        "queue/seen" => {
            let name = format!("souk-{}", parse::<Lane>(&body)?.name());
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            let lane = seen.extract_if(.., |(queue, _)| *queue == name);
            answer(&lane.map(|(_, seen)| seen).collect::<Vec<_>>())
        }
        "outbound/call" => {
            let allow = env.var("SOUK_OUTBOUND_ALLOW").map(|list| list.to_string());
            let allow = allow.unwrap_or_default().split(',').map(str::to_owned).collect();
            answer(&FetchOutbound::new(allow).call(parse::<Call>(&body)?).await)
        }
        _ => Response::error("no such test", 404),
    }
}

/// Handles a message of the job `test` by its script; `false` for any other message.
pub(crate) fn act(queue: &str, message: &ReceivedMessage, delivery: &Delivery) -> bool {
    if delivery.message.job != "test" {
        return false;
    }
    let seen = Seen {
        delivery: delivery.clone(),
        at: SystemClock.now().as_millisecond(),
    };
    let mut all = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    all.push((queue.to_owned(), seen));
    let script = delivery.message.body.get("script").and_then(|script| script.as_array());
    let attempt = usize::try_from(delivery.deliveries).unwrap_or(1).saturating_sub(1);
    let step = script.and_then(|script| script.get(attempt).or(script.last())?.as_str());
    match step {
        Some("again") => message.ack_or_retry(Outcome::Retry(1)),
        // A dying consumer would take the rest of the batch with it, so only this message fails.
        Some("die") => message.fail(),
        Some("trap") => core::arch::wasm32::unreachable(),
        _ => message.ack_or_retry(Outcome::Done),
    }
    true
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T> {
    Ok(serde_json::from_str(body)?)
}

fn answer<T: Serialize>(result: &T) -> Result<Response> {
    Response::from_json(result)
}
