//! The isolate's clock and randomness.

use std::sync::{Mutex, PoisonError};

use souk_core::{Clock, Random, Timestamp};
use worker::js_sys::Date;

/// `Date.now()`. On Workers it only advances with I/O.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Whole milliseconds, well within the range of both types.
        Timestamp::from_millisecond(Date::now() as i64).unwrap_or_default()
    }
}

/// `crypto.getRandomValues`, [`POOL`] bytes at a time because a call costs more than generating an id. Workers allow it
/// only while an event is handled.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

const POOL: usize = 1024;

/// Random bytes that have not been handed out yet.
static UNUSED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl Random for SystemRandom {
    #[expect(clippy::expect_used, reason = "ids and keys without randomness would not be safe")]
    fn fill(&self, bytes: &mut [u8]) {
        let fresh =
            |bytes: &mut [u8]| getrandom::fill(bytes).expect("crypto.getRandomValues works while an event is handled");
        if bytes.len() > POOL {
            return fresh(bytes);
        }
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < bytes.len() {
            unused.resize(POOL, 0);
            fresh(&mut unused);
        }
        let rest = unused.len() - bytes.len();
        for (byte, random) in bytes.iter_mut().zip(unused.drain(rest..)) {
            *byte = random;
        }
    }
}
