//! Log lines, request ids and trace context.

mod log_line;
pub(crate) mod trace;

pub use log_line::{JsonLines, log_level};
pub(crate) use trace::Trace;
