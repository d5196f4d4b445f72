//! The machine's own clock and randomness.

use rand::RngCore as _;
use souk_core::{Clock, Random, Timestamp};

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port's one implementation for a real machine"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A generator per thread, seeded by the operating system again and again: a system call per id would be the dearest
/// part of a small request.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
