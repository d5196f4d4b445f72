//! Forwards requests for paths that this Worker does not serve to the Worker behind it: the service binding `ORIGIN`, or else
//! the base URL in the variable `ORIGIN_URL`.
//!
//! Only a Worker without some of the functions has such requests. It needs the same databases, namespaces, queues and signing
//! key as the other one, which runs all jobs and schedules. It knows the declarations of its own functions only, so it must
//! include every function that subscribes to events that it emits.

use http::Uri;
use souk_kit::App;
use souk_kit::http::{Problem, problem_type};
use wasm_bindgen::JsCast as _;
use worker::worker_sys::web_sys;
use worker::{Env, Error, Fetch, Request, Response};

use crate::convert;

/// The response of the other Worker, if this one does not serve the path.
pub(crate) async fn forward(app: &App, request: &web_sys::Request, env: &Env) -> Option<web_sys::Response> {
    let uri: Uri = request.url().parse().ok()?;
    if app.serves(uri.path()) {
        return None;
    }
    match fetch(&uri, request, env).await? {
        Ok(response) => Some(response.into()),
        Err(error) => {
            let detail = "the Worker behind this one does not answer";
            let problem = Problem::new(problem_type::ORIGIN_UNAVAILABLE, detail);
            Some(convert::response(&app.refuse(problem.caused_by(error.to_string()))))
        }
    }
}

/// `None` if there is no other Worker.
async fn fetch(uri: &Uri, request: &web_sys::Request, env: &Env) -> Option<Result<Response, Error>> {
    if let Ok(origin) = env.service("ORIGIN") {
        // Clones the handle; `request.clone()` would be JavaScript's method, which copies the body.
        let request = Request::from(Clone::clone(request));
        return Some(origin.fetch_request(request).await);
    }
    let base = env.var("ORIGIN_URL").ok()?.to_string();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", base.trim_end_matches('/'));
    // A Request has the properties of the options: method, headers and body.
    let copy = web_sys::Request::new_with_str_and_init(&url, request.unchecked_ref());
    let copy = copy.map_err(|error| Error::JsError(format!("{error:?}")));
    // The market is known by the host name that the client asked for.
    if let (Ok(copy), Some(host)) = (&copy, uri.host()) {
        let _ = copy.headers().set("souk-host", host);
    }
    Some(match copy {
        Ok(copy) => Fetch::Request(Request::from(copy)).send().await,
        Err(error) => Err(error),
    })
}
