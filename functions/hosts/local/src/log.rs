//! Log lines as JSON on the standard output, many in one write.
//!
//! A write per line is a system call per request. Lines are gathered instead, and a thread of their own writes them out
//! [`GATHER`] after the first one came; when the server ends it waits for the last. A crash can lose that last moment
//! of the log, and nothing else: what clients were told is in the database.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use souk_kit::{Lines, log_level};
use souk_sqlite::SystemClock;
use tracing_subscriber::fmt::MakeWriter;

/// How long lines wait for company.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    writing: bool,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
}

/// Gives every log line to the thread that writes.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

/// Starts logging as `SOUK_LOG` says.
pub(crate) fn start() -> Result<Log, String> {
    let log = Log(Arc::default());
    let shared = log.0.clone();
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || write_all(&shared))
        .map_err(|e| e.to_string())?;
    let format = tracing_subscriber::fmt().event_format(Lines(Some(Arc::new(SystemClock))));
    format
        .with_max_level(log_level(std::env::var("SOUK_LOG").ok().as_deref()))
        .with_writer(log.clone())
        .try_init()
        .map_err(|e| e.to_string())?;
    Ok(log)
}

impl Log {
    /// Waits until all that was logged is written.
    pub(crate) fn flush(&self) {
        let pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self
            .0
            .changed
            .wait_while(pending, |pending| pending.writing || !pending.lines.is_empty());
        drop(done);
    }
}

fn write_all(shared: &Shared) {
    loop {
        let pending = shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        drop(shared.changed.wait_while(pending, |pending| pending.lines.is_empty()));
        std::thread::sleep(GATHER);
        let mut pending = shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut pending.lines);
        pending.writing = true;
        drop(pending);
        // Nobody reads the log any more: then there is nobody to tell, either.
        let _ = std::io::stdout().lock().write_all(&lines);
        shared.pending.lock().unwrap_or_else(PoisonError::into_inner).writing = false;
        shared.changed.notify_all();
    }
}

impl std::io::Write for &Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let first = pending.lines.is_empty();
        pending.lines.extend_from_slice(line);
        drop(pending);
        if first {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Log;
    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}
