//! The `Compute` port: work that takes milliseconds of CPU, such as password hashes, apart from the event loop.

use async_trait::async_trait;

/// Too much work waits. Try again in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much work waits for a processor")]
pub struct Busy;

/// Runs expensive work. The number of waiting works is bounded.
#[async_trait]
pub trait Compute: Send + Sync {
    /// Runs the work and returns when it has ended, or refuses it at once.
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy>;
}

/// Runs work at once, for hosts that give a process one request at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

#[async_trait]
impl Compute for Inline {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        work();
        Ok(())
    }
}
