//! Between the Worker's requests and responses and those of the `http` crate.
//!
//! To cross between Wasm and JavaScript costs about as much as to route a request. So a request's method, URL and headers come
//! over as one text, one item a line (none of them can have a line break in it), and a response goes back in one call.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use souk_http::{ClientAddress, MAX_BODY};
use wasm_bindgen::prelude::wasm_bindgen;
use worker::worker_sys::web_sys;
use worker::{Error, Request, Result};

/// A URL beyond this is cut off, and still far beyond what is accepted; `Uri` refuses those of 64 KB.
const LONG_URL: usize = 16 * 1024;
/// How much of a body that is too large is read and thrown away. Many clients send all of it before they listen, and
/// miss the answer if the connection is closed on them.
const DRAINED: usize = 2 * 1024 * 1024;

/// In the place of a value that each response has of its own. No value can have it.
const OWN: &str = "\r";

#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    js_sys = worker::js_sys,
    inline_js = r#"
export function head(request) {
    // From the path on: before it are no less than eight signs.
    let head = request.method + "\n" + request.url.slice(request.url.indexOf("/", 8));
    // By no iterator, which the runtime makes an object for.
    request.headers.forEach((value, name) => { head += "\n" + name + "\n" + value; });
    return head;
}
// To make headers costs more than all the rest of a response, to copy some little. So responses are kept, without a body, with the
// names of those headers that each response has a value of its own for. These are set before the copy is made: a
// response's own would be one more object for the runtime.
const kept = [];
export function keep(place, status, common) {
    const lines = common.split("\n");
    const own = [];
    const response = new Response(null, { status });
    for (let at = 0; at + 1 < lines.length; at += 2) {
        if (lines[at + 1] === "\r") own.push(lines[at]);
        else response.headers.append(lines[at], lines[at + 1]);
    }
    kept[place] = { response, own };
}
export function respond(place, values, body) {
    const { response, own } = kept[place];
    const lines = values.split("\n");
    for (let at = 0; at < own.length; at++) response.headers.set(own[at], lines[at]);
    // The body is a view of memory that will be used anew.
    return new Response(body?.slice() ?? null, response);
}
"#
)]
extern "C" {
    fn head(request: &web_sys::Request) -> String;
    fn keep(place: usize, status: u16, common: &str);
    fn respond(place: usize, values: &str, body: Option<&[u8]>) -> web_sys::Response;
}

thread_local! {
    /// Where JavaScript keeps a response with this status and these headers.
    static KEPT: RefCell<HashMap<(u16, String), usize>> = RefCell::default();
}
/// How many different ones it keeps.
const MAX_KEPT: usize = 100;

/// The request with its body, or with `None` for a body that is too large.
pub(crate) async fn request(raw: &web_sys::Request) -> Result<http::Request<Option<Bytes>>> {
    let head = head(raw);
    let mut lines = head.split('\n');
    let mut out = http::Request::new(Some(Bytes::new()));
    *out.method_mut() = Method::from_bytes(lines.next().unwrap_or_default().as_bytes()).map_err(invalid)?;
    // Serialised by a URL parser, hence ASCII.
    let url = lines.next().unwrap_or_default();
    let uri: Uri = url.get(..LONG_URL).unwrap_or(url).parse().map_err(invalid)?;
    *out.uri_mut() = uri;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            out.headers_mut().append(name, value);
        }
    }
    // The platform sets it and lets no client do so.
    if let Some(address) = out.headers().get("cf-connecting-ip")
        && let Ok(address) = address.to_str()
    {
        let address = ClientAddress(address.to_owned());
        out.extensions_mut().insert(address);
    }
    // To ask for a body makes a stream of it.
    if !matches!(*out.method(), Method::GET | Method::HEAD) && raw.body().is_some() {
        let length = out.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        *out.body_mut() = body(&mut Request::from(Clone::clone(raw)), length).await?;
    }
    Ok(out)
}

async fn body(request: &mut Request, length: Option<usize>) -> Result<Option<Bytes>> {
    if length.is_some_and(|length| length <= MAX_BODY) {
        return Ok(Some(request.bytes().await?.into()));
    }
    let (mut stream, mut body, mut size) = (request.stream()?, Vec::new(), 0);
    while size <= DRAINED
        && let Some(chunk) = stream.try_next().await?
    {
        size += chunk.len();
        if size <= MAX_BODY {
            body.extend(chunk);
        }
    }
    Ok((size <= MAX_BODY).then(|| body.into()))
}

/// The response, in one piece.
pub(crate) fn response(response: &http::Response<Bytes>) -> web_sys::Response {
    let body = response.body();
    let (mut common, mut values) = (String::with_capacity(1024), String::with_capacity(256));
    for (name, value) in response.headers() {
        // The platform counts a body by itself.
        let is_counted = *name == header::CONTENT_LENGTH && !body.is_empty();
        let (false, Ok(value)) = (is_counted, value.to_str()) else {
            continue;
        };
        if is_own(name) {
            common.extend([name.as_str(), "\n", OWN, "\n"]);
            values.extend([value, "\n"]);
        } else {
            common.extend([name.as_str(), "\n", value, "\n"]);
        }
    }
    let place = place(response.status().as_u16(), common);
    respond(place, &values, (!body.is_empty()).then_some(body))
}

/// Where such a response is kept, from now on if none was.
fn place(status: u16, common: String) -> usize {
    KEPT.with_borrow_mut(|kept| {
        let like = (status, common);
        if let Some(place) = kept.get(&like) {
            return *place;
        }
        if kept.len() == MAX_KEPT {
            kept.clear();
        }
        let place = kept.len();
        keep(place, status, &like.1);
        kept.insert(like, place);
        place
    })
}

/// Whether each response has a value of its own for this header.
fn is_own(name: &HeaderName) -> bool {
    [header::ETAG, header::AGE, header::LOCATION, header::CONTENT_LENGTH].contains(name)
        || ["x-request-id", "traceparent", "server-timing"].contains(&name.as_str())
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::RustError(why.to_string())
}
