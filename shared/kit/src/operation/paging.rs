//! Pagination with a limit and opaque cursors, in both directions.
//!
//! A cursor holds the sort key that its page starts from, the direction, and the total, which the first page has counted:
//! later pages show it without counting again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use souk_core::documents::{MAX_COUNT, MAX_KEY, Source};
use souk_core::{Fault, Page, Query};

use super::Failure;

/// How many items are counted at most.
const MAX_TOTAL: usize = MAX_COUNT - 1;

/// The page that a client requests.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The maximum number of items, from 1 to 100.
    pub limit: usize,
    /// The `next_cursor` or `prev_cursor` of another page.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// Decodes the cursor. `scope` identifies the list by its filters and order: a cursor of another list is refused.
    pub fn of_list(&self, scope: &str) -> Result<Paging, Failure> {
        let cursor = self.cursor.as_ref().map(|cursor| {
            decode(cursor, scope).ok_or_else(|| {
                Failure::bad_parameter(
                    "cursor",
                    Fault::invalid("is not one that this list gave: begin again without it"),
                )
            })
        });
        let cursor = cursor.transpose()?;
        let is_first = cursor.is_none();
        let Cursor { backwards, total, sort } = cursor.unwrap_or_default();
        Ok(Paging {
            limit: self.limit,
            after: Some(sort).filter(|sort| !sort.is_empty()),
            backwards,
            is_first,
            total,
            scope: scope.to_owned(),
        })
    }
}

/// The number of items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The number; at least so many if it is not exact.
    pub count: usize,
    /// Whether all were counted.
    pub is_exact: bool,
}

impl Total {
    /// All of the items.
    #[must_use]
    pub fn exact(count: usize) -> Self {
        Self { count, is_exact: true }
    }

    /// At least so many items.
    #[must_use]
    pub fn at_least(count: usize) -> Self {
        Self { count, is_exact: false }
    }

    /// The same number, of which it is not known whether there are more.
    #[must_use]
    pub fn or_more(self) -> Self {
        Self::at_least(self.count)
    }

    /// Whether there may be more items, and fewer were counted than may be.
    #[must_use]
    pub fn is_part(self) -> bool {
        !self.is_exact && self.count < MAX_TOTAL
    }

    /// What was counted, up to `MAX_TOTAL` and one more, which tells that there are more.
    #[must_use]
    pub fn counted(count: usize) -> Self {
        Self {
            count: count.min(MAX_TOTAL),
            is_exact: count <= MAX_TOTAL,
        }
    }
}

/// A page of the list with this scope.
#[derive(Clone, Debug)]
pub struct Paging {
    /// The maximum number of items, from 1 to 100.
    pub limit: usize,
    /// The sort key after which the page starts, in the direction of reading.
    pub after: Option<String>,
    /// Whether the list is read backwards: the page ends before `after`.
    pub backwards: bool,
    /// Whether this is the first page, requested without a cursor: the one that counts.
    pub is_first: bool,
    /// The total that the first page has counted.
    pub total: Option<Total>,
    scope: String,
}

impl Paging {
    /// The next cursor of a page whose last sort key is `sort`.
    #[must_use]
    pub fn cursor(&self, sort: &str) -> String {
        self.encode(false, sort)
    }

    /// The query for this page.
    #[must_use]
    pub fn query(&self, query: Query) -> Query {
        let is_countable = self.is_first && matches!(query.source, Source::Index(_));
        Query {
            limit: self.limit,
            after: self.after.clone(),
            descending: query.descending != self.backwards,
            count: if is_countable { MAX_COUNT } else { 0 },
            ..query
        }
    }

    /// The page of these items with their sort keys, in the order in which they were read. `next` is where reading would
    /// go on.
    #[must_use]
    pub fn page<T>(mut self, mut items: Vec<(String, T)>, next: Option<String>, total: Option<Total>) -> SortedPage<T> {
        self.total = self.total.or(total);
        if self.is_first && next.is_none() {
            self.total = Some(Total::exact(items.len()));
        }
        // Without items and without more, the page is at an end of the list: an empty sort key begins at that end.
        let first = items.first().map(|(sort, _)| sort).or(next.as_ref());
        let first = first.map_or("", String::as_str);
        let back = self.after.is_some().then(|| self.encode(!self.backwards, first));
        let on = next.map(|sort| self.encode(self.backwards, &sort));
        let (next_cursor, prev_cursor) = if self.backwards { (back, on) } else { (on, back) };
        if self.backwards {
            items.reverse();
        }
        SortedPage {
            items: items.into_iter().map(|(_, item)| item).collect(),
            next_cursor,
            prev_cursor,
            total: self.total,
        }
    }

    /// The page of a list that is only read forwards and not counted.
    #[must_use]
    pub fn forward<T>(&self, items: Vec<T>, next_cursor: Option<String>) -> SortedPage<T> {
        let is_whole = self.is_first && next_cursor.is_none();
        SortedPage {
            total: is_whole.then(|| Total::exact(items.len())),
            items,
            next_cursor,
            prev_cursor: None,
        }
    }

    fn encode(&self, backwards: bool, sort: &str) -> String {
        let direction = if backwards { '<' } else { '>' };
        let total = match self.total {
            None => String::new(),
            Some(Total { count, is_exact: true }) => count.to_string(),
            Some(Total { count, is_exact: false }) => format!("{count}+"),
        };
        let text = format!("{direction}{total}/{sort}");
        URL_SAFE_NO_PAD.encode([&tag(&self.scope, text.as_bytes()), text.as_bytes()].concat())
    }
}

/// A page of items.
#[derive(Clone, Debug)]
pub struct SortedPage<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next_cursor: Option<String>,
    /// The cursor of the page before; `None` on the first page, and in lists that are only read forwards.
    pub prev_cursor: Option<String>,
    /// The number of items of the list; `None` if it is not counted.
    pub total: Option<Total>,
}

impl<T> SortedPage<T> {
    /// All items of a list.
    #[must_use]
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            total: Some(Total::exact(items.len())),
            items,
            next_cursor: None,
            prev_cursor: None,
        }
    }

    /// The page with what `map` makes of its items.
    pub fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<SortedPage<U>, E> {
        Ok(SortedPage {
            items: self.items.into_iter().map(map).collect::<Result<_, _>>()?,
            next_cursor: self.next_cursor,
            prev_cursor: self.prev_cursor,
            total: self.total,
        })
    }
}

/// The total of a page of an index.
#[must_use]
pub fn total_of(page: &Page) -> Option<Total> {
    page.total.map(Total::counted)
}

/// What a cursor holds. An empty sort key stands for the end at which reading begins.
#[derive(Default)]
struct Cursor {
    backwards: bool,
    total: Option<Total>,
    sort: String,
}

/// A checksum that ties a cursor to its list and detects truncated or altered cursors. It is not a security measure.
fn tag(scope: &str, text: &[u8]) -> [u8; 8] {
    xxhash_rust::xxh3::xxh3_64_with_seed(text, xxhash_rust::xxh3::xxh3_64(scope.as_bytes())).to_be_bytes()
}

fn decode(cursor: &str, scope: &str) -> Option<Cursor> {
    // The longest sort key, and what is before it.
    let is_short = |bytes: &Vec<u8>| bytes.len() <= MAX_KEY + 32;
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().filter(is_short)?;
    let (sent, text) = bytes.split_at_checked(8)?;
    if sent != tag(scope, text) {
        return None;
    }
    let (head, sort) = std::str::from_utf8(text).ok()?.split_once('/')?;
    let (backwards, total) = match head.strip_prefix('<') {
        Some(total) => (true, total),
        None => (false, head.strip_prefix('>')?),
    };
    let total = match (total, total.strip_suffix('+')) {
        ("", _) => None,
        (_, Some(count)) => Some(Total::at_least(count.parse().ok()?)),
        (count, None) => Some(Total::exact(count.parse().ok()?)),
    };
    Some(Cursor {
        backwards,
        total,
        sort: sort.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a list of numbers forwards and back, and compares with its slices.
    #[test]
    fn pages_are_the_same_in_both_directions() {
        let all: Vec<String> = (0..10).map(|n| format!("{n}/x")).collect();
        let read = |cursor: Option<String>| {
            let paging = PageRequest { limit: 3, cursor }.of_list("numbers").unwrap();
            let mut order: Vec<&String> = all.iter().collect();
            if paging.backwards {
                order.reverse();
            }
            let from = paging
                .after
                .as_ref()
                .map_or(0, |after| order.iter().position(|n| *n == after).unwrap() + 1);
            let rest = order.get(from..).unwrap_or_default();
            let items: Vec<_> = rest.iter().take(3).map(|n| ((*n).clone(), (*n).clone())).collect();
            let next = items.last().filter(|_| rest.len() > 3).map(|(sort, _)| sort.clone());
            let total = paging.is_first.then(|| Total::counted(all.len()));
            paging.page(items, next, total)
        };
        let mut pages = vec![read(None)];
        while let Some(cursor) = pages.last().unwrap().next_cursor.clone() {
            pages.push(read(Some(cursor)));
        }
        let items: Vec<&[String]> = pages.iter().map(|page| &*page.items).collect();
        assert_eq!(items, all.chunks(3).collect::<Vec<_>>());
        assert!(pages.iter().all(|page| page.total == Some(Total::exact(10))));
        assert_eq!(pages[0].prev_cursor, None);
        for pair in pages.windows(2) {
            let back = read(pair[1].prev_cursor.clone());
            assert_eq!(
                (&back.items, back.prev_cursor.is_some()),
                (&pair[0].items, pair[0].prev_cursor.is_some())
            );
            assert_eq!(read(back.next_cursor).items, pair[1].items);
        }
        let other = PageRequest {
            limit: 3,
            cursor: pages[0].next_cursor.clone(),
        };
        assert!(other.of_list("letters").is_err());
    }

    /// Items that were deleted meanwhile do not end a list: from an empty page one gets back to all others.
    #[test]
    fn an_empty_page_leads_back() {
        let request = |cursor| PageRequest { limit: 1, cursor };
        let first = request(None).of_list("list").unwrap();
        let cursor = first
            .page(vec![("a".to_owned(), 1)], Some("a".to_owned()), None)
            .next_cursor;
        let first_cursor = cursor.clone();
        let empty = request(cursor)
            .of_list("list")
            .unwrap()
            .page(Vec::<(String, i32)>::new(), None, None);
        let back = request(empty.prev_cursor).of_list("list").unwrap();
        assert_eq!((back.backwards, back.after, back.is_first), (true, None, false));
        // A filter may leave nothing of a page in the middle: from there one gets to the pages beside it.
        let middle = request(first_cursor).of_list("list").unwrap();
        let middle = middle.page(Vec::<(String, i32)>::new(), Some("m".to_owned()), None);
        let back = request(middle.prev_cursor).of_list("list").unwrap();
        assert_eq!((back.backwards, back.after.as_deref()), (true, Some("m")));
        let on = request(middle.next_cursor).of_list("list").unwrap();
        assert_eq!((on.backwards, on.after.as_deref()), (false, Some("m")));
    }
}
