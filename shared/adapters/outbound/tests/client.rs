//! The client against well-behaved and hostile servers.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine"
)]

#[path = "../../../core/tests/hostile/mod.rs"]
mod hostile;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use souk_core::Outbound;
use souk_core::outbound::{Call, OutboundError, Reply, USUAL_REPLY};
use souk_outbound::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn post(url: &str, timeout_ms: u32) -> Call {
    Call {
        method: "POST".into(),
        url: url.into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: "{\"a\":1}".into(),
        timeout_ms,
        max_reply: USUAL_REPLY,
    }
}

/// Calls a server that answers the first request with `answer` and then closes the connection, or hangs.
async fn ask(answer: Vec<u8>, hang: bool, timeout_ms: u32) -> (String, Result<Reply, OutboundError>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"{\"a\":1}") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        // The client may close the connection before the end.
        let _ = stream.write_all(&answer).await;
        if hang {
            let _ = stream.read_buf(&mut Vec::new()).await;
        }
        String::from_utf8(seen).unwrap()
    };
    let client = Client::new(&[format!("127.0.0.1:{port}")]);
    let url = format!("http://127.0.0.1:{port}/hook?x=%20");
    tokio::join!(serve, client.call(post(&url, timeout_ms)))
}

#[tokio::test]
async fn a_request_arrives_and_its_response_is_returned() {
    let answer = b"HTTP/1.1 410 Gone\r\nX-Reason: moved\r\ncontent-length: 5\r\n\r\nhello".to_vec();
    let (seen, reply) = ask(answer, false, 5_000).await;
    let (line, rest) = seen.split_once("\r\n").unwrap();
    assert_eq!(line, "POST /hook?x=%20 HTTP/1.1");
    for header in [
        "host: 127.0.0.1:",
        "content-length: 7",
        "content-type: application/json",
        "connection: close",
    ] {
        assert!(rest.contains(header), "{seen}");
    }
    let reply = reply.unwrap();
    assert_eq!((reply.status, &*reply.text(), reply.truncated), (410, "hello", false));
    assert!(reply.headers.contains(&("x-reason".into(), "moved".into())));
}

#[tokio::test]
async fn a_response_is_read_up_to_the_limit() {
    for (size, truncated) in [
        (USUAL_REPLY - 1, false),
        (USUAL_REPLY, false),
        (USUAL_REPLY + 1, true),
        (5_000_000, true),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").into_bytes();
        let (_, reply) = ask([head, vec![b'x'; size]].concat(), false, 5_000).await;
        let reply = reply.unwrap();
        assert_eq!(
            (reply.body.len(), reply.truncated),
            (size.min(USUAL_REPLY), truncated),
            "{size}"
        );
    }
    // A response without an end.
    let (_, reply) = ask(
        [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100_000]].concat(),
        true,
        5_000,
    )
    .await;
    assert!(reply.unwrap().truncated);
}

#[tokio::test]
async fn a_slow_response_times_out() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
    ] {
        let began = Instant::now();
        let (_, reply) = ask(answer.into(), true, 200).await;
        assert_eq!(reply, Err(OutboundError::TimedOut), "{answer:?}");
        assert!(began.elapsed().as_secs() < 5);
    }
}

#[tokio::test]
async fn a_malformed_response_is_a_failure() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    for answer in [
        "",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        &long,
        &many,
    ] {
        let (_, reply) = ask(answer.into(), false, 5_000).await;
        assert!(
            matches!(reply, Err(OutboundError::Failed(_))),
            "{answer:.40}: {reply:?}"
        );
    }
    // Nothing listens on this port any more.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let client = Client::new(&[format!("127.0.0.1:{free}")]);
    let reply = client.call(post(&format!("http://127.0.0.1:{free}/"), 5_000)).await;
    assert!(matches!(reply, Err(OutboundError::Failed(_))), "{reply:?}");
    // A private address over TLS.
    let reply = client.call(post("https://127.0.0.1:1/", 5_000)).await;
    assert!(matches!(reply, Err(OutboundError::Refused(_))), "{reply:?}");
}

/// A listener that must never get a connection.
fn trap(ip: &str) -> std::net::TcpListener {
    let trap = std::net::TcpListener::bind((ip, 0)).unwrap();
    trap.set_nonblocking(true).unwrap();
    trap
}

fn is_untouched(trap: &std::net::TcpListener) -> bool {
    trap.accept()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let trap = trap("127.0.0.1");
    let location = trap.local_addr().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: http://{location}/\r\ncontent-length: 0\r\n\r\n");
        let (_, reply) = ask(answer.into(), false, 5_000).await;
        assert_eq!(reply.unwrap().status, status);
    }
    assert!(is_untouched(&trap));
}

#[tokio::test]
async fn hostile_urls_are_never_connected_to() {
    let trap = trap("0.0.0.0");
    let port = trap.local_addr().unwrap().port();
    // IPv6 too, if this machine has it.
    let sixth = std::net::TcpListener::bind(("::1", port)).ok();
    let resolve = |name: String| -> souk_outbound::Addresses { panic!("{name} was resolved") };
    let client = Client::with_resolver(&["receiver.test:1".into()], resolve);
    let urls = hostile::urls(port);
    assert!(urls.len() >= 200);
    for url in urls {
        let reply = client.call(post(&url, 5_000)).await;
        assert!(matches!(reply, Err(OutboundError::Refused(_))), "{url:?}: {reply:?}");
    }
    assert!(is_untouched(&trap));
    if let Some(sixth) = sixth {
        sixth.set_nonblocking(true).unwrap();
        assert!(is_untouched(&sixth));
    }
}

#[tokio::test]
async fn a_name_with_any_private_address_is_refused() {
    let trap = trap("127.0.0.1");
    let port = trap.local_addr().unwrap().port();
    for addresses in [
        "127.0.0.1",
        "1.1.1.1 10.0.0.1",
        "::ffff:127.0.0.1",
        "2606:4700::1111 fe80::1",
        "169.254.169.254",
    ] {
        let found: Vec<IpAddr> = addresses.split(' ').map(|ip| ip.parse().unwrap()).collect();
        let client = Client::with_resolver(&[], move |_| {
            let found = found.clone();
            Box::pin(async move { Ok(found) })
        });
        let reply = client
            .call(post(&format!("https://rebind.souk.example:{port}/"), 5_000))
            .await;
        assert!(
            matches!(reply, Err(OutboundError::Refused(_))),
            "{addresses}: {reply:?}"
        );
    }
    assert!(is_untouched(&trap));
}

/// The client connects to the address that it has checked; it does not resolve the name a second time.
#[tokio::test]
async fn a_name_is_resolved_once_and_its_addresses_are_tried_in_turn() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let SocketAddr::V4(at) = listener.local_addr().unwrap() else {
        unreachable!()
    };
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let client = Client::with_resolver(&[format!("receiver.test:{}", at.port())], move |name| {
        assert_eq!(name, "receiver.test");
        counted.fetch_add(1, Ordering::Relaxed);
        // Nothing listens at the first address.
        Box::pin(async { Ok(vec![[127, 0, 0, 9].into(), [127, 0, 0, 1].into()]) })
    });
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"{\"a\":1}") {
            stream.read_buf(&mut seen).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    };
    let url = format!("http://receiver.test:{}/", at.port());
    let (reply, ()) = tokio::join!(client.call(post(&url, 5_000)), serve);
    assert_eq!(reply.unwrap().status, 204);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}
