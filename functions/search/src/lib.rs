//! Search (VS-02, VS-03, VS-04, VN-18, VN-19, VN-20): finding products by words, filters and places; suggestions; analytics
//! of what people search for.
//!
//! **The index is never the truth.** It is one more reader of events: the jobs follow the products, and a rebuild makes the
//! index again from the documents. When it does not answer, search is a 503 and nothing else is affected.
//!
//! | key | document |
//! | --- | --- |
//! | `settings/search` | weights and synonyms |
//! | `search-usage/{day}` | what was searched for, for 90 days |

mod analytics;
mod error;
mod highlight;
mod http;
mod jobs;
mod listing;
mod operations;
mod settings;
mod usage;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use souk_kit::Function;

pub use error::SearchError;
pub use operations::rebuild::{Rebuilt, ensure, rebuild, request_rebuild};

/// What an instance keeps in memory.
#[derive(Default)]
struct Memory {
    tuned: settings::Tuned,
    usage: usage::Usage,
    /// Whether the index is known to have been built, so that an empty result means that nothing matches.
    built: AtomicBool,
}

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "search",
        summary: "Finding products.",
        routes: http::routes(&Arc::default()),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        schedules: jobs::schedules(),
        ..Function::default()
    }
}
