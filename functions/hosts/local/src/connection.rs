//! What one client may hold: connections, time, and bytes that it does not read.
//!
//! hyper reads the next pipelined request while the response to the last one waits to be sent, and it has no time limit for
//! writing. So the stream below it notes when the client stops reading: then no further request of this connection is answered
//! ([`Flow::when_read`]), and after [`WRITE_TIMEOUT`] without progress the connection ends. hyper also answers what it cannot
//! parse by itself, with a bare status; the stream replaces that by a problem document.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// How long a client may take to read more of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client must have done nothing before its connection makes room for another one.
const MIN_IDLE: Duration = Duration::from_secs(5);
/// How much of a response the system keeps unsent. A larger buffer would count as written although its client reads it only
/// after many seconds, and would take as much memory.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 16 * 1024;
/// The maximum number of connections, if there are file descriptors for them.
const MAX_CONNECTIONS: usize = 8_192;
/// The share of all connections that one address may have is one in this many.
const SHARE: usize = 4;

/// Counts connections.
pub(crate) struct Connections {
    open: Mutex<Open>,
    total: usize,
    per_address: usize,
}

#[derive(Default)]
struct Open {
    by_address: HashMap<IpAddr, usize>,
    /// All connections, by a number of their own.
    flows: HashMap<u64, Arc<Flow>>,
    next: u64,
}

impl Connections {
    /// As many as there are file descriptors for, `files`. With proxies in front, one address may have all of them.
    pub(crate) fn new(files: usize, proxies: usize) -> Self {
        // Databases, logs, the queue and outbound calls need some too.
        let total = files.saturating_sub(200).max(files / 2).clamp(1, MAX_CONNECTIONS);
        let per_address = if proxies > 0 { total } else { (total / SHARE).max(1) };
        Self {
            open: Mutex::default(),
            total,
            per_address,
        }
    }

    /// Counts a connection from this address; `None` if there are too many. If there are too many in all, the one whose client
    /// has neither sent nor read anything for the longest time has to go.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        let address = network(address);
        let mut open = self.open();
        if open
            .by_address
            .get(&address)
            .is_some_and(|count| *count >= self.per_address)
        {
            return None;
        }
        if open.flows.len() >= self.total {
            let idle = open.flows.values().filter_map(|flow| Some((flow.idle_for()?, flow)));
            let (time, flow) = idle.max_by_key(|(time, _)| *time)?;
            if time < MIN_IDLE {
                return None;
            }
            flow.evict();
        }
        *open.by_address.entry(address).or_default() += 1;
        let number = open.next;
        open.next += 1;
        let flow = Arc::new(Flow::new());
        open.flows.insert(number, flow.clone());
        Some(Admission {
            connections: self.clone(),
            address,
            number,
            flow,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client may have all addresses of an IPv6 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A counted connection; it ends when this is dropped.
pub(crate) struct Admission {
    connections: Arc<Connections>,
    address: IpAddr,
    number: u64,
    pub(crate) flow: Arc<Flow>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.flows.remove(&self.number);
        if let Entry::Occupied(mut count) = open.by_address.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What a client does with its connection.
pub(crate) struct Flow {
    /// The client does not read what is sent to it.
    is_stalled: AtomicBool,
    /// The client waits for a response.
    is_answering: AtomicBool,
    is_evicted: AtomicBool,
    /// When the client last sent or read something.
    active_at: Mutex<Instant>,
    moved: Notify,
    task: AtomicWaker,
}

impl Flow {
    fn new() -> Self {
        Self {
            is_stalled: AtomicBool::new(false),
            is_answering: AtomicBool::new(false),
            is_evicted: AtomicBool::new(false),
            active_at: Mutex::new(Instant::now()),
            moved: Notify::new(),
            task: AtomicWaker::new(),
        }
    }

    /// Runs `answer` when the client has read what is on its way.
    pub(crate) async fn when_read<T>(&self, answer: impl Future<Output = T>) -> T {
        while self.is_stalled.load(Ordering::Relaxed) {
            self.moved.notified().await;
        }
        self.is_answering.store(true, Ordering::Relaxed);
        let response = answer.await;
        self.is_answering.store(false, Ordering::Relaxed);
        self.is_active();
        response
    }

    fn active_at(&self) -> MutexGuard<'_, Instant> {
        self.active_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_active(&self) {
        *self.active_at() = Instant::now();
    }

    /// For how long the client has done nothing, unless it waits for a response or has to go already.
    fn idle_for(&self) -> Option<Duration> {
        let waits = self.is_answering.load(Ordering::Relaxed) && !self.is_stalled.load(Ordering::Relaxed);
        (!waits && !self.is_evicted()).then(|| self.active_at().elapsed())
    }

    fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Ends the connection.
    fn evict(&self) {
        self.is_evicted.store(true, Ordering::Relaxed);
        self.task.wake();
    }

    /// Notes whether the client reads.
    fn reads(&self, it_does: bool) {
        if it_does {
            self.is_active();
        }
        if self.is_stalled.swap(!it_does, Ordering::Relaxed) && it_does {
            self.moved.notify_one();
        }
    }

    /// Fails if the connection has to make room; else it is woken when it has to.
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.task.register(cx.waker());
        if self.is_evicted() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

/// The complete response, head and body, that replaces hyper's bare one of this status.
pub(crate) type Refusal = Arc<dyn Fn(u16) -> Bytes + Send + Sync>;

/// The stream of a client.
pub(crate) struct ClientStream {
    stream: TcpStream,
    flow: Arc<Flow>,
    timer: Option<Pin<Box<Sleep>>>,
    refusal: Refusal,
    /// The rest of a refusal, after which nothing else is written.
    last: Option<Bytes>,
}

impl ClientStream {
    pub(crate) fn new(stream: TcpStream, flow: Arc<Flow>, refusal: Refusal) -> Self {
        let _ = stream.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        Self {
            stream,
            flow,
            timer: None,
            refusal,
            last: None,
        }
    }

    /// Notes whether the client reads, and fails when it has not for too long.
    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.flow.check(cx)?;
        self.flow.reads(written.is_ready());
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(timer(WRITE_TIMEOUT)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.last.clone().filter(|rest| !rest.is_empty()) {
            let written = Pin::new(&mut self.stream).poll_write(cx, &rest);
            let count = ready!(self.watch(cx, written))?;
            self.last = Some(rest.slice(count.min(rest.len())..));
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of the response that hyper writes to what it cannot parse, if `bytes` is one. Responses of the app differ: those
/// without a body have no status of 400 and up.
fn bare_refusal(bytes: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(bytes).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let is_bare = head.ends_with("\r\n\r\n") && head.contains("\r\ncontent-length: 0\r\n") && head.len() < 200;
    (is_bare && (400..500).contains(&status)).then_some(status)
}

impl AsyncRead for ClientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.flow.check(cx)?;
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.flow.is_active();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(status) = bare_refusal(bytes) {
            self.last = Some((self.refusal)(status));
        }
        if self.last.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_last(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_last(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn timer(time: Duration) -> Sleep {
    tokio::time::sleep_until(Instant::now() + time)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_per_network() {
        let all = Arc::new(Connections::new(208, 0));
        assert_eq!((all.total, all.per_address), (104, 26));
        let from = |n: u8| IpAddr::from(Ipv4Addr::new(192, 0, 2, n));
        let mut held: Vec<_> = (0..26).map(|_| all.admit(from(1)).unwrap()).collect();
        assert!(all.admit(from(1)).is_none());
        // The same address in its form for IPv6 sockets.
        assert!(all.admit(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into()).is_none());
        held.pop();
        held.push(all.admit(from(1)).unwrap());
        let v6 = |n: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        held.extend((0..26).map(|n| all.admit(v6(n)).unwrap()));
        assert!(all.admit(v6(99)).is_none());
        held.extend((0..52).map(|n| all.admit(from(100 + n / 26)).unwrap()));
        assert!(all.admit(from(2)).is_none());
        // Whoever has done nothing for the longest time has to go, unless it waits for a response.
        let flow = |n: usize| held.get(n).unwrap().flow.clone();
        let (waiting, idle, other) = (flow(0), flow(1), flow(2));
        for (flow, seconds) in [(&waiting, 20), (&idle, 10), (&other, 6)] {
            *flow.active_at() = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        }
        waiting.is_answering.store(true, Ordering::Relaxed);
        held.push(all.admit(from(2)).unwrap());
        assert!(idle.is_evicted() && !waiting.is_evicted() && !other.is_evicted());
        waiting.reads(false);
        held.push(all.admit(from(2)).unwrap());
        assert!(waiting.is_evicted() && !other.is_evicted());
        other.reads(true);
        assert!(all.admit(from(2)).is_none());
        drop(held);
        assert!(all.open().flows.is_empty() && all.open().by_address.is_empty());
        assert_eq!(Connections::new(1_000_000, 1).per_address, MAX_CONNECTIONS);
    }

    #[test]
    fn only_bare_refusals_are_replaced() {
        let bare = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Mon, 01 Jan 2026 00:00:00 GMT\r\n\r\n";
        assert_eq!(bare_refusal(bare), Some(400));
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\n\r\n{...........",
            b"x",
        ] {
            assert_eq!(bare_refusal(other), None);
        }
    }
}
