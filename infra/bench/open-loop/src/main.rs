//! open-loop ADDRESS FILE RATE SECONDS: sends the requests of FILE, which are separated by lines of `%%`, in random order at RATE per
//! second for so long, whether or not the ones before were answered. RATE 0 sends the next one on each of 64 connections as soon
//! as the last one is answered (a closed loop), which shows what the server can do at most.
//!
//! Each ten seconds it prints what has been answered: how many well (2xx within a second), how many refused (429 or 503) and their
//! times, and how many late, broken or never sent, because 4,000 connections are open already.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until, timeout};

const MAX_OPEN: usize = 4_000;
const CLOSED_LOOP: usize = 64;
/// What comes later is of no use to anybody.
const LATE: Duration = Duration::from_secs(1);
/// When a client goes away.
const PATIENCE: Duration = Duration::from_secs(5);
const TURN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Tally {
    well: u64,
    late: u64,
    failed: u64,
    broken: u64,
    unsent: u64,
    other: u64,
    times: Vec<Duration>,
    refused: Vec<Duration>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    idle: Vec<TcpStream>,
    open: usize,
}

/// The status of the response, and whether the connection can be used again.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<(u16, bool)> {
    stream.write_all(request).await?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    let head = loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length: usize = header("content-length").and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    while buffer.len() < head + length {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((status, header("connection") != Some("close")))
}

async fn one(state: &Rc<RefCell<State>>, address: &str, request: &[u8], idle: Option<TcpStream>) {
    let began = Instant::now();
    let call = async {
        let mut stream = match idle {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let (status, is_usable) = exchange(&mut stream, request).await?;
        Ok::<_, std::io::Error>((status, is_usable.then_some(stream)))
    };
    let result = timeout(PATIENCE, call).await;
    let took = began.elapsed();
    let mut state = state.borrow_mut();
    match result {
        Ok(Ok((status, stream))) => {
            match stream {
                Some(stream) => state.idle.push(stream),
                None => state.open -= 1,
            }
            match status {
                200..300 if took <= LATE => {
                    state.tally.well += 1;
                    state.tally.times.push(took);
                }
                200..300 => state.tally.late += 1,
                429 | 503 => state.tally.refused.push(took),
                500.. => state.tally.failed += 1,
                _ => state.tally.other += 1,
            }
        }
        Ok(Err(_)) => {
            state.open -= 1;
            state.tally.broken += 1;
        }
        Err(_) => {
            state.open -= 1;
            state.tally.late += 1;
        }
    }
}

fn report(state: &Rc<RefCell<State>>, seconds: f64) {
    let tally = std::mem::take(&mut state.borrow_mut().tally);
    let percentile = |mut times: Vec<Duration>, part: usize| {
        times.sort_unstable();
        let place = (times.len() * part / 100).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    println!(
        "{{\"well\": {:.0}, \"p50_ms\": {:.1}, \"p99_ms\": {:.1}, \"refused\": {:.0}, \"refused_p50_ms\": {:.1}, \
         \"refused_p99_ms\": {:.1}, \"late\": {:.0}, \"failed\": {:.0}, \"broken\": {:.0}, \"unsent\": {:.0}, \"other\": {:.0}}}",
        tally.well as f64 / seconds,
        percentile(tally.times.clone(), 50),
        percentile(tally.times.clone(), 99),
        tally.refused.len() as f64 / seconds,
        percentile(tally.refused.clone(), 50),
        percentile(tally.refused.clone(), 99),
        tally.late as f64 / seconds,
        tally.failed as f64 / seconds,
        tally.broken as f64 / seconds,
        tally.unsent as f64 / seconds,
        tally.other as f64 / seconds,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, rate, seconds] = &arguments[..] else {
        eprintln!("usage: open-loop ADDRESS FILE RATE SECONDS");
        std::process::exit(2);
    };
    let text: &'static str = std::fs::read_to_string(file).expect("the file with the requests").leak();
    let requests: &'static [&'static str] = text.split("\n%%\n").filter(|text| !text.is_empty()).collect::<Vec<_>>().leak();
    let address: &'static str = address.clone().leak();
    let rate: f64 = rate.parse().expect("a rate");
    let end = Instant::now() + Duration::from_secs(seconds.parse().expect("seconds"));
    let state = Rc::new(RefCell::new(State::default()));
    let local = LocalSet::new();
    let pick = move || requests[fastrand::usize(..requests.len())].as_bytes();
    if rate == 0.0 {
        // None of them is refused for their number.
        state.borrow_mut().open = usize::MAX / 2;
        for _ in 0..CLOSED_LOOP {
            let state = state.clone();
            local.spawn_local(async move {
                while Instant::now() < end {
                    let idle = state.borrow_mut().idle.pop();
                    one(&state, address, pick(), idle).await;
                }
            });
        }
    } else {
        let state = state.clone();
        local.spawn_local(async move {
            let began = Instant::now();
            let mut sent = 0_u64;
            while Instant::now() < end {
                let due = (began.elapsed().as_secs_f64() * rate) as u64;
                while sent < due {
                    sent += 1;
                    let idle = {
                        let mut state = state.borrow_mut();
                        let idle = state.idle.pop();
                        if idle.is_none() {
                            if state.open >= MAX_OPEN {
                                state.tally.unsent += 1;
                                continue;
                            }
                            state.open += 1;
                        }
                        idle
                    };
                    let state = state.clone();
                    tokio::task::spawn_local(async move { one(&state, address, pick(), idle).await });
                }
                sleep(Duration::from_millis(1)).await;
            }
        });
    }
    local
        .run_until(async {
            let mut began = Instant::now();
            while Instant::now() < end {
                let next = (began + TURN).min(end);
                sleep_until(next.into()).await;
                report(&state, began.elapsed().as_secs_f64());
                began = Instant::now();
            }
        })
        .await;
}
