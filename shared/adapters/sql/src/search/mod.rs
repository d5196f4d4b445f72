//! [`SqlSearch`]: the `Search` port over SQL. SQLite and D1 share every statement.
//!
//! **Relevance without a scan.** A full-text table reads its matches by row number, from the top, and stops when it has
//! enough; `bm25()` or any other order would look at all of them. So the row number *is* the order: [`doc`](self) ids are
//! made of the generation, the rank and a slot ([`write`]). "In a weightier field" is a level of its own: the query for
//! titles first, then for more fields *without* what the level before had ([`plan`]). A page is one statement over these
//! levels, each read as far as the page needs it, so it costs the same in a small market and in a large one. Words that are
//! frequent each and hardly ever together are the exception: then one is walked to find the other.
//!
//! Every other order, and every facet, looks at all that match: that grows with them.
//!
//! **What is typed never is syntax.** The full-text expression is made of tokens ([`token`]), which are letters and digits
//! out of [`words`](souk_core::search::words), between quotes.
//!
//! **Generations** live in the same tables, told apart by the number in every key. Which one answers is a row of `state`,
//! that every statement reads by itself: a rebuild swaps by one `UPDATE` ([`rebuild`]). Generation 0 is there from the
//! start, so that changes are indexed before the first rebuild; row numbers hold nine bits of the generation's number.
//!
//! **Atomicity.** See [`write`] and [`rebuild`]. The table `guard` undoes a batch whose generation is not the one being
//! built.

mod facets;
mod news;
mod page;
mod place;
mod plan;
mod rebuild;
mod suggest;
mod text;
mod token;
mod typo;
mod vocabulary;
mod write;

/// What a query and a product are in words and tokens, for indexes that are kept elsewhere and shall answer alike.
pub mod meaning {
    pub use super::facets::{PRICE, STEPS, range};
    pub use super::page::digest;
    pub use super::plan::{Clauses, Plan, asked};
    pub use super::suggest::{MAX_TYPED, TOLD, TYPO, corrected, whole};
    pub use super::text::{Part, cut, parts};
    pub use super::token::{EVERY, Indexed, completion, facet, key};
    pub use super::typo::{distance, distance_to_beginning};
    pub use super::vocabulary::{Asked, Candidate, MAX_BEGUN, Meaning, may_begin, nearest, stems};
}

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::Clock;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery};

use self::vocabulary::Vocabulary;
use crate::{SqlDriver, SqlError, Statement, Value};

/// The migrations of the index's own database, in order: (name, SQL).
pub const SEARCH_MIGRATIONS: &[(&str, &str)] = &[(
    "0001_search.sql",
    include_str!("../../migrations-search/0001_search.sql"),
)];

/// The largest number that D1 knows exactly, less one.
const LARGEST: i64 = (1 << 53) - 1;
/// How many bits of a row number tell products of one second apart.
const SLOT_BITS: u32 = 12;
/// How many bits of a row number are below the generation: the place of a product in it.
const PLACE_BITS: u32 = 44;

/// A search index in an SQL database of its own.
pub struct SqlSearch<D> {
    driver: D,
    clock: Arc<dyn Clock>,
    vocabulary: Vocabulary,
}

impl<D: SqlDriver> SqlSearch<D> {
    /// The index behind `driver`, whose database has had every one of [`SEARCH_MIGRATIONS`].
    pub fn new(driver: D, clock: Arc<dyn Clock>) -> Self {
        Self {
            driver,
            clock,
            vocabulary: Vocabulary::default(),
        }
    }
}

#[async_trait]
impl<D: SqlDriver> Search for SqlSearch<D> {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.find(query).await
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError> {
        self.complete(typed, limit).await
    }

    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError> {
        self.count_uses(texts).await
    }

    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        self.apply_all(changes).await
    }

    async fn begin(&self) -> Result<u64, SearchError> {
        self.begin_generation().await
    }

    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        self.fill_all(generation, listings).await
    }

    async fn finish(&self, generation: u64) -> Result<(), SearchError> {
        self.finish_generation(generation).await
    }

    async fn state(&self) -> Result<IndexState, SearchError> {
        let sql = "SELECT live, coalesce(building, -1), products FROM state JOIN generation ON number = live";
        let rows = self
            .driver
            .read(Statement::new(sql, Vec::new()))
            .await
            .map_err(failed)?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut number = || integer(&mut row).map(|number| u64::try_from(number).ok());
        Ok(IndexState {
            live: number()?.unwrap_or(0),
            building: number()?,
            listings: number()?.unwrap_or(0),
        })
    }
}

fn failed(error: SqlError) -> SearchError {
    SearchError::Unavailable(match error {
        SqlError::Failed(why) => why,
        SqlError::Guard(step) => format!("step {step} failed"),
    })
}

fn integer(row: &mut impl Iterator<Item = Value>) -> Result<i64, SearchError> {
    match row.next() {
        Some(Value::Integer(number)) => Ok(number),
        other => Err(SearchError::Unavailable(format!("expected an integer, read {other:?}"))),
    }
}

fn string(row: &mut impl Iterator<Item = Value>) -> Result<String, SearchError> {
    match row.next() {
        Some(Value::Text(text)) => Ok(text),
        other => Err(SearchError::Unavailable(format!("expected text, read {other:?}"))),
    }
}
