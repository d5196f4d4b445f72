//! An HTTP server that gives the responses of its script in order and records the requests.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The status that stands for no response at all.
pub(crate) const SILENCE: u16 = 0;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Inner {
    /// The start of each expected request, and its response.
    script: VecDeque<(&'static str, u16, Value)>,
    asked: Vec<Asked>,
    wrong: Option<String>,
}

pub(crate) struct Http {
    pub(crate) address: String,
    inner: Arc<Mutex<Inner>>,
}

impl Http {
    pub(crate) async fn start(script: Vec<(&'static str, u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script = script.into();
        let inner = Arc::new(Mutex::new(Inner {
            script,
            ..Inner::default()
        }));
        let own = inner.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(serve(own.clone(), stream));
            }
        });
        Self { address, inner }
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }

    /// Asserts that all requests of the script were made, and no others.
    pub(crate) fn done(&self) {
        let inner = self.inner.lock().unwrap();
        assert_eq!(
            (&inner.wrong, inner.script.len()),
            (&None, 0),
            "{:?}",
            inner.asked.last()
        );
    }
}

async fn serve(inner: Arc<Mutex<Inner>>, mut stream: TcpStream) {
    let mut read = Vec::new();
    while let Some(asked) = request(&mut stream, &mut read).await {
        let (status, body) = {
            let mut inner = inner.lock().unwrap();
            inner.asked.push(asked.clone());
            match inner.script.pop_front() {
                Some((begin, status, body)) if asked.head.starts_with(begin) => (status, body.to_string()),
                other => {
                    inner.wrong = Some(format!("{other:?} was expected, not {}", asked.head));
                    (418, "null".into())
                }
            }
        };
        if status == SILENCE {
            return std::future::pending().await;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Asked> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 2]).into_owned();
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if read.len() >= end + 4 + length {
                let rest = read.split_off(end + 4 + length);
                let body = String::from_utf8(read.split_off(end + 4)).unwrap();
                *read = rest;
                return Some(Asked { head, body });
            }
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
