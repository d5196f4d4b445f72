//! Request collapsing (singleflight): requests for the same key wait for the response of the first one.
//!
//! The first request is the leader. If it fails, is cancelled, or its response may not be cached, its followers are
//! notified and each processes its own request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::memory::CachedResponse;

/// Resolves when the leader is done; to an error if the leader has no response to share.
pub(crate) type Waiting = Shared<oneshot::Receiver<Arc<CachedResponse>>>;

#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashMap<String, Waiting>>);

pub(crate) enum Role<'a> {
    Leader(Leader<'a>),
    Follower(Waiting),
}

/// Processes the request. Dropping it releases the followers.
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
    /// Gives the response to the followers. It was stored in the cache, so it is as fresh as a hit.
    pub(crate) fn complete(mut self, response: &Arc<CachedResponse>) {
        if let Some(done) = self.done.take() {
            // The send fails if there is no follower.
            let _ = done.send(response.clone());
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.in_flight.all().remove(&self.key);
    }
}
