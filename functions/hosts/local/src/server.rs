//! The HTTP server: hyper in front of the app, until it is told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use indicatif::ProgressBar;
use souk_kit::{App, ClientAddress, MAX_BODY};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::jobs::{self, Consumers};
use crate::{data, functions, log, market, search};

/// How long a client may take to send its headers, and its body.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long requests in flight may take to end when the server is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Serves the market of `dir` until SIGINT or SIGTERM.
pub(crate) async fn serve(listen: SocketAddr, dir: &Path, demo: bool) -> Result<(), String> {
    let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen}: {e}"))?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let market = data::open(dir)?;
    let login = if demo {
        let login = market::demo(&market.platform, dir).await?;
        // Before there is a log, in which a newcomer would not find the greeting.
        jobs::finish(&market, ProgressBar::hidden()).await?;
        Some(login)
    } else {
        None
    };
    let log = log::start()?;
    let data::Market { platform, queue } = market;
    search::ensure(&platform).await;
    let app = Arc::new(App::new(platform.clone(), functions()));
    app.warm();
    let consumers = Consumers::start(app.clone(), platform, queue)?;
    let news = consumers.news();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = (0..threads)
        .map(|_| Worker::start(app.clone(), news.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    greet(address, login.as_ref()).map_err(|e| e.to_string())?;

    let mut stop = std::pin::pin!(stopped()?);
    let mut next = workers.iter().cycle();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others will free some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    pause(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        if let Some(worker) = next.next() {
            // A worker ends only when it is told to.
            let _ = worker.connections.send(stream);
        }
    }
    tracing::info!("stopping");
    drop(listener);
    // First tell all of them to end, then wait for each.
    let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
    for thread in threads {
        // It logs what it could not wait for by itself.
        let _ = thread.join();
    }
    consumers.stop();
    log.flush();
    Ok(())
}

/// A thread with an event loop of its own. A connection stays with one thread for life, so no request ever waits for
/// another core or wakes one.
struct Worker {
    /// It ends when this is dropped, after the requests in flight.
    connections: UnboundedSender<std::net::TcpStream>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(app: Arc<App>, news: Arc<Notify>) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let (connections, arriving) = unbounded_channel();
        let run = move || runtime.block_on(serve_all(app, news, arriving));
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(run)
            .map_err(|e| e.to_string())?;
        Ok(Self { connections, thread })
    }
}

async fn serve_all(app: Arc<App>, news: Arc<Notify>, mut arriving: UnboundedReceiver<std::net::TcpStream>) {
    let graceful = GracefulShutdown::new();
    while let Some(stream) = arriving.recv().await {
        let _ = stream.set_nodelay(true);
        let Ok(stream) = TcpStream::from_std(stream) else {
            continue;
        };
        let client = ClientAddress(
            stream
                .peer_addr()
                .map_or_else(|_| String::new(), |peer| peer.ip().to_string()),
        );
        let (app, news) = (app.clone(), news.clone());
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(client.clone());
            answer(app.clone(), news.clone(), request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(64 * 1024);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        // A client that goes away ends its connection with an error that is nobody's fault.
        detach(async move { drop(connection.await) });
    }
    if deadline(GRACE, graceful.shutdown()).await.is_none() {
        tracing::warn!("some requests did not end in time");
    }
}

/// An error ends the connection: for a client that does not send the body that it promised.
async fn answer(
    app: Arc<App>,
    news: Arc<Notify>,
    request: Request<Incoming>,
) -> std::io::Result<Response<Full<Bytes>>> {
    let (parts, mut body) = request.into_parts();
    let declared = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = if declared.is_some_and(|length: usize| length > MAX_BODY) {
        // A client that asks first sends nothing when it is refused.
        if !parts.headers.contains_key(header::EXPECT) {
            discard(&mut body).await;
        }
        None
    } else if declared.is_none() && !parts.headers.contains_key(header::TRANSFER_ENCODING) {
        Some(Bytes::new())
    } else {
        match deadline(PATIENCE, Limited::new(&mut body, MAX_BODY).collect()).await {
            Some(Ok(collected)) => Some(collected.to_bytes()),
            Some(Err(error)) if error.is::<LengthLimitError>() => {
                discard(&mut body).await;
                None
            }
            Some(Err(error)) => return Err(std::io::Error::other(error)),
            None => return Err(std::io::ErrorKind::TimedOut.into()),
        }
    };
    let response = app.handle(Request::from_parts(parts, body)).await;
    if app.has_news() {
        news.notify_one();
    }
    Ok(response.map(Full::new))
}

/// Reads on and forgets, within bounds: a client that is still writing when its connection is closed never sees the
/// answer.
async fn discard(body: &mut Incoming) {
    let mut left = 16 * MAX_BODY;
    let read = async {
        while let (Some(Ok(frame)), true) = (body.frame().await, left > 0) {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    let _ = deadline(PATIENCE, read).await;
}

/// Resolves when the process is asked to end.
fn stopped() -> Result<impl Future<Output = ()>, String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn greet(address: SocketAddr, login: Option<&market::Login>) -> std::io::Result<()> {
    let mut out = std::io::stderr().lock();
    writeln!(out, "\n  Souk is open at http://{address}")?;
    writeln!(out, "  Try the API      http://{address}/docs")?;
    writeln!(
        out,
        "  See the market   http://{address}/v1/products?include=category,vendor"
    )?;
    if let Some(login) = login {
        writeln!(
            out,
            "  Sign in as       {}  with the password  {}",
            login.email, login.password
        )?;
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
