//! The `Outbound` port over `fetch`.
//!
//! **SSRF.** `souk_core::outbound::target` checks the URL first, as on every host. A Worker cannot see what a host name
//! resolves to, so the platform has to keep connections on public addresses. Cloudflare's network reaches no private ones.
//! A local workerd checks each address when it connects, because its network service `internet` allows only `public` by
//! default; `infra/worker-serve.mjs` adds the hosts in `SOUK_OUTBOUND_ALLOW`.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use souk_core::Outbound;
use souk_core::outbound::{Call, OutboundError, Reply, target};
use worker::send::SendFuture;
use worker::wasm_bindgen::JsValue;
use worker::{
    AbortController, AbortSignal, CacheMode, Error, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
};

use crate::timeout::timeout;

/// The `Outbound` port over `fetch`.
pub struct FetchOutbound {
    allow: Vec<String>,
}

impl FetchOutbound {
    /// `allow` lists `host:port`s that may be called although they are private or use plain HTTP.
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
            let exchange = async { exchange(request, call.max_reply, &abort.signal()).await };
            match timeout(limit, exchange).await {
                Some(result) => result.map_err(|why| OutboundError::Failed(why.to_string())),
                None => {
                    // Free the connection: a request may have six open at a time.
                    abort.abort();
                    Err(OutboundError::TimedOut)
                }
            }
        })
        .await
    }
}

fn request(call: &Call) -> worker::Result<Request> {
    // The worker crate turns every method that it does not know into GET.
    let method = Method::from(call.method.clone());
    if method.as_ref() != call.method {
        return Err(Error::RustError(format!("unsupported method: {}", call.method)));
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

async fn exchange(request: Request, limit: usize, signal: &AbortSignal) -> worker::Result<Reply> {
    let mut response = Fetch::Request(request).send_with_signal(signal).await?;
    let (mut body, mut truncated) = (Vec::new(), false);
    // A response without a body has no stream. Dropping a stream before its end cancels it.
    if let Ok(mut stream) = response.stream() {
        while !truncated && let Some(chunk) = stream.try_next().await? {
            let room = limit.saturating_sub(body.len());
            truncated = chunk.len() > room;
            body.extend(chunk.into_iter().take(room));
        }
    }
    Ok(Reply {
        status: response.status_code(),
        headers: response.headers().entries().collect(),
        body,
        truncated,
    })
}
