//! The `Compute` port of an isolate, which has one thread for all its requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use souk_core::compute::{Busy, Compute};
use worker::Delay;
use worker::send::SendFuture;

/// How many works may wait or run; each takes about 35 ms.
const MAX_WAITING: usize = 8;

/// Runs one work at a time. Before each, other requests have their turn.
#[derive(Default)]
pub struct TakingTurns {
    waiting: AtomicUsize,
}

/// Counts a work until it is dropped, because a request can be cancelled.
struct Turn<'a>(&'a AtomicUsize);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Compute for TakingTurns {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _turn = Turn(&self.waiting);
        if before >= MAX_WAITING {
            return Err(Busy);
        }
        SendFuture::new(Delay::from(Duration::ZERO)).await;
        work();
        Ok(())
    }
}
