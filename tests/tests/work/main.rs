//! What the work in the background promises, on a market in memory with a clock, chance and faults of the test's own
//! ([`world`] and [`ports`]).
//!
//! - `proofs.rs`: effects once, however often a message comes and whenever its consumer dies; poison rests and is replayed.
//! - `rules.rs`: what costs an attempt and what does not, what is put off, shed, swept up and given up.
//! - `operators.rs`: what operators see and do through the API.
//! - `purges.rs`: the cache in front is told of exactly what changed.
//! - `clocks.rs`: a clock that jumps both ways holds nothing up.
//! - `edits.rs`: an edit that changes nothing announces nothing.
//! - `folds.rs`: repeated work on one thing is folded, and misses no change.
//! - `markets.rs`: markets of one deployment share nothing, also with equal ids.
//! - `gates.rs`: a host behind a gate trusts what the gate signs, and nobody else.
//! - `formats.rs`: stored formats, pinned.
//!
//! `SOUK_TEST_SEED` is the seed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is a test: a panic is how it fails"
)]

mod clocks;
mod edits;
mod folds;
mod formats;
mod gates;
mod identity;
mod markets;
mod operators;
mod ports;
mod proofs;
mod purges;
mod rules;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_core::queue::Payload;
use souk_core::{Key, Lane, Message};
use souk_kit::Function;
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction};

use world::Process;

fn seed() -> u64 {
    std::env::var("SOUK_TEST_SEED").map_or(1, |text| text.parse().unwrap())
}

/// A function of jobs alone.
fn jobs(jobs: Vec<Job>) -> Function {
    Function {
        name: "test",
        jobs,
        ..Function::default()
    }
}

/// A message for the job of `P`, number `n`.
fn message<P: Payload>(process: &Process, lane: Lane, n: usize) -> Message {
    process
        .platform
        .message(P::JOB, lane, json!({ "n": n }), Some(TRACE.into()))
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

/// The payload of the job [`fragile`].
#[derive(Serialize, Deserialize)]
struct Fragile {
    n: usize,
}

impl Payload for Fragile {
    const JOB: &'static str = "test.fragile";
}

/// A job whose effect is a document per message, of version 1 if it has happened once; until `fixed` it fails instead.
fn fragile(fixed: &Arc<AtomicBool>, fatal: bool) -> Job {
    let fixed = fixed.clone();
    Job::single("", move |tx: JobTransaction, Fragile { n }, _| {
        let fixed = fixed.load(Ordering::SeqCst);
        async move {
            if fixed {
                effect(&tx, n);
                return Ok(JobOutput::default());
            }
            let why = format!("poison {n}");
            Err(if fatal {
                JobError::Fatal(why)
            } else {
                JobError::Retry(why)
            })
        }
    })
}

/// The effect of message `n`.
fn effect(tx: &JobTransaction, n: usize) {
    tx.put(Key::new("effects", format!("{n:05}")), json!({})).always();
}

/// The payload of the job [`counted`].
#[derive(Serialize, Deserialize)]
struct Counted {}

impl Payload for Counted {
    const JOB: &'static str = "test.counted";
}

/// A job that counts how often it is called.
fn counted(calls: &Arc<AtomicUsize>) -> Job {
    let calls = calls.clone();
    Job::single("", move |_: JobTransaction, _: Counted, _| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Ok(JobOutput::default()) }
    })
}
