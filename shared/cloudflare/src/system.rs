//! The isolate's clock and randomness.

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

/// `crypto.getRandomValues`. It works only while a request is served, which is the only time anyone asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::expect_used,
        reason = "without randomness nothing here is safe to go on with"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the isolate has random bytes");
    }
}
