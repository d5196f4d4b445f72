//! The `Outbound` port for hosts with sockets: one attempt over HTTP/1.1, with a connection of its own.
//!
//! **The SSRF guard is at the connection.** The adapter resolves the name itself, once. If any of its addresses is not public,
//! the call is refused: a name with a public and a private address is an attack or a mistake. Otherwise it connects to the
//! addresses that it has checked, so DNS rebinding gains nothing. Redirects are not followed, proxies are not used, and one
//! deadline covers the whole call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use souk_core::Outbound;
use souk_core::outbound::{Call, OutboundError, Reply, Target, is_public, target};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 3;
/// How large the headers of a response may be, in bytes.
const MAX_HEADERS: usize = 64 * 1024;

/// The pending result of resolving a name.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The client. Each call has a connection of its own.
pub struct Client {
    allow: Vec<String>,
    resolve: Box<dyn Fn(String) -> Addresses + Send + Sync>,
    /// Created for the first call over TLS: reading the system's root certificates takes milliseconds.
    tls: OnceLock<Result<TlsConnector, String>>,
}

impl Client {
    /// A client that may also call these `host:port`s, even if they are private or without TLS.
    #[must_use]
    pub fn new(allow: &[String]) -> Self {
        Self::with_resolver(allow, |name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|at| at.ip()).collect()) })
        })
    }

    /// A client that resolves names with `resolve`.
    pub fn with_resolver(allow: &[String], resolve: impl Fn(String) -> Addresses + Send + Sync + 'static) -> Self {
        Self {
            allow: allow.to_vec(),
            resolve: Box::new(resolve),
            tls: OnceLock::new(),
        }
    }

    async fn exchange(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        limit: Duration,
        max_reply: usize,
    ) -> Result<Reply, OutboundError> {
        let addresses = self.addresses(target).await?;
        let stream = connect(&addresses, limit).await?;
        // The request is one write: Nagle's algorithm could only delay it.
        let _ = stream.set_nodelay(true);
        if !target.https {
            return send(TokioIo::new(stream), request, max_reply).await;
        }
        let name = match target.address {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(target.host.clone()).map_err(failed)?,
        };
        let tls = self.tls.get_or_init(connector).as_ref().map_err(failed)?;
        let stream = tls.connect(name, stream).await.map_err(failed)?;
        send(TokioIo::new(stream), request, max_reply).await
    }

    /// Every address of the target, all of them public unless the target is trusted.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, OutboundError> {
        let found = match target.address {
            Some(address) => vec![address],
            None => (self.resolve)(target.host.clone()).await.map_err(failed)?,
        };
        if !target.trusted && !found.iter().copied().all(is_public) {
            return Err(OutboundError::Refused(
                "the host has an address that is not public".into(),
            ));
        }
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect())
    }
}

#[async_trait]
impl Outbound for Client {
    async fn call(&self, call: Call) -> Result<Reply, OutboundError> {
        let target = target(&call.url, &self.allow)?;
        let limit = Duration::from_millis(call.timeout_ms.into());
        let max_reply = call.max_reply;
        let request = request(call, &target)?;
        deadline(limit, self.exchange(&target, request, limit, max_reply))
            .await
            .unwrap_or(Err(OutboundError::TimedOut))
    }
}

/// Tries the addresses in order. An address that does not answer leaves half of the time for the next.
async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, OutboundError> {
    let mut last = OutboundError::Failed("the host has no address".into());
    for address in addresses.iter().take(MAX_ADDRESSES) {
        match deadline(limit / 2, TcpStream::connect(address)).await {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = failed(error),
            None => last = OutboundError::TimedOut,
        }
    }
    Err(last)
}

fn request(call: Call, target: &Target) -> Result<Request<Full<Bytes>>, OutboundError> {
    let usual = if target.https { 443 } else { 80 };
    let host = if target.port == usual {
        target.host.clone()
    } else {
        format!("{}:{}", target.host, target.port)
    };
    let mut request = Request::builder().method(call.method.as_str()).uri(&target.path);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let refused = |error: http::Error| OutboundError::Refused(error.to_string());
    let mut request = request.body(Full::from(call.body)).map_err(refused)?;
    let headers = request.headers_mut();
    headers.insert(
        header::HOST,
        HeaderValue::from_str(&host).map_err(|e| refused(e.into()))?,
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Sends the request and reads up to `max_reply` bytes of the response.
async fn send<T: Read + Write + Unpin>(
    io: T,
    request: Request<Full<Bytes>>,
    max_reply: usize,
) -> Result<Reply, OutboundError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADERS)
        .handshake(io)
        .await
        .map_err(failed)?;
    let exchange = async move {
        let (parts, mut body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let (mut read, mut truncated) = (Vec::new(), false);
        while !truncated && let Some(frame) = body.frame().await {
            let frame = frame.map_err(failed)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            let room = max_reply.saturating_sub(read.len());
            truncated = data.len() > room;
            read.extend(data.iter().take(room));
        }
        let header = |(name, value): (&header::HeaderName, &HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().map(header).collect(),
            body: read,
            truncated,
        })
    };
    // The connection must be polled for the exchange to progress. It may end first, with the response already buffered.
    match select(pin!(exchange), pin!(connection)).await {
        Either::Left((reply, _)) => reply,
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// TLS with the system's root certificates, including those that its operator added.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system has no root certificates".into());
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn failed(error: impl ToString) -> OutboundError {
    OutboundError::Failed(error.to_string())
}

#[expect(clippy::disallowed_methods, reason = "this adapter stands on tokio")]
async fn deadline<T>(limit: Duration, task: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, task).await.ok()
}
