//! Adapters for Cloudflare Workers: documents and the search index in D1, copies in KV, lanes in Queues, calls to others
//! by `fetch`, requests as tasks, and the isolate's own clock and randomness.
//!
//! An isolate has one thread, so what JavaScript hands out is not `Send`; the ports are. The adapters hide that behind
//! `worker::send`, and nothing outside this crate knows of it. Natively the crate is empty.
//!
//! **Bindings outlive requests.** They may be kept and used by whatever event comes next; a call under way belongs to its
//! event, and ends with it. So nothing here keeps a call from one event to another.
#![cfg(target_arch = "wasm32")]

mod d1;
mod key_value;
mod outbound;
mod queue;
mod system;
pub mod task;
mod time;

pub use d1::{D1Documents, D1Driver, D1Search, open, open_search};
pub use key_value::WorkersKv;
pub use outbound::FetchOutbound;
pub use queue::{CloudflareQueue, Delivered, delivered};
pub use system::{SystemClock, SystemRandom};
