//! Adapters for Cloudflare Workers: documents in D1, and the isolate's own clock and randomness.
//!
//! An isolate has one thread, so what JavaScript hands out is not `Send`; the ports are. The adapters hide that behind
//! `worker::send`, and nothing outside this crate knows of it. Natively the crate is empty.
#![cfg(target_arch = "wasm32")]

mod d1;
mod system;

pub use d1::{D1Documents, D1Driver, open};
pub use system::{SystemClock, SystemRandom};
