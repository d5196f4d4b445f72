//! Conversion between the Worker's requests and responses and those of the `http` crate.
//!
//! A call between Wasm and JavaScript costs about as much as routing a request, so each direction makes one: a request's
//! method, URL and headers arrive as one text with an item per line, and a response is built by one function.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use souk_kit::MAX_BODY;
use souk_kit::http::ClientAddress;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::js_sys::Uint8Array;
use worker::worker_sys::web_sys;

#[wasm_bindgen(wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys, inline_js = r#"
export function head(request) {
    // From the path on, and no more than `Uri` accepts; the router answers 414 to much shorter URLs.
    const path = request.url.indexOf("/", "https://".length);
    let head = request.method + "\n" + request.url.slice(path, path + 16384);
    request.headers.forEach((value, name) => { head += "\n" + name + "\n" + value; });
    return head;
}
async function read(request, limit) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request.body ?? []) {
        size += chunk.length;
        if (size <= limit) chunks.push(chunk);
        // Read on for 2 MB: many clients send all of a body before they read, and would miss the response.
        else if (size > 2 << 20) break;
    }
    return size > limit ? null : new Blob(chunks).bytes();
}
export async function body(request, limit, milliseconds) {
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, milliseconds); });
    const whole = read(request, limit);
    // It may fail when nobody waits for it any more.
    whole.catch(() => {});
    try {
        return await Promise.race([whole, late]);
    } finally {
        clearTimeout(timer);
    }
}
export function respond(status, headers, body) {
    const lines = headers.split("\n");
    const pairs = [];
    for (let i = 0; i + 1 < lines.length; i += 2) pairs.push([lines[i], lines[i + 1]]);
    // A copy: the body is a view of Wasm memory, which will be reused.
    return new Response(body?.slice(), { status, headers: pairs });
}"#)]
extern "C" {
    fn head(request: &web_sys::Request) -> String;
    #[wasm_bindgen(catch)]
    async fn body(request: &web_sys::Request, limit: usize, milliseconds: u32) -> Result<JsValue, JsValue>;
    fn respond(status: u16, headers: &str, body: Option<&[u8]>) -> web_sys::Response;
}

/// How long a client may take to send a body, in milliseconds.
const BODY_MS: u32 = 15_000;

/// Why there is no request.
pub(crate) enum Rejected {
    /// It is not well-formed.
    Malformed(String),
    /// The body did not arrive in time.
    Late,
}

/// The request without its body.
pub(crate) fn head_of(raw: &web_sys::Request) -> Result<http::Request<()>, Rejected> {
    // Every item is a slice of the text, not a copy.
    let head = Bytes::from(head(raw));
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| head.slice_ref(line));
    let mut line = || lines.next().unwrap_or_default();
    let mut out = http::Request::new(());
    *out.method_mut() = Method::from_bytes(&line()).map_err(|error| Rejected::Malformed(error.to_string()))?;
    *out.uri_mut() = Uri::from_maybe_shared(line()).map_err(|error| Rejected::Malformed(error.to_string()))?;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value)) {
            out.headers_mut().append(name, value);
        }
    }
    // Cloudflare sets this header and overwrites a client's.
    if let Some(Ok(address)) = out.headers().get("cf-connecting-ip").map(HeaderValue::to_str) {
        let address = ClientAddress(address.to_owned());
        out.extensions_mut().insert(address);
    }
    Ok(out)
}

/// The request with its body, or with `None` if the body is too large.
pub(crate) async fn request(raw: &web_sys::Request) -> Result<http::Request<Option<Bytes>>, Rejected> {
    let mut out = head_of(raw)?.map(|()| Some(Bytes::new()));
    if !matches!(*out.method(), Method::GET | Method::HEAD) {
        let body = body(raw, MAX_BODY, BODY_MS).await;
        let body = body.map_err(|error| Rejected::Malformed(format!("{error:?}")))?;
        if body.is_undefined() {
            return Err(Rejected::Late);
        }
        *out.body_mut() = body.dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec().into());
    }
    Ok(out)
}

/// A permanent redirect of any method.
pub(crate) fn redirect(url: &str) -> web_sys::Response {
    respond(308, &format!("location\n{url}\ncache-control\nno-store\n"), None)
}

/// The response. Its headers are ASCII, as the router sets no others.
pub(crate) fn response(response: &http::Response<Bytes>) -> web_sys::Response {
    let line = |(name, value): (_, &HeaderValue)| format!("{name}\n{}\n", value.to_str().unwrap_or_default());
    let (headers, body): (String, _) = (response.headers().iter().map(line).collect(), response.body());
    respond(response.status().as_u16(), &headers, (!body.is_empty()).then_some(body))
}
