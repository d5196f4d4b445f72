//! Routes for the tests alone (feature `testing`): the store over HTTP, so that its contract is checked on the D1 of a
//! real workerd, and two ways to crash, to see that the next request is served.
//!
//! `POST /__test/documents/get|query|commit` takes the argument of that method as JSON and answers with its `Result` as
//! JSON. The header `x-test-now` (milliseconds since 1970) sets the clock for the call. `GET /__test/panic` panics,
//! `GET /__test/trap` traps, `GET /__test/wait` waits a little, so as to be in flight.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_cloudflare::SystemClock;
use souk_core::{Clock, Commit, Documents, Key, Query, Timestamp};
use worker::{Delay, Env, Request, Response, Result};

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The answer, if the request is one for these routes.
pub(crate) async fn serve(request: &mut Request, env: &Env) -> Option<Result<Response>> {
    let path = request.path();
    let what = path.strip_prefix("/__test/")?;
    Some(match what {
        "panic" => panic("on demand"),
        // What a stack overflow and an exhausted memory end in, without the panic hook.
        "trap" => core::arch::wasm32::unreachable(),
        "wait" => {
            Delay::from(Duration::from_millis(300)).await;
            Response::ok("waited")
        }
        _ => documents(what, request, env).await,
    })
}

#[expect(clippy::panic, reason = "it is what this route is for")]
fn panic(why: &str) -> ! {
    panic!("{why}")
}

async fn documents(what: &str, request: &mut Request, env: &Env) -> Result<Response> {
    let clock: Arc<dyn Clock> = match request.headers().get("x-test-now")?.and_then(|now| now.parse().ok()) {
        Some(now) => Arc::new(Fixed(Timestamp::from_millisecond(now).unwrap_or_default())),
        None => Arc::new(SystemClock),
    };
    let store = souk_cloudflare::open(env.d1("DB")?, clock);
    let body = request.text().await?;
    match what {
        "documents/get" => answer(&store.get(&parse::<Vec<Key>>(&body)?).await),
        "documents/query" => answer(&store.query(&parse::<Query>(&body)?).await),
        "documents/commit" => answer(&store.commit(parse::<Commit>(&body)?).await),
        _ => Response::error("no such test", 404),
    }
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T> {
    Ok(serde_json::from_str(body)?)
}

fn answer<T: Serialize>(result: &T) -> Result<Response> {
    Response::from_json(result)
}
