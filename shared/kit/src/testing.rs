//! A job that ends its consumer, for the tests of hosts (`tests/tests/poison.rs`). Never in what is deployed.

use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Key, Message};

use crate::function::{Function, Partitions, StoreUse};
use crate::jobs::{Job, JobOutput, JobTransaction};

/// The payload: the effect of the message `n` of `set` is the document `effects/{set}` + `n`, unless it is bad.
#[derive(Clone, Serialize, Deserialize)]
struct Poison {
    set: String,
    n: u32,
    is_bad: bool,
}

impl Payload for Poison {
    const JOB: &'static str = "test.poison";
}

/// The function with this job, whose bad messages call `end`.
#[must_use]
pub fn poison(end: fn() -> !) -> Function {
    let run = move |tx: JobTransaction, payload: Poison, _: Message| async move {
        if payload.is_bad {
            end();
        }
        let key = Key::new(format!("effects/{}", payload.set), format!("{:03}", payload.n));
        tx.put(key, serde_json::json!({})).always();
        Ok(JobOutput::default())
    };
    Function {
        name: "test",
        jobs: vec![Job::single("", run)],
        job_store: StoreUse {
            reads: &[],
            writes: &[Partitions::Documents("effects/*")],
        },
        ..Function::default()
    }
}
