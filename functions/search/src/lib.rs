//! Search: products by text, filters and location; completions; search analytics (VS-02, VS-03, VS-04, VN-18, VN-19,
//! VN-20).
//!
//! **The index is derived data.** Jobs update it from events, and a rebuild creates it again from the documents. If the
//! index is unavailable, search responds with 503 and nothing else is affected.
//!
//! | key | document |
//! | --- | --- |
//! | `settings/search` | weights and synonyms |
//! | `search-usage/{day}` | search usage of a day, kept for 90 days |

mod analytics;
mod attributes;
mod error;
mod highlight;
mod http;
mod jobs;
mod listing;
mod operations;
mod permissions;
mod settings;
mod usage;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};

pub use error::SearchError;
pub use operations::rebuild::{Rebuilt, ensure, rebuild, request_rebuild};

/// The state of an instance in memory.
#[derive(Default)]
struct Memory {
    tuned: settings::Tuned,
    attributes: attributes::Attributes,
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
        problems: error::problems::ALL,
        routes: http::routes(&Arc::default()),
        jobs: jobs::jobs(),
        subscriptions: jobs::SUBSCRIPTIONS,
        schedules: jobs::schedules(),
        searches: true,
        store: StoreUse {
            reads: &[
                Documents("category/*"),
                Documents("category-named/*"),
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("account-named/*"),
                Documents("product/*"),
                Documents("vendor-staff/*"),
                Documents("upvotes/*"),
                Documents("saves/*"),
                Documents("follows/*"),
                Documents("settings/search"),
                Documents("search-usage/*"),
                Index("categories"),
                Index("products/published"),
            ],
            writes: &[Documents("job/*"), Documents("settings/search")],
        },
        job_store: StoreUse {
            reads: &[
                Documents("category/*"),
                Documents("vendor/*"),
                Documents("product/*"),
                Documents("rank/*"),
                Documents("search-usage/*"),
                Index("categories/*"),
                Index("products/*"),
            ],
            writes: &[Documents("search-usage/*")],
        },
        audited: &["settings"],
        permissions: &[
            &permissions::SEARCH_READ,
            &permissions::SEARCH_WRITE,
            &permissions::SEARCH_REBUILD,
        ],
        histories: &["settings"],
        ..Function::default()
    }
}
