//! The `Compute` port: a few threads beside the event loop.

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::compute::{Busy, Compute};
use tokio::sync::Semaphore;

/// How many works may wait or run; with 20 ms each, the last one waits about a second.
const MAX_WAITING: usize = 64;

/// Runs work on half of the cores, so that the event loop keeps the others.
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            cores: Arc::new(Semaphore::new(cores.max(1))),
        }
    }
}

#[async_trait]
impl Compute for Pool {
    async fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let core = self.cores.clone().acquire_owned().await.map_err(|_| Busy)?;
        let work = Box::new(move || {
            // They are held until the work has ended, even if nobody waits for it any more.
            let _held = (place, core);
            work();
        });
        // Whoever waits for the result of a work that panicked finds none.
        let _ = blocking(work).await;
        Ok(())
    }
}

async fn blocking(work: Box<dyn FnOnce() + Send>) -> Result<(), tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use futures_util::future::{FutureExt as _, join_all};

    use super::*;

    #[tokio::test]
    async fn work_beyond_the_bound_is_refused_at_once_and_the_event_loop_goes_on() {
        let pool = Arc::new(Pool::new());
        let (open, gate) = channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let works = (0..MAX_WAITING + 10).map(|_| {
            let gate = gate.clone();
            pool.run(Box::new(move || drop(gate.lock().map(|gate| gate.recv()))))
        });
        let mut works = join_all(works);
        // One round on the event loop starts them all: nothing has ended, and it is this thread that goes on.
        assert!((&mut works).now_or_never().is_none());
        drop(open);
        let refused = works.await.into_iter().filter(Result::is_err).count();
        assert_eq!(refused, 10);
        pool.run(Box::new(|| ())).await.unwrap();
    }
}
