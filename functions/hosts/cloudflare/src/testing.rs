//! Routes for the tests alone (feature `testing`): the ports over HTTP, so that their contracts are checked on a real
//! workerd, and two ways to crash, to see that the next request is served.
//!
//! `POST /__test/documents/get|query|commit`, `/__test/values/get|put|delete`, `/__test/queue/send|backlog` and `/__test/outbound/call` take the argument of
//! that method as JSON and answer with its `Result` as JSON; `/__test/search/…` likewise, the arguments as an array. The header `x-test-now` (milliseconds since 1970) sets the
//! clock of documents and values for the call. `GET /__test/panic` panics, `GET /__test/trap` traps, `GET /__test/wait` waits a
//! little, so as to be in flight.
//!
//! Messages for the job `test` are worked by the script in them (see `souk_tests::contract::queue`), which here may also say
//! `trap`. `POST /__test/queue/seen` answers with those that were delivered since the last call, of the lane it is given.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_cloudflare::{CloudflareQueue, D1Search, Delivered, FetchOutbound, SystemClock, WorkersKv};
use souk_core::outbound::Call;
use souk_core::queue::{Delivery, Outcome};
use souk_core::search::{IndexChange, Listing, Search as _, SearchQuery};
use souk_core::{
    Clock, Commit, Documents, Key, KeyValue as _, Lane, Message, Outbound as _, Query, Queue as _, Timestamp,
};
use worker::worker_sys::web_sys;
use worker::{Delay, Env, Error, Request, Response, Result};

/// What was delivered, with the queue that it came from.
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

/// The answer, if the request is one for these routes.
pub(crate) async fn serve(request: &web_sys::Request, env: &Env) -> Option<web_sys::Response> {
    let mut request = Request::from(Clone::clone(request));
    let path = request.path();
    let what = path.strip_prefix("/__test/")?;
    let response = match what {
        "panic" => panic("on demand"),
        // What a stack overflow and an exhausted memory end in, without the panic hook.
        "trap" => core::arch::wasm32::unreachable(),
        "wait" => {
            Delay::from(Duration::from_millis(300)).await;
            Response::ok("waited")
        }
        _ => port(what, &mut request, env).await,
    };
    let response = response.or_else(|error| Response::error(error.to_string(), 500));
    response.ok().map(Into::into)
}

#[expect(clippy::panic, reason = "it is what this route is for")]
fn panic(why: &str) -> ! {
    panic!("{why}")
}

/// Kept like the app's own, with what it remembers.
static INDEX: OnceLock<D1Search> = OnceLock::new();

async fn search(what: &str, body: &str, env: &Env) -> Result<Response> {
    let database = env.d1("SEARCH")?;
    let index = INDEX.get_or_init(|| souk_cloudflare::open_search(database, true, Arc::new(SystemClock)));
    match what {
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
        _ => Response::error("no such test", 404),
    }
}

async fn port(what: &str, request: &mut Request, env: &Env) -> Result<Response> {
    let clock: Arc<dyn Clock> = match request.headers().get("x-test-now")?.and_then(|now| now.parse().ok()) {
        Some(now) => Arc::new(Fixed(Timestamp::from_millisecond(now).unwrap_or_default())),
        None => Arc::new(SystemClock),
    };
    let store = souk_cloudflare::open(env.d1("DB")?, true, clock.clone());
    let values = WorkersKv::new(env.kv("VALUES")?, clock);
    let queue = CloudflareQueue::open(env).map_err(Error::RustError)?;
    let body = request.text().await?;
    if let Some(what) = what.strip_prefix("search/") {
        return search(what, &body, env).await;
    }
    match what {
        "documents/get" => answer(&store.get(&parse::<Vec<Key>>(&body)?).await),
        "documents/query" => answer(&store.query(&parse::<Query>(&body)?).await),
        "documents/commit" => answer(&store.commit(parse::<Commit>(&body)?).await),
        "values/get" => answer(&values.get(&parse::<String>(&body)?).await),
        "values/put" => {
            let (key, value, expires_at) = parse::<(String, String, Timestamp)>(&body)?;
            answer(&values.put(&key, &value, expires_at).await)
        }
        "values/delete" => answer(&values.delete(&parse::<String>(&body)?).await),
        "queue/send" => answer(&queue.send(&parse::<Vec<Message>>(&body)?).await),
        "queue/backlog" => answer(&queue.backlog(parse::<Lane>(&body)?).await),
        "queue/seen" => {
            let name = format!("souk-{}", parse::<Lane>(&body)?.name());
            let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
            let (given, kept) = std::mem::take(&mut *seen)
                .into_iter()
                .partition(|(queue, _)| *queue == name);
            *seen = kept;
            let given: Vec<(String, Seen)> = given;
            answer(&given.into_iter().map(|(_, seen)| seen).collect::<Vec<_>>())
        }
        "outbound/call" => {
            let allow = env.var("SOUK_OUTBOUND_ALLOW").map(|list| list.to_string());
            let allow = allow.unwrap_or_default().split(',').map(str::to_owned).collect();
            answer(&FetchOutbound::new(allow).call(parse::<Call>(&body)?).await)
        }
        _ => Response::error("no such test", 404),
    }
}

/// Does with a test's message as its script says; `false` for any other message.
pub(crate) fn act(queue: &str, message: &Delivered, delivery: &Delivery) -> bool {
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
    let turn = usize::try_from(delivery.deliveries).unwrap_or(1).saturating_sub(1);
    let word = script.and_then(|script| script.get(turn).or(script.last())?.as_str());
    match word {
        Some("again") => message.settle(Outcome::Again(1)),
        // To be silent is to have done it: this is how a single message fails here.
        Some("die") => message.abandon(),
        Some("trap") => core::arch::wasm32::unreachable(),
        _ => message.settle(Outcome::Done),
    }
    true
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T> {
    Ok(serde_json::from_str(body)?)
}

fn answer<T: Serialize>(result: &T) -> Result<Response> {
    Response::from_json(result)
}
