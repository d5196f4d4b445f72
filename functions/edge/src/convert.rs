//! Between the Worker's requests and responses and those of the `http` crate.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use souk_http::{ClientAddress, MAX_BODY};
use worker::{Error, Headers, Request, Response, ResponseBuilder, Result};

/// A URL beyond this is cut off, and still far beyond what is accepted; `Uri` refuses those of 64 KB.
const LONG_URL: usize = 16 * 1024;
/// How much of a body that is too large is read and thrown away. Many clients send all of it before they listen, and
/// miss the answer if the connection is closed on them.
const DRAINED: usize = 2 * 1024 * 1024;

/// The request with its body, or with `None` for a body that is too large.
pub(crate) async fn request(request: &mut Request) -> Result<http::Request<Option<Bytes>>> {
    let raw = request.inner();
    // The worker crate's own `Method` takes every method that it does not know for GET.
    let method = Method::from_bytes(raw.method().as_bytes()).map_err(invalid)?;
    // Serialised by a URL parser, hence ASCII.
    let url = raw.url();
    let uri: Uri = url.get(..LONG_URL).unwrap_or(&url).parse().map_err(invalid)?;
    let has_body = raw.body().is_some();

    let mut out = http::Request::new(Some(Bytes::new()));
    *out.method_mut() = method;
    *out.uri_mut() = uri;
    for (name, value) in request.headers().entries() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
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
    if has_body {
        let length = out.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        *out.body_mut() = body(request, length).await?;
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
pub(crate) fn response(response: http::Response<Bytes>) -> Result<Response> {
    let (parts, body) = response.into_parts();
    let headers = Headers::new();
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            headers.append(name.as_str(), value)?;
        }
    }
    let builder = ResponseBuilder::new()
        .with_status(parts.status.as_u16())
        .with_headers(headers);
    Ok(if body.is_empty() {
        builder.empty()
    } else {
        builder.fixed(body.into())
    })
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::RustError(why.to_string())
}
