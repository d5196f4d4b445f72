//! Responses that are being made: requests for the same key wait for the first one instead of making it again.
//!
//! The first request leads. If it fails, is cancelled, or makes what may not be kept, the followers are told so, and each
//! makes its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::memory::CachedResponse;

/// Resolves when the leader is done; to an error if it has nothing for others.
pub(crate) type Waiting = Shared<oneshot::Receiver<Arc<CachedResponse>>>;

#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<String, Waiting>>);

pub(crate) enum Role<'a> {
    Leader(Leader<'a>),
    Follower(Waiting),
}

/// Makes the response. When it is dropped, its followers no longer wait.
pub(crate) struct Leader<'a> {
    in_flight: &'a InFlight,
    key: String,
    done: Option<oneshot::Sender<Arc<CachedResponse>>>,
}

impl InFlight {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, key: &str) -> Role<'_> {
        let mut all = self.all();
        if let Some(waiting) = all.get(key) {
            return Role::Follower(waiting.clone());
        }
        let (done, waiting) = oneshot::channel();
        all.insert(key.to_owned(), waiting.shared());
        Role::Leader(Leader {
            in_flight: self,
            key: key.to_owned(),
            done: Some(done),
        })
    }
}

impl Leader<'_> {
    /// Gives the response to the followers. It was kept, so it is as fresh as what they would find.
    pub(crate) fn complete(mut self, response: &Arc<CachedResponse>) {
        if let Some(done) = self.done.take() {
            // There may be no follower.
            let _ = done.send(response.clone());
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.in_flight.all().remove(&self.key);
    }
}
