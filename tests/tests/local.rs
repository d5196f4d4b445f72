//! The local host as a process: what one client can hold, what a folder and a start are guarded against.
//!
//! `SOUK_BIN` names the binary (`target/debug/souk`). Without it the tests are skipped, or fail if `SOUK_TEST_ALL=1`.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, on a real machine: a panic is how it fails"
)]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a start or an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn binary() -> Option<PathBuf> {
    let binary = std::env::var("SOUK_BIN").ok().map(PathBuf::from);
    assert!(
        binary.is_some() || std::env::var("SOUK_TEST_ALL").is_err(),
        "SOUK_BIN is not set"
    );
    binary
}

/// A running server; it ends with this.
struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it on this folder, with at most so many open files.
    fn start(binary: &Path, data: &Path, files: u32, more: &[&str]) -> Self {
        let log = fs::File::create(data.with_extension("log")).unwrap();
        Self::start_with(binary, data, files, more, log.into())
    }

    fn start_with(binary: &Path, data: &Path, files: u32, more: &[&str], stdout: Stdio) -> Self {
        let (said, log) = (data.with_extension("said"), data.with_extension("log"));
        let child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"])
            .arg(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more)
            // So that each request takes its time.
            .env("SOUK_CACHE", "off")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            address: String::new(),
            log,
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&said).unwrap();
            let greeting = text
                .split_once("open at http://")
                .and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((address, _)) = greeting {
                server.address = address.trim().to_owned();
                return server;
            }
            assert!(
                server.child.try_wait().unwrap().is_none() && Instant::now() < end,
                "{text}"
            );
            std::thread::yield_now();
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The whole response to these bytes, which must end the connection.
    fn answer(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request);
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        String::from_utf8_lossy(&response).into_owned()
    }

    /// Its memory in kB, where the system tells.
    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        resident.map_or(0, |text| text.trim().trim_end_matches(" kB").parse().unwrap())
    }

    fn get(&self, path: &str) -> String {
        self.answer(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }
}

/// Runs a command to its end.
fn run(binary: &Path, arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(binary);
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command.output().unwrap()
}

/// With `--cors` the pages of an origin may call; those of this machine may call the demo. Whoever else tries is in the log.
#[test]
fn pages_of_listed_origins_may_call() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let listed = [
        "--no-demo",
        "--cors",
        "https://a.example",
        "--cors",
        "https://b.example",
    ];
    for (name, more, allowed, refused) in [
        ("listed", &listed[..], "https://b.example", "http://localhost:5173"),
        ("demo", &[][..], "http://localhost:5173", "https://b.example"),
    ] {
        let server = Server::start(&binary, &folder.path().join(name), 128, more);
        let answer = |origin: &str| {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n");
            server.answer(request.as_bytes())
        };
        assert!(
            answer(allowed).contains(&format!("access-control-allow-origin: {allowed}\r\n")),
            "{name}"
        );
        assert!(!answer(refused).contains("access-control-"), "{name}");
        // A page of this host itself needs no permission.
        assert!(!answer("http://x").contains("access-control-"), "{name}");
        let end = Instant::now() + PATIENCE;
        let line = format!("\"refused_origin\":\"{refused}\"");
        while !fs::read_to_string(&server.log).unwrap().contains(&line) {
            assert!(Instant::now() < end, "{name}: the log does not name {refused}");
            std::thread::yield_now();
        }
        assert_eq!(
            fs::read_to_string(&server.log)
                .unwrap()
                .matches("refused_origin")
                .count(),
            1,
            "{name}"
        );
    }
}

#[test]
fn clients_that_read_no_answer_neither_fill_the_memory_nor_shut_others_out() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&binary, &folder.path().join("data"), 128, &["--no-demo"]);
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500);
    let mut stalled = Vec::new();
    for _ in 0..300 {
        let stream = server.connect();
        stream.set_nonblocking(true).unwrap();
        match (&stream).write(requests.as_bytes()) {
            Ok(_) => {}
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock),
        }
        stalled.push(stream);
        if stalled.len() % 50 == 0 {
            // Whoever reads is served meanwhile.
            let response = server.get("/healthz");
            let is_refused = response.is_empty() || response.starts_with("HTTP/1.1 503");
            assert!(is_refused || response.starts_with("HTTP/1.1 200"), "{response}");
        }
    }
    let end = Instant::now() + PATIENCE;
    while !server.get("/healthz").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < end, "others are shut out");
    }
    // Of 150,000 requests only those are answered whose answers fit into the sockets' buffers.
    let answered = fs::read_to_string(&server.log)
        .unwrap()
        .matches("/openapi.json")
        .count();
    assert!(answered < 20_000, "{answered}");
    let resident = server.resident();
    assert!(resident < 300_000, "{resident} kB");
}

/// More requests at once than can be begun in time: some are refused at once, `/healthz` answers, and afterwards all is well.
#[test]
fn a_flood_is_refused_in_part_and_forgotten() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&binary, &folder.path().join("market"), 4096, &["--demo"]);
    let ask = |count: usize| {
        let streams: Vec<TcpStream> = (0..count).map(|_| server.connect()).collect();
        for (number, mut stream) in streams.iter().enumerate() {
            let path = format!("/v1/products?limit={}&include=category,vendor,author", 1 + number % 100);
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
        }
        let is_alive = server.get("/healthz").starts_with("HTTP/1.1 200");
        let responses = streams.into_iter().map(|mut stream| {
            let mut response = String::new();
            let _ = stream.read_to_string(&mut response);
            response
        });
        (responses.collect::<Vec<String>>(), is_alive)
    };
    // An idle server refuses nobody, whenever they come.
    for round in 0..20 {
        let (responses, _) = ask(4);
        assert!(
            responses.iter().all(|response| response.starts_with("HTTP/1.1 200")),
            "{round}: {responses:?}"
        );
        std::thread::sleep(Duration::from_millis(25 * round));
    }
    let refused = |responses: &[String]| {
        let mut refused = responses.iter().filter(|response| response.contains("\"overloaded\""));
        refused.any(|response| response.starts_with("HTTP/1.1 503") && response.contains("retry-after: 1\r\n"))
    };
    let end = Instant::now() + PATIENCE;
    loop {
        let (responses, is_alive) = ask(800);
        assert!(is_alive);
        if refused(&responses) {
            break;
        }
        assert!(Instant::now() < end, "nobody was refused");
    }
    let end = Instant::now() + PATIENCE;
    while refused(&ask(1).0) {
        assert!(Instant::now() < end, "it does not recover");
    }
}

/// Whoever reads the log may hang: then lines are dropped, and the server goes on and ends as always.
#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(
        &binary,
        &folder.path().join("market"),
        1024,
        &["--no-demo"],
        Stdio::piped(),
    );
    // More lines than the pipe and the buffer hold.
    let mut stream = server.connect();
    let request = b"GET /v1/no-such-thing HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut response = [0; 64 * 1024];
    for _ in 0..500 {
        let mut answers = Vec::new();
        stream.write_all(&request.repeat(50)).unwrap();
        while String::from_utf8_lossy(&answers).matches("\"request_id\"").count() < 50 {
            let count = stream.read(&mut response).unwrap();
            assert!(count > 0);
            answers.extend(response.iter().take(count));
        }
    }
    let resident = server.resident();
    assert!(resident < 200_000, "{resident} kB");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let end = Instant::now() + PATIENCE;
    while server.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "it does not end");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_no_request_gets_a_problem_document() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&binary, &folder.path().join("data"), 256, &["--no-demo"]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000));
    let many: String = (0..200).map(|n| format!("x{n}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    for (request, status, code) in [
        ("GARBAGE\r\n\r\n", 400, "bad_request"),
        (
            "POST /v1/products HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n",
            400,
            "bad_request",
        ),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "bad_request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            400,
            "bad_request",
        ),
        (&many, 431, "headers_too_large"),
        (&long, 414, "url_too_long"),
    ] {
        let response = server.answer(request.as_bytes());
        let start: String = request.chars().take(40).collect();
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{start}: {response}"
        );
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into()),
            "{start}"
        );
        for header in [
            "application/problem+json",
            "x-content-type-options: nosniff",
            "no-store",
            "x-request-id: ",
        ] {
            assert!(head.contains(header), "{start}: {head}");
        }
        let id = problem["request_id"].as_str().unwrap();
        let end = Instant::now() + PATIENCE;
        while !fs::read_to_string(&server.log).unwrap().contains(id) {
            assert!(Instant::now() < end, "{start} is not in the log");
        }
    }
    assert!(
        server
            .answer(b"GET /healthz HTTP/1.0\r\n\r\n")
            .starts_with("HTTP/1.0 200")
    );
}

#[test]
fn files_are_private_and_one_server_runs_on_a_folder() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = String::from_utf8(run(&binary, &["keys", "--generate"], &data).stdout).unwrap();
    fs::write(data.join("keys"), &keys).unwrap();
    fs::set_permissions(data.join("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start(&binary, &data, 256, &["--demo"]);
    for entry in fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{entry:?}");
    }
    let second = run(&binary, &["serve", "--listen", "127.0.0.1:0"], &data);
    assert!(!second.status.success());
    let why = String::from_utf8(second.stderr).unwrap();
    assert!(why.contains("another server runs on"), "{why}");
    // Commands run beside it, and do not show the password.
    assert!(run(&binary, &["jobs"], &data).status.success());
    let password = fs::read_to_string(data.join("demo-password")).unwrap();
    let said = fs::read_to_string(data.with_extension("said")).unwrap();
    assert!(
        !said.contains(password.trim()) && said.contains("demo-password"),
        "{said}"
    );
    drop(server);

    // A market without its keys is not given new ones.
    fs::rename(data.join("keys"), folder.path().join("keys")).unwrap();
    let without = run(&binary, &["jobs"], &data);
    let why = String::from_utf8(without.stderr).unwrap();
    assert!(!without.status.success() && why.contains("keys is missing"), "{why}");
    assert!(!data.join("keys").exists());
    // Neither is the public id of a key taken for one.
    let ids = String::from_utf8(run(&binary, &["keys"], &folder.path().join("other")).stdout).unwrap();
    fs::write(data.join("keys"), ids.split_whitespace().next().unwrap()).unwrap();
    let why = String::from_utf8(run(&binary, &["jobs"], &data).stderr).unwrap();
    assert!(why.contains("an id is not a key"), "{why}");
}

#[test]
fn processes_that_start_at_once_agree_on_the_key() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let data = folder.path().join(round.to_string());
        let start = |_| {
            let mut command = Command::new(&binary);
            command.args(["keys", "--data"]).arg(&data).stdout(Stdio::piped());
            command.spawn().unwrap()
        };
        let started: Vec<Child> = (0..8).map(start).collect();
        let ids: Vec<Output> = started
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        assert!(
            ids.iter().all(|id| id.status.success() && id.stdout == ids[0].stdout),
            "{ids:?}"
        );
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }
}

#[test]
fn an_older_program_refuses_a_newer_database() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(run(&binary, &["seed", "--products", "1"], &data).status.success());
    // The header of an SQLite file has the version of its schema at byte 60.
    let mut bytes = fs::read(data.join("souk.db")).unwrap();
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(data.join("souk.db"), bytes).unwrap();
    let refused = run(&binary, &["jobs"], &data);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("a newer version"), "{why}");
}

#[test]
fn an_import_leaves_the_vendors_of_others_alone() {
    let Some(binary) = binary() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (data, lines) = (folder.path().join("data"), folder.path().join("lines"));
    assert!(run(&binary, &["seed", "--products", "20"], &data).status.success());
    let exported = run(&binary, &["export"], &data).stdout;
    let exported = String::from_utf8(exported).unwrap();
    let mut products = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = products.find(|product| product["vendor"].is_string()).unwrap();
    let line = serde_json::json!({ "title": "Mine", "sku": "new-1", "category": first["category"],
        "vendor": first["vendor"], "price": { "amount": 1, "currency": "EUR" } });
    fs::write(&lines, line.to_string()).unwrap();
    let lines = lines.to_str().unwrap();
    let refused = run(&binary, &["import", lines], &data);
    let report = String::from_utf8(refused.stdout).unwrap();
    assert!(
        !refused.status.success() && report.contains("belongs to another account"),
        "{report}"
    );
    let adopted = String::from_utf8(run(&binary, &["import", lines, "--adopt"], &data).stdout).unwrap();
    assert!(adopted.starts_with("1 added"), "{adopted}");
}
