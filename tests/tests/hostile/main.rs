//! Hostile input: requests that the OpenAPI document describes, with values that nobody should send and bytes that were
//! damaged, and lines of an import file. None may panic, take long, or be answered with a 5xx.
//!
//! `SOUK_TEST_INPUTS` is how many requests are made (2,000), `SOUK_TEST_SEED` the seed. The seed and the number of a request
//! that fails are in its message. 1,000,000 take some minutes in a release build:
//!
//! ```sh
//! TMPDIR=/dev/shm SOUK_TEST_INPUTS=1000000 cargo test --release -p souk-tests --test hostile
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "this is a test: a panic is how it fails"
)]

mod inputs;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use fastrand::Rng;

use inputs::{Operation, operations};
use world::World;

/// How long a request may take, on a machine that is busy.
const TOO_LONG: Duration = Duration::from_secs(5);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test]
async fn no_request_panics_takes_long_or_is_our_fault() {
    let (seed, count) = (number("SOUK_TEST_SEED", 1), number("SOUK_TEST_INPUTS", 2_000));
    let mut world = World::new().await;
    let operations = operations();
    let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
    let mut longest = (Duration::ZERO, String::new());
    for n in 0..count {
        let mut rng = Rng::with_seed(seed.wrapping_mul(1 << 32).wrapping_add(n));
        let operation: &Operation = rng.choice(&operations).unwrap();
        let Some(request) = operation.request(&mut rng, &world.known, &world.tokens) else {
            continue;
        };
        let what = format!("seed {seed}, number {n}: {} {}", request.method(), request.uri());
        let began = Instant::now();
        let response = world.app.handle(request).await;
        let took = began.elapsed();
        assert!(took < TOO_LONG, "{what} took {took:?}");
        if took > longest.0 {
            longest = (took, what.clone());
        }
        let status = response.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        let json = serde_json::from_slice(response.body());
        assert!(status < 500, "{what}: {status} {json:?}");
        if status >= 400 {
            let problem: serde_json::Value = json.unwrap();
            assert!(
                problem["code"].is_string() && problem["status"] == status,
                "{what}: {problem}"
            );
        } else if let Ok(json) = json {
            world.learn(&json, &mut rng);
        }
        if n % 50 == 0 {
            world.app.run_pending_work().await;
            world.sign_in().await;
        }
    }
    // Most of it gets past the first check, or the test would show little.
    let accepted: u64 = statuses.range(200..300).map(|(_, n)| n).sum();
    assert!(accepted * 10 > count, "{statuses:?}");
    println!(
        "{count} requests: {statuses:?}; the longest, {:?}: {:.200}",
        longest.0, longest.1
    );
}

/// A file of lines that are hostile, valid, and both.
#[test]
fn no_line_of_an_import_panics_or_stops_the_others() {
    let Ok(souk) = std::env::var("SOUK_BIN") else {
        assert!(
            std::env::var("SOUK_TEST_ALL").is_err(),
            "set SOUK_BIN to the built `souk`"
        );
        let _ = writeln!(std::io::stderr(), "skipped: set SOUK_BIN to the built `souk`");
        return;
    };
    let (seed, count) = (number("SOUK_TEST_SEED", 1), number("SOUK_TEST_INPUTS", 2_000));
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("lines.ndjson"), folder.path().join("market"));
    let mut lines = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    let mut rng = Rng::with_seed(seed);
    for n in 0..count {
        lines.write_all(&inputs::import_line(&mut rng, n)).unwrap();
        lines.write_all(b"\n").unwrap();
    }
    let good = r#"{"title": "The last lamp", "category": "Lamps", "price": {"amount": 100, "currency": "EUR"}}"#;
    lines.write_all(good.as_bytes()).unwrap();
    drop(lines);
    let output = Command::new(souk)
        .args(["import", "--format", "ndjson", "--data"])
        .args([data.as_os_str(), file.as_os_str()])
        .output()
        .unwrap();
    let said = format!(
        "{} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!said.contains("panicked"), "{said:.2000}");
    // Lines that are refused are an exit code of their own, not a crash.
    assert!(
        matches!(output.status.code(), Some(0..=2)),
        "{:?} {said:.2000}",
        output.status
    );
    let database = rusqlite::Connection::open(data.join("souk.db")).unwrap();
    let titles = "SELECT count(*) FROM documents WHERE body LIKE '%The last lamp%'";
    let found: u32 = database.query_row(titles, [], |row| row.get(0)).unwrap();
    let last = format!("line {}", count + 1);
    let why: Vec<&str> = said.lines().filter(|line| line.starts_with(&last)).collect();
    assert!(found > 0, "the last line was not imported: {why:?}");
}
