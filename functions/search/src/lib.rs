//! Search (VS-02, VS-03, VS-04, VN-18, VN-19, VN-20): finding products by words, filters and places; suggestions; what
//! people look for.
//!
//! **The index is never the truth.** It is one more reader of events: `index.rs` follows the products, `rebuild.rs` makes
//! it anew from the documents. When it does not answer, search is a 503 and nothing else is.
//!
//! - `query.rs`: what the parameters ask for.
//! - `routes.rs`: search and suggestions, and how a page is written; `highlight.rs`: the marks in it.
//! - `settings.rs`: weights and synonyms.
//! - `usage.rs`: counting what people look for; `analytics.rs`: showing it, and clicks.
//!
//! | key | what |
//! | --- | --- |
//! | `settings/search` | weights and synonyms |
//! | `search-usage/{day}` | what was searched for, for 90 days |

mod analytics;
mod highlight;
mod index;
mod query;
mod rebuild;
mod routes;
mod settings;
mod usage;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::{Method, StatusCode};
use souk_core::search::{INDEX, SearchError};
use souk_core::{Lane, Role, fact};
use souk_kit::work::schedule::Schedule;
use souk_kit::work::tracked::Tracked;
use souk_kit::work::{Job, Subscription};
use souk_kit::{Access, Function, Param, Problem, Route, Schema};

pub use rebuild::{Rebuilt, ensure, rebuild, request};

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[
    on("product.*", INDEX),
    on(fact::CATEGORY_UPDATED, index::RELABEL),
    on(fact::VENDOR_UPDATED, index::RELABEL),
];

const fn on(event: &'static str, job: &'static str) -> Subscription {
    Subscription {
        event,
        job,
        lane: Lane::Default,
    }
}

/// How often it is looked whether there is an index at all, in seconds.
const CHECK_SECONDS: i64 = 300;

/// What an instance keeps in memory.
#[derive(Default)]
struct Memory {
    tuned: settings::Tuned,
    usage: usage::Usage,
    /// Whether the index is known to have been there: then nothing found is nothing there.
    built: AtomicBool,
}

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let memory = Arc::new(Memory::default());
    let mut routes: Vec<Route> = public(&memory).into();
    routes.extend(admin(&memory));
    let check = Schedule::new(
        "search.check",
        "Has the index rebuilt where there is none of a market that has products.",
        CHECK_SECONDS,
        rebuild::check,
    );
    Function {
        jobs: jobs(),
        subscriptions: SUBSCRIPTIONS,
        schedules: vec![check],
        ..Function::new("search", "Finding products.", routes)
    }
}

fn jobs() -> Vec<Job> {
    vec![
        Job::fold(
            INDEX,
            "Brings products up to date in the search index.",
            index::BATCH,
            index::index,
        ),
        Job::each(
            index::RELABEL,
            "Indexes the products of a category or vendor anew.",
            index::relabel,
        ),
        Job::each(rebuild::JOB, "Rebuilds the search index, part by part.", rebuild::run),
        Job::fold(
            usage::JOB,
            "Adds up what people look for, many instances in one write.",
            usage::BATCH,
            usage::fold,
        ),
        Job::each(usage::USED, "Tells the index what is searched for.", usage::used),
    ]
}

/// The answer while the index does not answer.
fn unavailable(error: SearchError) -> Problem {
    let detail = "search does not answer; please try again in a moment";
    let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "search_unavailable", detail);
    problem.retry_after = Some(5);
    problem.caused_by(error.to_string())
}

const ABOUT: &str = "All words must match: in title, description, tags, category, vendor or attributes; accents, plurals, small \
    misspellings and synonyms do not matter, the last word may be a beginning of two letters or more, and \"words between \
    quotes\" stand side by side. Any text is a query. Filters take several values, separated by commas: any of them. What is \
    found follows what is written within seconds.";

const SEARCH: &[Param] = &[
    Param {
        name: "q",
        about: "What to look for; everything, if it is not given. Words after the tenth are passed over.",
        schema: r#"{"type":"string","minLength":1,"maxLength":200}"#,
    },
    Param::text("category", "In one of these categories (ids or slugs)."),
    Param::text("vendor", "Of one of these vendors (ids or slugs)."),
    Param::text("tag", "With one of these tags."),
    Param {
        name: "condition",
        about: "In one of these conditions: `new`, `like_new`, `good`, `fair`, `poor`.",
        schema: r#"{"type":"string","pattern":"^(new|like_new|good|fair|poor)(,(new|like_new|good|fair|poor))*$"}"#,
    },
    Param {
        name: "min_price",
        about: "Not cheaper, in minor units.",
        schema: r#"{"type":"integer","minimum":0,"maximum":9007199254740991}"#,
    },
    Param {
        name: "max_price",
        about: "Not dearer, in minor units.",
        schema: r#"{"type":"integer","minimum":0,"maximum":9007199254740991}"#,
    },
    Param::text("attr.*", "With one of these values of a filterable attribute."),
    Param {
        name: "near",
        about: "Around this place: degrees north and east.",
        schema: r#"{"type":"string","pattern":"^-?\\d{1,2}(\\.\\d+)?,-?\\d{1,3}(\\.\\d+)?$","example":"41.01,28.97"}"#,
    },
    Param {
        name: "radius",
        about: "How far from there, in metres.",
        schema: r#"{"type":"number","minimum":1,"maximum":500000,"default":10000}"#,
    },
    Param {
        name: "sort",
        about: "Best, newest, cheapest, dearest, most voted for or nearest first; the last one needs `near`.",
        schema: r#"{"type":"string","enum":["relevance","newest","price","-price","popular","nearest"],"default":"relevance"}"#,
    },
    Param::LIMIT,
    Param::CURSOR,
    Param {
        name: "facets",
        about: "Which values there are, with how many products each: of `category`, `vendor`, `tag`, `condition`, `price` \
                (ranges), `attr.NAME`; separated by commas.",
        schema: r#"{"type":"string","minLength":1,"example":"category,tag"}"#,
    },
];

fn public(memory: &Arc<Memory>) -> [Route; 3] {
    const SUGGEST: &[Param] = &[Param {
        name: "q",
        about: "What was typed so far; needed.",
        schema: r#"{"type":"string","minLength":1,"maxLength":200}"#,
    }];
    let (searching, clicking) = (memory.clone(), memory.clone());
    [
        Route::new(
            Method::GET,
            "/v1/search",
            Access::Public,
            move |state, viewer, params| routes::search(searching.clone(), state, viewer, params),
        )
        .about("Search products", ABOUT)
        .params(SEARCH)
        .cached(10, 60)
        .answers(
            StatusCode::OK,
            "What was found",
            Some(Schema::of::<routes::SearchResult>()),
        )
        .fails(&[StatusCode::UNAUTHORIZED, StatusCode::UNPROCESSABLE_ENTITY]),
        Route::new(Method::GET, "/v1/search/suggest", Access::Public, routes::suggest)
            .about(
                "Complete what was typed",
                "By titles, tags, names of categories and vendors, and what others have found something with.",
            )
            .params(SUGGEST)
            .cached(10, 60)
            .answers(StatusCode::OK, "Completions", Some(Schema::of::<routes::Suggestions>()))
            .fails(&[StatusCode::UNAUTHORIZED]),
        Route::new(
            Method::POST,
            "/v1/search/clicks",
            Access::Public,
            move |state, once, click| analytics::click(clicking.clone(), state, once, click),
        )
        .about(
            "Say that I look at something that was found",
            "Counted for the query, today or yesterday; nothing is kept of who it was.",
        )
        .takes(Schema::of::<analytics::NewClick>(), 1024)
        .answers(StatusCode::NO_CONTENT, "Noted", None),
    ]
}

fn admin(memory: &Arc<Memory>) -> [Route; 5] {
    const DAY: &[Param] = &[Param {
        name: "day",
        about: "Which day, in UTC; today if not given.",
        schema: r#"{"type":"string","format":"date","example":"2026-01-31"}"#,
    }];
    let admin = Access::Role(Role::Admin);
    let (showing, putting) = (memory.clone(), memory.clone());
    let settings = || Some(Schema::of::<settings::SearchSettings>());
    [
        Route::new(
            Method::GET,
            "/v1/search/analytics",
            admin,
            move |state, member, params| analytics::show(showing.clone(), state, member, params),
        )
        .about(
            "What people look for",
            "By day, for 90 days, some seconds late. Searches that a shared cache answers are not counted; queries that are \
             asked least may be left out.",
        )
        .params(DAY)
        .answers(StatusCode::OK, "The day", Some(Schema::of::<analytics::SearchAnalytics>())),
        Route::new(Method::GET, "/v1/search/settings", admin, settings::show)
            .about("How search is tuned", "")
            .answers(StatusCode::OK, "The settings", settings()),
        Route::new(
            Method::PUT,
            "/v1/search/settings",
            admin,
            move |state, member, precondition, once, new| {
                settings::put(putting.clone(), state, member, precondition, once, new)
            },
        )
        .about(
            "Tune search",
            "Replaces the settings; every instance goes by them ten seconds later.",
        )
        .takes(Schema::of::<settings::NewSearchSettings>(), 128 * 1024)
        .answers(StatusCode::OK, "The settings", settings())
        .fails(&[StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT]),
        Route::new(Method::GET, "/v1/search/state", admin, rebuild::state)
            .about("How the search index is", "")
            .answers(StatusCode::OK, "Its state", Some(Schema::of::<rebuild::SearchState>())),
        Route::new(Method::POST, "/v1/search/reindex", admin, rebuild::reindex)
            .about(
                "Rebuild the search index",
                "From the documents, while the present one answers; the job tells how far it is.",
            )
            .answers(StatusCode::ACCEPTED, "The job that does it", Some(Schema::of::<Tracked>())),
    ]
}
