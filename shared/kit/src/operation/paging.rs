//! Pagination with a limit and an opaque cursor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use souk_core::Fault;
use souk_core::documents::MAX_KEY;

use super::Failure;

/// The page that a client requests.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The maximum number of items, from 1 to 100.
    pub limit: usize,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// Decodes the cursor. `scope` identifies the list by its filters and order: a cursor of another list is refused.
    pub fn of_list(&self, scope: &str) -> Result<Paging, Failure> {
        let after = self.cursor.as_ref().map(|cursor| {
            decode(cursor, scope).ok_or_else(|| {
                Failure::bad_parameter(
                    "cursor",
                    Fault::invalid("is not one that this list gave: begin again without it"),
                )
            })
        });
        Ok(Paging {
            limit: self.limit,
            after: after.transpose()?,
            scope: scope.to_owned(),
        })
    }
}

/// A page of the list with this scope.
#[derive(Clone, Debug)]
pub struct Paging {
    /// The maximum number of items, from 1 to 100.
    pub limit: usize,
    /// The sort key after which the page starts.
    pub after: Option<String>,
    scope: String,
}

impl Paging {
    /// The next cursor of a page whose last sort key is `sort`.
    #[must_use]
    pub fn cursor(&self, sort: &str) -> String {
        URL_SAFE_NO_PAD.encode([&tag(&self.scope, sort.as_bytes()), sort.as_bytes()].concat())
    }
}

/// A page of items.
#[derive(Clone, Debug)]
pub struct SortedPage<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next_cursor: Option<String>,
}

/// A checksum that ties a cursor to its list and detects truncated or altered cursors. It is not a security measure.
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
