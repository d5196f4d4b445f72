//! The event log: every event of the last seven days, partition `events/{hour}`, sorted by id.
//!
//! A job writes the log, many events in one commit. Each hour has a separate partition, so that partitions do not grow
//! without bound.

use serde::Deserialize;
use souk_core::{Document, Event, Key, Query, Timestamp, clock};
use souk_kit::jobs::JobTransaction;
use souk_kit::{Context, Failure, Fault, PageRequest, SortedPage};

/// How long an event is kept.
const KEEP_SECONDS: i64 = 7 * 24 * 3600;
/// How far back a list starts by default.
const DEFAULT_SECONDS: i64 = 3600;
/// How many queries a page may use.
const MAX_QUERIES: usize = 8;

fn hour(time: Timestamp) -> i64 {
    time.as_second().div_euclid(3600)
}

fn partition(hour: i64) -> String {
    format!("events/{hour}")
}

/// Writes an event to the log. If an event is delivered again, it replaces the same document.
pub(crate) fn log_event(tx: &JobTransaction, event: Event) {
    let key = Key::new(partition(hour(event.timestamp)), &event.id);
    let expires_at = clock::after(event.timestamp, KEEP_SECONDS);
    tx.put(key, event).expires_at(expires_at).always();
}

/// The field of an event that list filters use.
#[derive(Deserialize)]
struct EventName {
    #[serde(rename = "type")]
    name: String,
}

/// The position of a page: in this hour, after this id.
struct Position {
    hour: i64,
    after: Option<String>,
}

impl Position {
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

/// A page of the events from `after` on (the last hour by default), in the order of time. `types` is a type, or a
/// prefix followed by `*`. A page ends early when it has used too many queries.
pub async fn list_events(
    cx: &Context,
    types: &str,
    after: Option<Timestamp>,
    page: &PageRequest,
) -> Result<SortedPage<Document>, Failure> {
    let scope = after.map_or_else(String::new, |after| after.to_string());
    let paging = page.of_list(&format!("events {types} {scope}"))?;
    let now = cx.now();
    let oldest = clock::after(now, -KEEP_SECONDS);
    let from = oldest.max(after.unwrap_or_else(|| clock::after(now, -DEFAULT_SECONDS)));
    let mut position = match &paging.after {
        // Ids start with their time.
        None => Position {
            hour: hour(from),
            after: Some(format!("evt_{:012x}", from.as_millisecond())),
        },
        Some(sort) => {
            Position::parse(sort).ok_or_else(|| Failure::bad_parameter("cursor", Fault::invalid("is not a cursor")))?
        }
    };
    let is_wanted = |event: &EventName| match types.strip_suffix('*') {
        Some(prefix) => event.name.starts_with(prefix),
        None => event.name == types,
    };
    let mut items = Vec::new();
    for _ in 0..MAX_QUERIES {
        if position.hour > hour(now) {
            return Ok(paging.forward(items, None));
        }
        let query = Query {
            after: position.after.take(),
            ..Query::partition(partition(position.hour), paging.limit)
        };
        let page = cx.query(&query).await?;
        for item in page.items {
            if is_wanted(&item.document.parse()?) {
                items.push(item.document);
            }
            if items.len() >= paging.limit {
                position.after = Some(item.sort);
                return Ok(paging.forward(items, Some(paging.cursor(&position.sort()))));
            }
        }
        position.after = page.next;
        if position.after.is_none() {
            position.hour += 1;
        }
    }
    Ok(paging.forward(items, Some(paging.cursor(&position.sort()))))
}
