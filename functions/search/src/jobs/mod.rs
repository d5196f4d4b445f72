//! Jobs, subscriptions and schedules of search.

mod index;
pub(crate) mod rebuild;
pub(crate) mod usage;

use souk_core::Lane;
use souk_core::queue::Payload as _;
use souk_kit::Subscription;
use souk_kit::jobs::{Job, Schedule};
use souk_model::catalog::events::CATEGORY_UPDATED;
use souk_model::vendors::VENDOR_UPDATED;

use index::{IndexProduct, Relabel};

/// The maximum number of messages per batch.
const BATCH: usize = 40;
/// How many pages of products one part of a job reads.
const PAGES: usize = 5;
/// How often the index is checked, in seconds.
const CHECK_SECONDS: i64 = 300;

pub(crate) const SUBSCRIPTIONS: &[Subscription] = &[
    Subscription {
        fold: Some("product"),
        ..on("product.*", IndexProduct::JOB)
    },
    on(CATEGORY_UPDATED, Relabel::JOB),
    on(VENDOR_UPDATED, Relabel::JOB),
];

const fn on(event: &'static str, job: &'static str) -> Subscription {
    Subscription {
        event,
        job,
        lane: Lane::Default,
        fold: None,
    }
}

pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job::batch("Updates products in the search index.", BATCH, index::index),
        Job::single(
            "Indexes the products of a vendor, or of a category and all below it, again.",
            index::relabel,
        ),
        Job::single("Rebuilds the search index in parts.", rebuild::run),
        Job::batch(
            "Adds up reports of search usage, many in one commit.",
            BATCH,
            usage::add_reports,
        ),
        Job::single("Adds successful queries to the completions.", usage::tell_used),
    ]
}

pub(crate) fn schedules() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "search.check",
            "Starts a rebuild if the index is missing and there are products.",
            CHECK_SECONDS,
            rebuild::check,
        )
        .for_each_tenant(),
    ]
}
