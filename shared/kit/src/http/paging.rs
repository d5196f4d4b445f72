//! Pagination: the parameters `limit` and `cursor`, and the response `{"items": […], "next_cursor": …}`.

use souk_core::{Document, Fault};

use super::selection::view_into;
use super::{Answer, Problem, QueryParams};
use crate::{PageRequest, SortedPage};

impl PageRequest {
    /// Reads `limit` (default 20) and `cursor`.
    pub fn read(params: &QueryParams) -> Result<Self, Problem> {
        let limit = match params.get("limit") {
            None => 20,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| Problem::bad_parameter("limit", Fault::out_of_range(1, 100)))?,
        };
        Ok(Self {
            limit,
            cursor: params.get("cursor").map(str::to_owned),
        })
    }
}

/// A page of items that are serialized JSON.
#[must_use]
pub fn list<T: AsRef<[u8]>>(items: &[T], next_cursor: Option<&str>) -> Answer {
    let size = items.iter().map(|item| item.as_ref().len() + 1).sum();
    page(size, items, next_cursor, |item, out| {
        out.extend_from_slice(item.as_ref())
    })
}

/// A page of items, serialized as JSON.
pub fn list_json<T: serde::Serialize>(items: &[T], next_cursor: Option<&str>) -> Result<Answer, Problem> {
    let items: Vec<Vec<u8>> = items.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
    Ok(list(&items, next_cursor))
}

/// A page of documents in their public form. Each document is copied once, from the store's result into the body.
#[must_use]
pub fn list_documents(page: &SortedPage<Document>) -> Answer {
    let size = page.items.iter().map(|d| d.body.len() + d.counters.len() + 32).sum();
    self::page(size, &page.items, page.next_cursor.as_deref(), view_into)
}

fn page<T>(size: usize, items: &[T], next_cursor: Option<&str>, write: impl Fn(&T, &mut Vec<u8>)) -> Answer {
    let mut body = Vec::with_capacity(size + 512);
    body.extend_from_slice(b"{\"items\":[");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        write(item, &mut body);
    }
    body.extend_from_slice(b"],\"next_cursor\":");
    match next_cursor {
        // Base64url needs no escaping.
        Some(cursor) => {
            body.push(b'"');
            body.extend_from_slice(cursor.as_bytes());
            body.extend_from_slice(b"\"}");
        }
        None => body.extend_from_slice(b"null}"),
    }
    Answer::raw(body)
}
