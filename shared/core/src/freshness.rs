//! How fresh a read has to be.
//!
//! Reads are of the newest state unless they are made for an answer that everyone sees alike and that caches may keep for
//! seconds: while such an answer is made, reads are *relaxed*, and an adapter may take them from a replica or a copy that
//! is a moment behind. Even then whoever wrote reads what it wrote: an instance sees its own commits. Nothing that is
//! done for a principal, no write and no decision about security is ever relaxed.

use std::cell::Cell;
use std::pin::pin;

thread_local! {
    /// Whether a [`relaxed`] task is being polled.
    static RELAXED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the reads of this moment may be relaxed. Adapters ask when a read is first polled.
#[must_use]
pub fn is_relaxed() -> bool {
    RELAXED.get()
}

/// Runs a task with relaxed reads. What it leaves to other tasks is not relaxed.
pub async fn relaxed<T>(task: impl Future<Output = T>) -> T {
    with(true, task).await
}

/// Runs a task with reads of the newest state, also within a relaxed one.
pub async fn strict<T>(task: impl Future<Output = T>) -> T {
    with(false, task).await
}

async fn with<T>(relaxed: bool, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    std::future::poll_fn(|context| {
        let _turn = Turn(RELAXED.replace(relaxed));
        task.as_mut().poll(context)
    })
    .await
}

/// One poll; also one that panics.
struct Turn(bool);

impl Drop for Turn {
    fn drop(&mut self) {
        RELAXED.set(self.0);
    }
}
