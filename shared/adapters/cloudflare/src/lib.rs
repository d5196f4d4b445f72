//! Adapters for Cloudflare Workers: documents and the search index in D1, values in KV, lanes in Queues, outbound calls
//! by `fetch`, limits in Durable Objects, static assets, and the isolate's clock and randomness.
//!
//! An isolate has one thread, so JavaScript values are not `Send`, but the ports are. The adapters wrap their futures in
//! `worker::send::SendFuture`; nothing outside this crate has to. On other targets the crate is empty.
//!
//! **Bindings outlive requests.** Later events may use the same binding. A promise belongs to the event that created it and
//! is cancelled with it, so nothing in this crate keeps a promise for another event.
#![cfg(target_arch = "wasm32")]

mod assets;
mod compute;
mod d1;
mod key_value;
mod mail;
mod outbound;
mod queue;
mod rate_limit;
mod system;
mod timeout;

pub use assets::StaticAssets;
pub use compute::TakingTurns;
pub use d1::{D1Documents, D1Driver, D1Search, open, open_search};
pub use key_value::WorkersKv;
pub use mail::EmailBinding;
pub use outbound::FetchOutbound;
pub use queue::{CloudflareQueue, ReceivedMessage, received};
pub use rate_limit::{DurableRateLimit, take_from_cell};
pub use system::{SystemClock, SystemRandom};
