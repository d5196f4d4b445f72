//! Log lines as JSON on the console. Workers Logs adds the time and indexes their fields.

use std::io::{self, Write};

use souk_kit::telemetry::{JsonLines, log_level};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use worker::Env;

/// Starts logging at the level in `SOUK_LOG`.
pub(crate) fn init(env: &Env) {
    let setting = env.var("SOUK_LOG").ok().map(|setting| setting.to_string());
    tracing_subscriber::fmt()
        // Without a clock: Workers Logs adds the time.
        .event_format(JsonLines(None))
        .with_max_level(log_level(setting.as_deref()))
        .with_writer(Console)
        .init();
}

struct Console;

impl<'a> MakeWriter<'a> for Console {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { error: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line {
        let error = *event.level() == Level::ERROR;
        Line { error }
    }
}

/// A log line; the formatter writes each in one call.
struct Line {
    error: bool,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if self.error {
            worker::console_error!("{}", text.trim_end());
        } else {
            worker::console_log!("{}", text.trim_end());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
