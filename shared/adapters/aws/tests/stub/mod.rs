//! A stub of AWS that gives the responses of a script and records the requests.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this is a test, on a real machine"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use souk_aws::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A response of the stub.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(u16, Value),
    /// Never responds.
    Silence,
    /// Closes the connection.
    HangUp,
}

/// The bodies of the requests so far.
pub(crate) type Asked = Arc<Mutex<Vec<Value>>>;

/// Starts a stub that gives these responses in turn and repeats the last one. Returns the settings to reach it, and its
/// recorded requests.
pub(crate) async fn start(script: Vec<Answer>) -> (Settings, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = Settings::emulator(format!("http://{}", listener.local_addr().unwrap()));
    settings.timeout = Duration::from_millis(200);
    let asked = Asked::default();
    let seen = asked.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(stream, script.clone(), seen.clone()));
        }
    });
    (settings, asked)
}

/// Runs a test together with its stub.
pub(crate) async fn run(test: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(test).await;
}

async fn serve(mut stream: TcpStream, script: Vec<Answer>, asked: Asked) {
    let mut read = Vec::new();
    while let Some(body) = request(&mut stream, &mut read).await {
        let answer = {
            let mut asked = asked.lock().unwrap();
            asked.push(body);
            script[asked.len().min(script.len()) - 1].clone()
        };
        match answer {
            Answer::Json(status, body) => {
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
            Answer::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
            Answer::HangUp => return,
        }
    }
}

/// The body of the next request on this connection.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Value> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if body.len() >= length {
                let value = serde_json::from_str(&body[..length]).unwrap();
                read.drain(..head.len() + 4 + length);
                return Some(value);
            }
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
