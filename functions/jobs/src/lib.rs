//! What operators see and steer of the work in the background: lanes, dead letters, schedules, events (CB-12, VS-13).
//!
//! - `lanes.rs`: how much waits in each lane, and what it has done lately.
//! - `letters.rs`: dead letters, read, replayed, discarded.
//! - `progress.rs`: how a job is going that a client asked for; when schedules ran; circuits of those whom we call.
//! - `log.rs`: every event of the last days, and which types of events there are.

mod lanes;
pub mod letters;
mod log;
mod progress;

use std::sync::Arc;

use http::{Method, StatusCode};
use souk_core::{Event, Lane, Role};
use souk_kit::outbound::Dependency;
use souk_kit::work::dead::DeadLetter;
use souk_kit::work::schedule::{Runs, Schedule};
use souk_kit::work::tracked::Tracked;
use souk_kit::work::{Job, Subscription};
use souk_kit::{Access, Function, Param, Platform, Route, Schema};

pub use lanes::{LaneState, lanes};

/// How old what is left in the outbox must be before it is swept up, in milliseconds.
const LEFT_BEHIND: i64 = 30_000;

/// Which events its jobs want.
pub const SUBSCRIPTIONS: &[Subscription] = &[Subscription {
    event: "*",
    job: log::JOB,
    lane: Lane::Default,
}];

const LANE: Param = Param {
    name: "lane",
    about: "Only those of this lane.",
    schema: r#"{"type":"string","enum":["high","default","notifications","low"]}"#,
};
const TYPE: Param = Param::text("type", "Only events of this type; `product.*` for all of a thing.");
const AFTER: Param = Param {
    name: "after",
    about: "Only events from this moment on; of the last hour if not given.",
    schema: r#"{"type":"string","format":"date-time"}"#,
};

/// The function's rows and its work.
#[must_use]
pub fn function() -> Function {
    let mut routes = letter_routes();
    routes.extend(other_routes());
    let sweep = Schedule::new(
        "jobs.sweep",
        "Sends the events that a crash or a dead queue has left in the outbox.",
        60,
        async |platform: Arc<Platform>| {
            let sent = platform.sweep(LEFT_BEHIND).await?;
            Ok(format!("{sent} commits"))
        },
    );
    Function {
        jobs: vec![
            Job::fold(
                log::JOB,
                "Keeps every event for a week, many in one write.",
                40,
                log::write,
            ),
            Job::each(
                letters::JOB,
                "Replays the dead letters of a lane.",
                letters::replay_some,
            ),
        ],
        subscriptions: SUBSCRIPTIONS,
        schedules: vec![sweep],
        ..Function::new("jobs", "Queues, dead letters, schedules and events.", routes)
    }
}

fn letter_routes() -> Vec<Route> {
    let admin = Access::Role(Role::Admin);
    vec![
        Route::new(Method::GET, "/v1/dead-letters", admin, letters::list)
            .about(
                "List dead letters",
                "Messages whose attempts are used up; lane by lane.",
            )
            .params(&[LANE, Param::LIMIT, Param::CURSOR])
            .answers(StatusCode::OK, "A page", Some(Schema::list_of::<letters::Summary>())),
        Route::new(
            Method::POST,
            "/v1/dead-letters/{lane}/replay",
            admin,
            letters::replay_all,
        )
        .about(
            "Replay all dead letters of a lane",
            "Those that are there now; the job tells how many it were.",
        )
        .answers(StatusCode::ACCEPTED, "A job does it", Some(Schema::of::<Tracked>())),
        Route::new(Method::GET, "/v1/dead-letters/{lane}/{id}", admin, letters::show)
            .about("Read a dead letter", "With its message and every attempt.")
            .answers(StatusCode::OK, "The letter", Some(Schema::of::<DeadLetter>())),
        Route::new(Method::DELETE, "/v1/dead-letters/{lane}/{id}", admin, letters::discard)
            .about("Discard a dead letter", "Its work is never done.")
            .answers(StatusCode::NO_CONTENT, "It is gone", None),
        Route::new(
            Method::POST,
            "/v1/dead-letters/{lane}/{id}/replay",
            admin,
            letters::replay,
        )
        .about(
            "Replay a dead letter",
            "It goes back to its lane with fresh attempts. If it was done after all, nothing is done twice.",
        )
        .answers(StatusCode::NO_CONTENT, "It waits in its lane", None),
    ]
}

fn other_routes() -> Vec<Route> {
    let admin = Access::Role(Role::Admin);
    vec![
        Route::new(Method::GET, "/v1/lanes", admin, lanes::list)
            .about("How the lanes are", "How much waits, and what was done lately.")
            .answers(StatusCode::OK, "All lanes", Some(Schema::list_of::<LaneState>())),
        Route::new(Method::GET, "/v1/schedules", admin, progress::schedules)
            .about("What the clock has run", "The last runs of every schedule that ever ran, newest first.")
            .answers(StatusCode::OK, "All schedules", Some(Schema::list_of::<Runs>())),
        Route::new(Method::GET, "/v1/dependencies", admin, progress::dependencies)
            .about(
                "How the systems are that we call",
                "Those that the instance that answers has called lately, and whether their circuits are closed.",
            )
            .answers(StatusCode::OK, "All of them", Some(Schema::list_of::<Dependency>())),
        Route::new(
            Method::GET,
            "/v1/jobs/{id}",
            Access::Role(Role::Member),
            progress::show,
        )
        .about("How a job is going", "For whoever asked for it, and for admins; for a week.")
        .answers(StatusCode::OK, "The job", Some(Schema::of::<Tracked>())),
        Route::new(Method::GET, "/v1/events", admin, log::list)
            .about(
                "List events",
                "What has happened in the last seven days, in the order of time. A page may be short, even empty, and still \
                 go on. One whose delivery was late turns up late, at its place.",
            )
            .params(&[TYPE, AFTER, Param::LIMIT, Param::CURSOR])
            .answers(StatusCode::OK, "A page", Some(Schema::list_of::<Event>())),
        Route::new(Method::GET, "/v1/events/catalogue", Access::Public, log::catalogue)
            .about("Which types of events there are", "Each with its version and the schema of its `data`.")
            .cached(300, 3600)
            .answers(StatusCode::OK, "All types", Some(Schema::list_of::<log::EventTypeView>())),
    ]
}
