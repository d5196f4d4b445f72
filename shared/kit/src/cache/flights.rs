//! Answers that are being made: who asks for one meanwhile waits for it, instead of making it once more.
//!
//! The first one leads. If it fails, goes away, or makes what may not be kept, the others are told so and each makes its
//! own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future::Shared;

use super::memory::Ready;

/// Resolves when the leader is done, to nothing if it has nothing for others.
pub(crate) type Flight = Shared<oneshot::Receiver<Arc<Ready>>>;

#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<String, Flight>>);

pub(crate) enum Seat<'a> {
    Leader(Leader<'a>),
    Follower(Flight),
}

/// Ends its flight when it is dropped, whatever happened.
pub(crate) struct Leader<'a> {
    flights: &'a Flights,
    key: String,
    done: Option<oneshot::Sender<Arc<Ready>>>,
}

impl Flights {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn board(&self, key: &str) -> Seat<'_> {
        let mut all = self.all();
        if let Some(flight) = all.get(key) {
            return Seat::Follower(flight.clone());
        }
        let (done, flight) = oneshot::channel();
        all.insert(key.to_owned(), flight.shared());
        Seat::Leader(Leader {
            flights: self,
            key: key.to_owned(),
            done: Some(done),
        })
    }
}

impl Leader<'_> {
    /// Gives the answer to those who wait. It was kept, so it is as fresh as what they would find.
    pub(crate) fn land(mut self, ready: &Arc<Ready>) {
        if let Some(done) = self.done.take() {
            // Perhaps nobody waits.
            let _ = done.send(ready.clone());
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.flights.all().remove(&self.key);
    }
}
