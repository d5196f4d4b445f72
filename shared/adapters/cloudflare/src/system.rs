//! The isolate's clock and randomness.

use std::sync::{Mutex, PoisonError};

use souk_core::{Clock, Random, Timestamp};
use worker::js_sys::Date;

/// JavaScript's clock. It stands still while code runs and moves on with I/O, which is all that a request needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Whole milliseconds, far from the ends of either type.
        Timestamp::from_millisecond(Date::now() as i64).unwrap_or_default()
    }
}

/// `crypto.getRandomValues`, [`POOL`] bytes at a time: to ask for each id costs more than to make the id. It works only
/// while a request is served, which is the only time anyone asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

const POOL: usize = 1024;

/// Random bytes that were used for nothing yet; each is for one caller.
static UNUSED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

impl Random for SystemRandom {
    #[expect(
        clippy::expect_used,
        reason = "without randomness nothing here is safe to go on with"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        let fresh = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the isolate has random bytes");
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
