//! Pagination: the parameters `limit` and `cursor`, and the response `{"items": […], "next_cursor": …,
//! "prev_cursor": …, "total": …, "total_is_exact": …}`.

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

/// A page of items that are serialized JSON, with the cursors and the total of `page`.
#[must_use]
pub fn list<T: AsRef<[u8]>, P>(items: &[T], page: &SortedPage<P>) -> Answer {
    let size = items.iter().map(|item| item.as_ref().len() + 1).sum();
    body(size, items, page, |item, out| out.extend_from_slice(item.as_ref()))
}

/// A page of items, serialized as JSON.
pub fn list_json<T: serde::Serialize>(page: &SortedPage<T>) -> Result<Answer, Problem> {
    let items: Vec<Vec<u8>> = page.items.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
    Ok(list(&items, page))
}

/// All items of a list, serialized as JSON.
pub fn list_whole<T: serde::Serialize>(items: Vec<T>) -> Result<Answer, Problem> {
    list_json(&SortedPage::whole(items))
}

/// A page of documents in their public form. Each document is copied once, from the store's result into the body.
#[must_use]
pub fn list_documents(page: &SortedPage<Document>) -> Answer {
    let size = page.items.iter().map(|d| d.body.len() + d.counters.len() + 32).sum();
    body(size, &page.items, page, view_into)
}

fn body<T, P>(size: usize, items: &[T], page: &SortedPage<P>, write: impl Fn(&T, &mut Vec<u8>)) -> Answer {
    let mut body = Vec::with_capacity(size + 512);
    body.extend_from_slice(b"{\"items\":[");
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            body.push(b',');
        }
        write(item, &mut body);
    }
    body.push(b']');
    write_ends(page, &mut body);
    body.push(b'}');
    Answer::raw(body)
}

/// Writes the members of a list that follow its items: `,"next_cursor":…,"prev_cursor":…,"total":…,"total_is_exact":…`.
pub fn write_ends<P>(page: &SortedPage<P>, out: &mut Vec<u8>) {
    for (name, cursor) in [("next_cursor", &page.next_cursor), ("prev_cursor", &page.prev_cursor)] {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        match cursor {
            // Base64url needs no escaping.
            Some(cursor) => out.extend_from_slice(format!("\"{cursor}\"").as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
    let total = page
        .total
        .map_or_else(|| "null".to_owned(), |total| total.count.to_string());
    let is_exact = page.total.is_some_and(|total| total.is_exact);
    out.extend_from_slice(format!(",\"total\":{total},\"total_is_exact\":{is_exact}").as_bytes());
}
