//! Pages: `limit` and an opaque `cursor` in, `{"items": […], "next_cursor": …}` out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use souk_core::Document;
use souk_core::documents::MAX_KEY;

use crate::route::Params;
use crate::view::view_into;
use crate::{Answer, Problem};

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Paging {
    /// From 1 to 100; 20 unless asked for.
    pub limit: usize,
    /// Go on behind this sort key.
    pub after: Option<String>,
    scope: String,
}

impl Paging {
    /// Reads `limit` and `cursor`. `scope` is what the list is of (its filters and order): a cursor made for another
    /// list is refused, not misread.
    pub fn read(params: &Params, scope: &str) -> Result<Self, Problem> {
        let limit = match params.get("limit") {
            None => 20,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| Problem::bad_parameter("limit", "must be a number from 1 to 100"))?,
        };
        let after = params.get("cursor").map(|cursor| {
            decode(cursor, scope).ok_or_else(|| {
                Problem::bad_parameter("cursor", "is not one that this list gave: begin again without it")
            })
        });
        Ok(Self {
            limit,
            after: after.transpose()?,
            scope: scope.to_owned(),
        })
    }

    /// The cursor to go on behind `sort`.
    #[must_use]
    pub fn cursor(&self, sort: &str) -> String {
        URL_SAFE_NO_PAD.encode([&tag(&self.scope, sort.as_bytes()), sort.as_bytes()].concat())
    }
}

/// Ties a position to its list, and shows a cursor that was cut or changed by accident. It keeps no secret.
fn tag(scope: &str, sort: &[u8]) -> [u8; 8] {
    xxhash_rust::xxh3::xxh3_64_with_seed(sort, xxhash_rust::xxh3::xxh3_64(scope.as_bytes())).to_be_bytes()
}

fn decode(cursor: &str, scope: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .filter(|bytes| bytes.len() <= MAX_KEY)?;
    let (sent, sort) = bytes.split_at_checked(8)?;
    (sent == tag(scope, sort))
        .then(|| String::from_utf8(sort.to_vec()).ok())
        .flatten()
}

/// The answer for a page of items that are JSON already.
#[must_use]
pub fn list<T: AsRef<[u8]>>(items: &[T], next_cursor: Option<&str>) -> Answer {
    let size = items.iter().map(|item| item.as_ref().len() + 1).sum();
    page(size, items, next_cursor, |item, out| {
        out.extend_from_slice(item.as_ref())
    })
}

/// The answer for a page of documents as they are stored: each copied once, from the store's answer into ours.
#[must_use]
pub fn list_documents(documents: &[Document], next_cursor: Option<&str>) -> Answer {
    let size = documents.iter().map(|d| d.body.len() + d.counters.len() + 32).sum();
    page(size, documents, next_cursor, view_into)
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
