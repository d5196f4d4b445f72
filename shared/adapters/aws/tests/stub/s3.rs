//! An in-memory S3 with one bucket, conditional reads and writes, and failures on demand.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "this is a test, on a real machine"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use souk_aws::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call has no effect, and the connection is closed.
    HangUp,
    /// The call takes effect, but the connection is closed without a response.
    LostAnswer,
    /// The call has no effect, and this error is the response.
    Status(u16, &'static str),
}

#[derive(Default)]
pub(crate) struct Inner {
    /// The body and ETag of each object, by key.
    pub(crate) objects: BTreeMap<String, (Vec<u8>, u64)>,
    /// The calls that were answered: method, key and status.
    pub(crate) calls: Vec<(String, String, u16)>,
    /// The failures of the next calls with these methods.
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// The failure of all calls.
    pub(crate) outage: Option<Fault>,
    /// The next PUT of this key waits until another PUT of it has happened.
    pub(crate) held: Option<&'static str>,
    tags: u64,
}

/// The bucket.
#[derive(Clone, Default)]
pub(crate) struct S3(Arc<Mutex<Inner>>);

impl S3 {
    /// A bucket, and the settings to reach it.
    pub(crate) async fn start() -> (Self, Settings) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut settings = Settings::emulator(format!("http://{}", listener.local_addr().unwrap()));
        settings.timeout = Duration::from_millis(500);
        let bucket = Self::default();
        let own = bucket.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(own.clone().serve(stream));
            }
        });
        (bucket, settings)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// How many calls with this method had a key with this prefix and this response status.
    pub(crate) fn count(&self, method: &str, name: &str, status: u16) -> usize {
        let inner = self.lock();
        let is = |call: &&(String, String, u16)| call.0 == method && call.1.starts_with(name) && call.2 == status;
        inner.calls.iter().filter(is).count()
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        while let Some((head, body)) = request(&mut stream, &mut read).await {
            // Gives other tasks a chance to run in between.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let held = self
                .lock()
                .held
                .take_if(|name| head.starts_with(&format!("put /bucket/{name} ")));
            if let Some(name) = held {
                let before = self.count("put", name, 200);
                while self.count("put", name, 200) == before {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let (status, tag, text) = match self.lock().answer(&head, body) {
                Some(answer) => answer,
                None => return,
            };
            let tag = tag.map_or(String::new(), |tag| format!("etag: \"{tag}\"\r\n"));
            let head = format!("HTTP/1.1 {status} X\r\n{tag}content-length: {}\r\n\r\n", text.len());
            stream.write_all(&[head.as_bytes(), &text].concat()).await.unwrap();
        }
    }
}

impl Inner {
    fn answer(&mut self, head: &str, body: Vec<u8>) -> Option<(u16, Option<u64>, Vec<u8>)> {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let target = target.strip_prefix("/bucket/").unwrap();
        assert!(head.contains("authorization: aws4-hmac-sha256 "), "{head}");
        let fault = match self.faults.front() {
            Some((on, fault)) if *on == method => {
                let fault = *fault;
                self.faults.pop_front();
                Some(fault)
            }
            _ => self.outage,
        };
        match fault {
            Some(Fault::HangUp) => return None,
            Some(Fault::Status(status, code)) => {
                self.calls.push((method.into(), target.into(), status));
                return Some((
                    status,
                    None,
                    format!("<Code>{code}</Code><Message>no</Message>").into_bytes(),
                ));
            }
            Some(Fault::LostAnswer) | None => {}
        }
        let header = |name: &str| {
            Some(
                head.split_once(&format!("\r\n{name}: "))?
                    .1
                    .split("\r\n")
                    .next()?
                    .to_owned(),
            )
        };
        let here = self.objects.get(target).map(|(_, tag)| format!("\"{tag}\""));
        let error = |status, code: &str| (status, None, format!("<Code>{code}</Code>").into_bytes());
        let answer = if let Some((_, query)) = target.split_once('?') {
            let part = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).unwrap();
            let (prefix, after) = (part("prefix="), part("start-after="));
            // A small page size, so that listings have several pages.
            let names: Vec<_> = self
                .objects
                .keys()
                .filter(|name| name.starts_with(prefix) && name.as_str() > after)
                .collect();
            let keys: String = names.iter().take(3).map(|name| format!("<Key>{name}</Key>")).collect();
            let text = format!("{keys}<IsTruncated>{}</IsTruncated>", names.len() > 3);
            (200, None, text.into_bytes())
        } else if method == "get" {
            match (self.objects.get(target), header("if-none-match")) {
                (Some(_), known) if known.is_some() && known == here => (304, None, Vec::new()),
                (Some((body, tag)), _) => (200, Some(*tag), body.clone()),
                (None, _) => error(404, "NoSuchKey"),
            }
        } else if method == "put" {
            match (header("if-match"), header("if-none-match")) {
                (Some(_), _) if here.is_none() => error(404, "NoSuchKey"),
                (Some(tag), _) if here != Some(tag.clone()) => error(412, "PreconditionFailed"),
                (_, Some(_)) if here.is_some() => error(412, "PreconditionFailed"),
                _ => {
                    self.tags += 1;
                    self.objects.insert(target.into(), (body, self.tags));
                    (200, Some(self.tags), Vec::new())
                }
            }
        } else if method == "delete" {
            self.objects.remove(target);
            (204, None, Vec::new())
        } else {
            panic!("{head}");
        };
        self.calls.push((method.into(), target.into(), answer.0));
        (fault != Some(Fault::LostAnswer)).then_some(answer)
    }
}

/// The head, in lower case, and the body of the next request.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end + 2]).to_lowercase();
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if read.len() >= end + 4 + length {
                let rest = read.split_off(end + 4 + length);
                let body = read.split_off(end + 4);
                *read = rest;
                return Some((head, body));
            }
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
