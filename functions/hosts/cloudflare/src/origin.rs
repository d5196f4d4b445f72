//! Makes a Worker that does not serve all functions the gate of the host that does: the Worker of the service binding `ORIGIN`, or
//! whatever answers at the base URL in the variable `ORIGIN_URL`. It forwards the paths that it does not serve, and signs who each
//! request is from (`souk_kit::App::vouch`), so that the other one can be closed to everybody else by `SOUK_GATE_ONLY`.
//!
//! A Worker behind `ORIGIN` has the same databases, namespaces, queues and signing key, and runs all jobs and schedules, so the
//! gate finds out the market and the principal. What is behind `ORIGIN_URL` has another store, such as DynamoDB, and finds them
//! out itself. A gate knows the declarations of its own functions only, so it must include every function that subscribes to
//! events that it emits.

use http::{Uri, header};
use souk_kit::App;
use souk_kit::http::{Problem, problem_type};
use wasm_bindgen::JsCast as _;
use worker::worker_sys::web_sys;
use worker::{Env, Error, Fetch, Fetcher, Request, Response};

use crate::convert;

/// The host behind this one.
enum Origin {
    Worker(Fetcher),
    Url(String),
}

impl Origin {
    fn of(env: &Env) -> Option<Self> {
        let binding = env.service("ORIGIN").ok().map(Self::Worker);
        binding.or_else(|| Some(Self::Url(env.var("ORIGIN_URL").ok()?.to_string())))
    }
}

/// Whether there is a host behind this one.
pub(crate) fn is_set(env: &Env) -> bool {
    Origin::of(env).is_some()
}

/// The response of the host behind, if this one does not serve the path.
pub(crate) async fn forward(app: &App, request: &web_sys::Request, env: &Env) -> Option<web_sys::Response> {
    let uri: Uri = request.url().parse().ok()?;
    if app.serves(uri.path()) {
        return None;
    }
    let origin = Origin::of(env)?;
    // What is not well-formed is refused as if it were served here.
    let (mut parts, ()) = convert::head_of(request).ok()?.into_parts();
    if let Some(Ok(host)) = uri.host().map(http::HeaderValue::try_from) {
        parts.headers.insert(header::HOST, host);
    }
    if let Err(problem) = app.vouch(&mut parts, matches!(origin, Origin::Worker(_))).await {
        return Some(convert::response(&app.refuse(problem)));
    }
    Some(match send(&origin, &uri, request, &parts.headers).await {
        Ok(response) => response.into(),
        Err(error) => {
            let detail = "the host behind this one does not answer";
            let problem = Problem::new(problem_type::ORIGIN_UNAVAILABLE, detail);
            convert::response(&app.refuse(problem.caused_by(error.to_string())))
        }
    })
}

async fn send(
    origin: &Origin,
    uri: &Uri,
    request: &web_sys::Request,
    signed: &http::HeaderMap,
) -> Result<Response, Error> {
    let url = match origin {
        Origin::Worker(_) => request.url(),
        Origin::Url(base) => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            format!("{}{path}", base.trim_end_matches('/'))
        }
    };
    // A Request has the properties of the options: method, headers and body.
    let copy = web_sys::Request::new_with_str_and_init(&url, request.unchecked_ref());
    let copy = copy.map_err(|error| Error::JsError(format!("{error:?}")))?;
    let set = |name: &str, value: &str| copy.headers().set(name, value);
    if let Some(Ok(identity)) = signed.get("souk-identity").map(|value| value.to_str()) {
        let _ = set("souk-identity", identity);
    }
    if !signed.contains_key(header::AUTHORIZATION) {
        let _ = copy.headers().delete(header::AUTHORIZATION.as_str());
    }
    match origin {
        Origin::Worker(worker) => worker.fetch_request(Request::from(copy)).await,
        Origin::Url(_) => Fetch::Request(Request::from(copy)).send().await,
    }
}
