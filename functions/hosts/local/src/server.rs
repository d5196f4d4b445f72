//! The HTTP server: hyper in front of the app, on tokio's multi-thread runtime.

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use indicatif::ProgressBar;
use souk_kit::http::{ClientAddress, Problem, problem_type};
use souk_kit::{App, Context, MAX_BODY, REQUEST_SECONDS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

use crate::connection::{Admission, ClientStream, Connections, Refusal};
use crate::jobs::{self, Consumers};
use crate::overload::Overload;
use crate::{data, demo, log, search};

/// How long a client may take to send its headers, and then its body.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How long requests in flight may take after a stop signal.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections may be refused at a time, and how long that may take; further ones are closed.
const MAX_REFUSED: usize = 32;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the server logs that log lines were dropped.
const LOG_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Serves the data folder `dir` until SIGINT or SIGTERM. Pages of the origins `cors` may call too.
pub(crate) async fn serve(listen: SocketAddr, dir: &Path, demo: bool, cors: &[String]) -> Result<(), String> {
    let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen}: {e}"))?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    // How many trusted proxies are between the clients and this server, as on Lambda.
    let proxies = match std::env::var("SOUK_PROXIES") {
        Ok(text) => text.parse().map_err(|_| "SOUK_PROXIES: must be a whole number")?,
        Err(_) => 0,
    };
    // First, because opening migrates the databases.
    let _lock = data::lock(dir)?;
    let market = data::open_with(dir, listen.ip().is_loopback(), |name| {
        let set = std::env::var(name).ok();
        match name {
            "SOUK_CORS_ORIGINS" => Some([set.as_slice(), cors].concat().join(",")),
            "SOUK_PUBLIC_URL" => set
                .filter(|url| !url.trim().is_empty())
                .or_else(|| Some(url_of(address))),
            _ => set,
        }
    })?;
    let login = if demo {
        let login = demo::open(&market.context(), dir).await?;
        // Print the greeting before logging starts, so that log lines do not hide it. Later starts do not wait for their jobs.
        if login.password.is_some() {
            jobs::finish(&market, ProgressBar::hidden()).await?;
        }
        Some(login)
    } else {
        None
    };
    let mut log = log::start()?;
    let data::Market { platform, queue } = market;
    search::ensure(&Context::system(platform.clone())).await;
    let app = Arc::new(App::new(platform.clone(), souk_market::functions()));
    app.warm();
    let consumers = Consumers::start(app.clone(), platform, queue)?;
    let pending_work = consumers.pending_work();
    greet(address, login.as_ref()).map_err(|e| e.to_string())?;

    let (overload, measurement) = Overload::new().map_err(|e| e.to_string())?;
    detach(measurement);
    let server = Server {
        overload,
        pending_work,
        proxies,
        connections: Arc::new(Connections::new(raise_file_limit(), proxies)),
        refused: Arc::new(Semaphore::new(MAX_REFUSED)),
        refusal: Arc::new({
            let app = app.clone();
            move |status| refusal(&app, status)
        }),
        app,
    };
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop_signal()?);
    let mut report = tokio::time::interval(LOG_REPORT_INTERVAL);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.accept(stream, peer, &graceful),
                Err(error) => {
                    // Most likely the process is out of file descriptors until other connections end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    pause(Duration::from_millis(50)).await;
                }
            },
            _ = report.tick() => log.report_dropped(),
            () = &mut stop => break,
        }
    }
    tracing::info!("stopping");
    drop(listener);
    if deadline(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_none() {
        tracing::warn!("some requests did not end in time");
    }
    consumers.stop();
    server.app.close().await;
    Ok(())
}

/// What every connection needs.
struct Server {
    app: Arc<App>,
    pending_work: Arc<Notify>,
    proxies: usize,
    connections: Arc<Connections>,
    overload: Arc<Overload>,
    refusal: Refusal,
    /// Places for connections that are being refused.
    refused: Arc<Semaphore>,
}

impl Server {
    fn accept(&self, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
        match self.connections.admit(peer.ip()) {
            Some(admission) => self.serve(stream, peer, admission, graceful),
            None => {
                // Closed at once, the connection would be reset before the client has read the response.
                if let Ok(place) = self.refused.clone().try_acquire_owned() {
                    let response = (self.refusal)(StatusCode::SERVICE_UNAVAILABLE.as_u16());
                    detach(async move {
                        deadline(REFUSAL_TIMEOUT, refuse(stream, &response)).await;
                        drop(place);
                    });
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, admission: Admission, graceful: &GracefulShutdown) {
        let (app, pending_work, proxies) = (self.app.clone(), self.pending_work.clone(), self.proxies);
        let overload = self.overload.clone();
        let flow = admission.flow.clone();
        let stream = ClientStream::new(stream, flow.clone(), self.refusal.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let client = ClientAddress::forwarded(request.headers(), proxies);
            let client = client.unwrap_or_else(|| ClientAddress(peer.ip().to_string()));
            request.extensions_mut().insert(client);
            let (app, pending_work, flow) = (app.clone(), pending_work.clone(), flow.clone());
            // Whoever watches the server has to see that it lives.
            let is_refusable = request.uri().path() != "/healthz";
            let refused = is_refusable.then(|| overload.refuse(&app)).flatten();
            async move {
                match refused {
                    Some(response) => Ok(response.map(Full::new)),
                    None => flow.when_read(answer(&app, &pending_work, request)).await,
                }
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(READ_TIMEOUT)
            .max_buf_size(64 * 1024);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        detach(async move {
            // An error means that the client has disconnected, or was disconnected.
            drop(connection.await);
            drop(admission);
        });
    }
}

/// Sends the response and reads what the client sends, until the client closes the connection.
async fn refuse(mut stream: TcpStream, response: &[u8]) {
    let mut unread = [0; 4096];
    if stream.write_all(response).await.is_ok() && stream.shutdown().await.is_ok() {
        while stream.read(&mut unread).await.is_ok_and(|count| count > 0) {}
    }
}

/// Raises the limit of open files as far as the process may, and returns it.
fn raise_file_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = setrlimit(Resource::Nofile, raised);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The URL of a server that listens on this address, for clients on this machine.
fn url_of(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// The whole response for a request that is not even read.
fn refusal(app: &App, status: u16) -> Bytes {
    let problem = match status {
        414 => Problem::new(problem_type::URL_TOO_LONG, "the URL is longer than 4 KB"),
        431 => Problem::new(problem_type::HEADERS_TOO_LARGE, "the headers are larger than 8 KB"),
        503 => Problem::new(problem_type::TOO_MANY_CONNECTIONS, "there are too many connections").retry_after(5),
        _ => Problem::bad_request("the request is not valid HTTP"),
    };
    let status = problem.kind.status;
    let response = app.refuse(problem);
    let title = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {title}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = response.body().len();
    bytes.extend(format!("connection: close\r\ncontent-length: {length}\r\n\r\n").bytes());
    bytes.extend(response.body());
    bytes.into()
}

/// An error ends the connection: the client did not send the body that it announced.
async fn answer(
    app: &App,
    pending_work: &Notify,
    request: Request<Incoming>,
) -> std::io::Result<Response<Full<Bytes>>> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let problem = Problem::bad_request("a request has exactly one Host header");
        return Ok(app.refuse(problem).map(Full::new));
    }
    let (parts, mut body) = request.into_parts();
    let declared = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = if declared.is_some_and(|length: usize| length > MAX_BODY) {
        // A client that sent `Expect: 100-continue` sends no body after a refusal.
        if !parts.headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        None
    } else if declared.is_none() && !parts.headers.contains_key(header::TRANSFER_ENCODING) {
        Some(Bytes::new())
    } else {
        match deadline(READ_TIMEOUT, Limited::new(&mut body, MAX_BODY).collect()).await {
            Some(Ok(collected)) => Some(collected.to_bytes()),
            Some(Err(error)) if error.is::<LengthLimitError>() => {
                discard(&mut body).await;
                None
            }
            Some(Err(error)) => return Err(std::io::Error::other(error)),
            None => return Err(std::io::ErrorKind::TimedOut.into()),
        }
    };
    let handling = app.handle(Request::from_parts(parts, body));
    let response = deadline(Duration::from_secs(REQUEST_SECONDS), handling).await;
    let response = response.unwrap_or_else(|| app.timed_out());
    if app.has_pending_work() {
        pending_work.notify_one();
    }
    Ok(response.map(Full::new))
}

/// Reads and drops the rest of a body, up to a limit: a client that is still writing when its connection is closed
/// never sees the response.
async fn discard(body: &mut Incoming) {
    let mut left = 16 * MAX_BODY;
    let read = async {
        while let (Some(Ok(frame)), true) = (body.frame().await, left > 0) {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    let _ = deadline(READ_TIMEOUT, read).await;
}

/// Resolves on SIGINT or SIGTERM.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn greet(address: SocketAddr, login: Option<&demo::Login>) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "\n  Souk is open at http://{address}")?;
    writeln!(out, "  Try the API      http://{address}/docs")?;
    writeln!(
        out,
        "  See the market   http://{address}/v1/products?include=category,vendor"
    )?;
    if let Some(login) = login {
        write!(out, "  Sign in as       {}  with the password ", login.email)?;
        match &login.password {
            // What a service writes goes to a log.
            Some(password) if out.is_terminal() => writeln!(out, " {password}")?,
            _ => writeln!(out, "in {}", login.file.display())?,
        }
    }
    writeln!(out, "  Stop it with Ctrl-C\n")
}

#[expect(clippy::disallowed_methods, reason = "the local host owns its tasks")]
fn detach(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}

#[expect(clippy::disallowed_methods, reason = "the local host owns its timers")]
async fn deadline<T>(limit: Duration, task: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, task).await.ok()
}

#[expect(clippy::disallowed_methods, reason = "the local host owns its timers")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_url_follows_the_address() {
        for (address, url) in [
            ("127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("0.0.0.0:8787", "http://127.0.0.1:8787"),
            ("[::]:8787", "http://[::1]:8787"),
            ("192.168.1.7:80", "http://192.168.1.7:80"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), url);
        }
    }
}
