//! Log lines as JSON on the standard output.
//!
//! A separate thread writes them, so that no request waits for the reader of the log. The buffer holds [`MAX_LINES`];
//! further lines are dropped and counted.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use souk_kit::telemetry::{JsonLines, log_level};
use souk_sqlite::SystemClock;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// The maximum number of buffered lines: a few megabytes.
const MAX_LINES: usize = 16 * 1024;
/// How long the thread pauses after each batch of lines.
const BATCH_INTERVAL: Duration = Duration::from_millis(20);

/// How long the end of the process waits for the remaining lines.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes the remaining lines when it is dropped, if somebody reads them.
pub(crate) struct Log {
    dropped: ErrorCounter,
    reported: usize,
    writer: Option<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.report_dropped();
        let writer = self.writer.take();
        let (done, wait) = std::sync::mpsc::channel();
        // The guard itself prints when the thread does not end, and would wait for ever for a reader that hangs.
        let end = std::thread::Builder::new().name("log end".into()).spawn(move || {
            drop(writer);
            let _ = done.send(());
        });
        if end.is_ok() {
            let _ = wait.recv_timeout(END_TIMEOUT);
        }
    }
}

/// Starts logging at the level of `SOUK_LOG`.
pub(crate) fn start() -> Result<Log, String> {
    let (writer, log) = writer(Batched(BufWriter::new(io::stdout())));
    tracing_subscriber::fmt()
        .event_format(JsonLines(Some(Arc::new(SystemClock))))
        .with_max_level(log_level(std::env::var("SOUK_LOG").ok().as_deref()))
        .with_writer(writer)
        .try_init()
        .map_err(|e| e.to_string())?;
    Ok(log)
}

fn writer(output: impl Write + Send + 'static) -> (NonBlocking, Log) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_LINES)
        .thread_name("log")
        .finish(output);
    let log = Log {
        dropped: writer.error_counter(),
        reported: 0,
        writer: Some(guard),
    };
    (writer, log)
}

/// Writes lines in batches: a system call and a wake-up of the thread for each line cost as much as half a cached read.
struct Batched<W: Write>(BufWriter<W>);

impl<W: Write> Write for Batched<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    /// Called when no more lines wait.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        std::thread::sleep(BATCH_INTERVAL);
        flushed
    }
}

impl Log {
    /// Logs how many lines were dropped since the start, if that has changed since the last call.
    pub(crate) fn report_dropped(&mut self) {
        let dropped_lines = self.dropped.dropped_lines();
        if dropped_lines != self.reported {
            tracing::warn!(dropped_lines, "log lines were dropped: they were not read fast enough");
            self.reported = dropped_lines;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A writer that reads no line before its channel is closed.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_stalls_blocks_nobody_and_dropped_lines_are_counted() {
        let (open, stalled) = channel();
        let (mut writer, log) = writer(Stalled(stalled));
        for _ in 0..MAX_LINES + 10 {
            writer.write_all(b"line\n").unwrap();
        }
        // The thread may already have received one line.
        assert!((9..=10).contains(&log.dropped.dropped_lines()));
        drop(open);
    }
}
