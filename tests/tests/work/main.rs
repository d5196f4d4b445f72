//! What the work in the background promises, on a market in memory with a clock, chance and faults of the test's own
//! ([`world`] and [`ports`]).
//!
//! - `proofs.rs`: effects once, however often a message comes and whenever its consumer dies; poison rests and is replayed.
//! - `rules.rs`: what costs an attempt and what does not, what is put off, shed, swept up and given up.
//! - `operators.rs`: what operators see and do through the API.
//! - `purges.rs`: the cache in front is told of exactly what changed.
//! - `formats.rs`: stored formats, pinned.
//!
//! `SOUK_TEST_SEED` is the seed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test: a panic is how it fails"
)]

mod formats;
mod operators;
mod ports;
mod proofs;
mod purges;
mod rules;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use souk_core::{Change, Condition, Key, Lane, Message};
use souk_kit::work::{Effects, Job, JobError};
use souk_kit::{Function, Platform};

use world::Process;

fn seed() -> u64 {
    std::env::var("SOUK_TEST_SEED").map_or(1, |text| text.parse().unwrap())
}

/// A function of jobs alone.
fn jobs(jobs: Vec<Job>) -> Function {
    Function {
        jobs,
        ..Function::new("test", "", Vec::new())
    }
}

/// A message for one of them, number `n`.
fn message(process: &Process, job: &str, lane: Lane, n: usize) -> Message {
    process
        .platform
        .message(job, lane, json!({ "n": n }), Some(TRACE.into()))
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The number of a message.
fn number(message: &Message) -> usize {
    usize::try_from(message.body["n"].as_u64().unwrap()).unwrap()
}

/// Where its effect counts: many messages share a place.
fn tally(name: &str, n: usize) -> Key {
    Key::of(name, &(n % 20).to_string())
}

/// A document that counts.
fn place(key: Key) -> Change {
    Change::Put {
        key,
        body: "{}".into(),
        counters: vec!["n".into()],
        expires_at: None,
        condition: Condition::Any,
        entries: Vec::new(),
        stale: Vec::new(),
    }
}

fn add(key: Key, delta: i64) -> Change {
    let counter = "n".into();
    Change::Add { key, counter, delta }
}

/// A job whose effect is a document per message, of version 1 if it has happened once; until `fixed` it fails instead.
fn fragile(name: &'static str, fixed: &Arc<AtomicBool>, fatal: bool) -> Job {
    let fixed = fixed.clone();
    Job::each(name, "", move |_: Arc<Platform>, message: Message| {
        let fixed = fixed.load(Ordering::SeqCst);
        async move {
            let n = number(&message);
            if fixed {
                return Ok(Effects {
                    changes: vec![place(Key::new("effects", format!("{n:05}")))],
                    ..Effects::default()
                });
            }
            let why = format!("poison {n}");
            Err(if fatal {
                JobError::Fatal(why)
            } else {
                JobError::Again(why)
            })
        }
    })
}

/// A job that counts how often it is called.
fn counted(calls: &Arc<AtomicUsize>) -> Job {
    let calls = calls.clone();
    Job::each("test.counted", "", move |_: Arc<Platform>, _: Message| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Ok(Effects::default()) }
    })
}
