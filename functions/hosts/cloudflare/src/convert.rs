//! Between the Worker's requests and responses and those of the `http` crate.
//!
//! To cross between Wasm and JavaScript costs about as much as to route a request. So a request's method, URL and headers come
//! over as one text, one item a line (none of them can have a line break in it), and a response goes back in one call.

use std::cell::RefCell;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use souk_kit::{ClientAddress, MAX_BODY};
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
    /// What JavaScript keeps, by its place there.
    static KEPT: RefCell<Vec<Kept>> = RefCell::default();
}
/// A response that is kept: its status, and its headers in their order, `None` for a value that each response has of its own.
struct Kept {
    status: u16,
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
}
/// How many different ones it keeps.
const MAX_KEPT: usize = 100;

/// The request with its body, or with `None` for a body that is too large.
pub(crate) async fn request(raw: &web_sys::Request) -> Result<http::Request<Option<Bytes>>> {
    // What is made of it are parts of it: no item is copied.
    let head = Bytes::from(head(raw));
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| head.slice_ref(line));
    let mut out = http::Request::new(Some(Bytes::new()));
    *out.method_mut() = Method::from_bytes(&lines.next().unwrap_or_default()).map_err(invalid)?;
    let mut url = lines.next().unwrap_or_default();
    url.truncate(LONG_URL);
    *out.uri_mut() = Uri::from_maybe_shared(url).map_err(invalid)?;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value)) {
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
    let mut values = String::with_capacity(192);
    let place = place(response, &mut values);
    respond(place, &values, (!body.is_empty()).then_some(body))
}

/// Where a response with this status and these headers is kept, from now on if none was. `values` gets what is its own, a line each.
fn place(response: &http::Response<Bytes>, values: &mut String) -> usize {
    let status = response.status().as_u16();
    let headers = || response.headers().iter();
    let known = KEPT.with_borrow(|kept| {
        kept.iter().position(|like| {
            values.clear();
            like.status == status && like.fits(headers(), values)
        })
    });
    if let Some(place) = known {
        return place;
    }
    // A copy: the value may be a part of a request's head, credentials and all, which is not to be kept with it.
    let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    let own_or_common = |name: &HeaderName, value: &HeaderValue| (!is_own(name)).then(|| copy(value)).flatten();
    let like = Kept {
        status,
        headers: headers()
            .map(|(name, value)| (name.clone(), own_or_common(name, value)))
            .collect(),
    };
    values.clear();
    like.fits(headers(), values);
    let common = like.headers.iter().flat_map(|(name, value)| {
        let value = value.as_ref().map_or(OWN, text);
        [name.as_str(), "\n", value, "\n"]
    });
    let common: String = common.collect();
    let place = KEPT.with_borrow_mut(|kept| {
        if kept.len() == MAX_KEPT {
            kept.clear();
        }
        kept.len()
    });
    // JavaScript first: were it to throw, a place on the list without a response behind it would fail every request that finds it.
    keep(place, status, &common);
    KEPT.with_borrow_mut(|kept| kept.push(like));
    place
}

impl Kept {
    /// Whether these are its headers, in its order. `values` gets a line for each whose value is the response's own.
    fn fits<'a>(
        &self,
        mut headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        values: &mut String,
    ) -> bool {
        let fits = self.headers.iter().all(|(name, common)| {
            let Some((other, value)) = headers.next() else {
                return false;
            };
            if common.is_none() {
                values.push_str(text(value));
                values.push('\n');
            }
            name == other && common.as_ref().is_none_or(|common| common == value)
        });
        fits && headers.next().is_none()
    }
}

/// All that we send is ASCII.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// Whether each response has a value of its own for this header.
fn is_own(name: &HeaderName) -> bool {
    [header::ETAG, header::AGE, header::LOCATION, header::CONTENT_LENGTH].contains(name)
        || ["x-request-id", "traceparent", "server-timing"].contains(&name.as_str())
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::RustError(why.to_string())
}
