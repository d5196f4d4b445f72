//! The `Outbound` port over `fetch`.
//!
//! **Where it connects to.** The URL is judged by `souk_core::outbound::target`, the same for every host, before anybody is
//! asked. What its name resolves to a Worker cannot see; that a connection goes to a public address is the platform's to
//! ensure. Cloudflare's network leads to no private one. workerd on a machine of one's own checks each address when it
//! connects, if its network `internet` allows `public` only, which is its default; `infra/worker-serve.mjs` adds what
//! `SOUK_OUTBOUND_ALLOW` names.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use souk_core::Outbound;
use souk_core::outbound::{Call, MAX_REPLY, OutboundError, Reply, target};
use worker::send::SendFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    AbortController, AbortSignal, CacheMode, Error, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
};

use crate::time::in_time;

/// Calls others by `fetch`.
pub struct FetchOutbound {
    allow: Vec<String>,
}

impl FetchOutbound {
    /// It may also call these `host:port`s, though private or plain.
    #[must_use]
    pub fn new(allow: Vec<String>) -> Self {
        Self { allow }
    }
}

#[async_trait]
impl Outbound for FetchOutbound {
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        target(&call.url, &self.allow)?;
        SendFuture::new(async {
            let limit = Duration::from_millis(call.timeout_ms.into());
            let request = request(&call).map_err(|why| OutboundError::Refused(why.to_string()))?;
            let abort = AbortController::default();
            let exchange = async { exchange(request, &abort.signal()).await };
            match in_time(limit, exchange).await {
                Some(result) => result.map_err(|why| OutboundError::Failed(why.to_string())),
                None => {
                    // It would else keep one of the few connections that a request may have.
                    abort.abort();
                    Err(OutboundError::TimedOut)
                }
            }
        })
        .await
    }
}

fn request(call: &Call) -> worker::Result<Request> {
    // The worker crate takes every method that it does not know for GET.
    let method = Method::from(call.method.clone());
    if method.as_ref() != call.method {
        return Err(Error::RustError(format!("no method that we send: {}", call.method)));
    }
    let headers = Headers::new();
    for (name, value) in &call.headers {
        headers.set(name, value)?;
    }
    let mut init = RequestInit::new();
    init.with_method(method)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_cache(CacheMode::NoStore)
        .with_body((!call.body.is_empty()).then(|| JsValue::from_str(&call.body)));
    Request::new_with_init(&call.url, &init)
}

async fn exchange(request: Request, signal: &AbortSignal) -> worker::Result<Reply> {
    let mut response = Fetch::Request(request).send_with_signal(signal).await?;
    let (mut body, mut truncated) = (Vec::new(), false);
    // An answer without a body has no stream. One that is dropped before its end is cancelled.
    if let Ok(mut stream) = response.stream() {
        while !truncated && let Some(chunk) = stream.try_next().await? {
            let room = MAX_REPLY.saturating_sub(body.len());
            truncated = chunk.len() > room;
            body.extend(chunk.into_iter().take(room));
        }
    }
    Ok(Reply {
        status: response.status_code(),
        headers: response.headers().entries().collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        truncated,
    })
}
