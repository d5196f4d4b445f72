//! The event log: every event of the last seven days, partition `events/{hour}`, sorted by id.
//!
//! A job writes it, many events in one commit. It is on the lane `default`, because it must be complete: nothing there is
//! ever shed. An hour is a partition of its own, so that the log grows without any of them growing too large.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_core::{Change, Condition, Key, Message, Query, StoreError, Timestamp, clock, fact};
use souk_kit::work::{Effects, JobError, event_of};
use souk_kit::{Answer, Paging, Params, Platform, Problem, State, Viewer, list as page_of};
use utoipa::openapi::{RefOr, Schema};

/// The job that writes it.
pub(crate) const JOB: &str = "jobs.log";
/// How long an event can be read.
const KEEP_SECONDS: i64 = 7 * 24 * 3600;
/// What is listed if nobody says from when on.
const USUAL_SECONDS: i64 = 3600;
/// How many queries a page may take.
const QUERIES: usize = 8;

fn hour(time: Timestamp) -> i64 {
    time.as_second().div_euclid(3600)
}

fn partition(hour: i64) -> String {
    format!("events/{hour}")
}

pub(crate) async fn write(_: Arc<Platform>, messages: Vec<Message>) -> Result<Effects, JobError> {
    let mut effects = Effects::default();
    for message in &messages {
        let event = event_of(message)?;
        effects.changes.push(Change::Put {
            key: Key::new(partition(hour(event.time)), &event.id),
            body: serde_json::to_string(&event).map_err(|e| StoreError::Refused(e.to_string()))?,
            counters: Vec::new(),
            expires_at: Some(clock::after(event.time, KEEP_SECONDS)),
            // The same event is the same document, however often it comes.
            condition: Condition::Any,
            entries: Vec::new(),
            stale: Vec::new(),
        });
    }
    Ok(effects)
}

/// What a list looks at in an event.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    name: String,
}

/// Where a list goes on: in this hour, behind this id.
struct Place {
    hour: i64,
    after: Option<String>,
}

impl Place {
    fn parse(sort: &str) -> Option<Self> {
        let (hour, after) = sort.split_once('/')?;
        Some(Self {
            hour: hour.parse().ok()?,
            after: Some(after).filter(|id| !id.is_empty()).map(str::to_owned),
        })
    }

    fn sort(&self) -> String {
        format!("{}/{}", self.hour, self.after.as_deref().unwrap_or(""))
    }
}

pub(crate) async fn list(platform: State, params: Params) -> Result<Answer, Problem> {
    let (wanted, sent) = (params.get("type").unwrap_or("*"), params.get("after"));
    let paging = Paging::read(&params, &format!("events {wanted} {}", sent.unwrap_or("")))?;
    let now = platform.now();
    let oldest = clock::after(now, -KEEP_SECONDS);
    let from = match sent {
        None => clock::after(now, -USUAL_SECONDS),
        Some(text) => text
            .parse()
            .map_err(|_| Problem::bad_parameter("after", "must be a moment such as 2030-01-31T12:00:00Z"))?,
    };
    let from = oldest.max(from);
    let mut place = match &paging.after {
        // Ids begin with their time.
        None => Place {
            hour: hour(from),
            after: Some(format!("evt_{:012x}", from.as_millisecond())),
        },
        Some(sort) => Place::parse(sort).ok_or_else(|| Problem::bad_parameter("cursor", "is not a cursor"))?,
    };
    let is_wanted = |head: &Head| match wanted.strip_suffix('*') {
        Some(prefix) => head.name.starts_with(prefix),
        None => head.name == wanted,
    };
    let mut items: Vec<String> = Vec::new();
    for _ in 0..QUERIES {
        if place.hour > hour(now) {
            return Ok(page_of(&items, None));
        }
        let query = Query {
            after: place.after.take(),
            ..Query::partition(partition(place.hour), paging.limit)
        };
        let page = platform.documents.query(&query).await?;
        for item in page.items {
            if is_wanted(&item.document.parse()?) {
                items.push(item.document.body);
            }
            if items.len() >= paging.limit {
                place.after = Some(item.sort);
                return Ok(page_of(&items, Some(&paging.cursor(&place.sort()))));
            }
        }
        place.after = page.next;
        if place.after.is_none() {
            place.hour += 1;
        }
    }
    Ok(page_of(&items, Some(&paging.cursor(&place.sort()))))
}

/// A type of event.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = EventType)]
pub(crate) struct EventTypeView {
    /// Such as `product.published`.
    #[serde(rename = "type")]
    name: &'static str,
    /// The present version of the shape of its `data`; older ones stay readable.
    version: u32,
    /// What has happened.
    about: &'static str,
    /// The JSON schema of its `data`.
    #[schema(value_type = Object)]
    schema: RefOr<Schema>,
}

pub(crate) async fn catalogue(viewer: Viewer) -> Result<Answer, Problem> {
    let types = fact::catalogue().into_iter().map(|of| EventTypeView {
        name: of.name,
        version: of.version,
        about: of.about,
        schema: of.schema,
    });
    let items: Vec<EventTypeView> = types.collect();
    let answer = Answer::json(&serde_json::json!({ "items": items, "next_cursor": null }))?;
    Ok(viewer.answer(answer))
}
