//! [`SqlSearch`]: the `Search` port over SQL. SQLite and D1 share every statement.
//!
//! **Relevance without a scan.** An FTS5 table can return its matches in descending order of the rowid and stop at the
//! limit; `bm25()` or any other order has to read all matches. So the rowid *is* the order: a [`doc`](self) id consists
//! of the generation, the rank and a slot ([`write`]). A match in a more important field counts as a level of
//! relevance: the first query searches titles, the next ones more fields *without* the matches of the level before
//! ([`plan`]). One statement reads these levels in turn, each only as far as the page needs. So a page costs the same
//! in a small market and in a large one, with one exception: words that are each frequent but rarely occur together,
//! where SQLite walks all matches of one word to find the other.
//!
//! Every other order reads all matches, so its cost grows with them; facets read 10,000 at most.
//!
//! **User input is never FTS5 syntax.** The full-text expression consists of quoted tokens ([`token`]), which are
//! letters and digits from [`words`](souk_core::search::words).
//!
//! **Generations** share the tables; every key contains the generation's number. A row of `state` names the live
//! generation. Every statement reads it itself, so a rebuild goes live with one `UPDATE` ([`rebuild`]). Generation 0
//! exists from the start, so that changes are indexed before the first rebuild. Rowids hold nine bits of the
//! generation's number.
//!
//! **Tenants** have indexes of their own in the same tables ([`tenant`]). The rest of this module is written as if there
//! were one index.
//!
//! **Atomicity.** See [`write`] and [`rebuild`]. The table `guard` rolls back a batch whose generation is no longer
//! being built.

mod facets;
mod news;
mod page;
mod place;
mod plan;
mod rebuild;
mod suggest;
mod tenant;
mod text;
mod token;
mod typo;
mod vocabulary;
mod write;

/// The meaning of queries and the tokens of products, for indexes in other engines that must return the same results.
pub mod meaning {
    pub use super::facets::{PRICE, STEPS, range};
    pub use super::page::digest;
    pub use super::plan::{Clauses, Plan, asked};
    pub use super::suggest::{
        Completion, KINDS, MAX_TYPED, TOLD, TYPO, best, corrected, endings, title, title_words, whole,
    };
    pub use super::text::{Part, cut, parts};
    pub use super::token::{EVERY, Indexed, completion, facet, key};
    pub use super::typo::{begins_almost, distance};
    pub use super::vocabulary::{Asked, Candidate, MAX_CORRECTIONS, Meaning, may_begin, most_begun, nearest, stems};
}

use std::sync::Arc;

use async_trait::async_trait;
use souk_core::search::{IndexChange, IndexState, Listing, Search, SearchError, SearchPage, SearchQuery, Suggestion};
use souk_core::{Clock, Tenant};

use self::tenant::Owner;
use self::vocabulary::Vocabulary;
use crate::{SqlDriver, SqlError, Statement, Value};

/// The migrations of the index's own database, in order: (name, SQL).
pub const SEARCH_MIGRATIONS: &[(&str, &str)] = &[
    (
        "0001_search.sql",
        include_str!("../../migrations-search/0001_search.sql"),
    ),
    (
        "0002_ranges.sql",
        include_str!("../../migrations-search/0002_ranges.sql"),
    ),
    (
        "0003_suggestions.sql",
        include_str!("../../migrations-search/0003_suggestions.sql"),
    ),
    (
        "0004_tenants.sql",
        include_str!("../../migrations-search/0004_tenants.sql"),
    ),
];

/// The largest integer that D1 keeps exact: JavaScript's largest safe integer.
const LARGEST: i64 = (1 << 53) - 1;
/// The bits of a rowid that tell products of the same second apart.
const SLOT_BITS: u32 = 12;
/// The bits of a rowid below the generation: the place of a product within its generation.
const PLACE_BITS: u32 = 44;

/// A search index in an SQL database of its own.
pub struct SqlSearch<D> {
    driver: Arc<D>,
    clock: Arc<dyn Clock>,
    vocabulary: Arc<Vocabulary>,
    owner: Owner,
}

impl<D: SqlDriver> SqlSearch<D> {
    /// The main market's index behind `driver`, to whose database all [`SEARCH_MIGRATIONS`] were applied.
    pub fn new(driver: D, clock: Arc<dyn Clock>) -> Self {
        Self {
            driver: Arc::new(driver),
            clock,
            vocabulary: Arc::default(),
            owner: Owner::new(&Tenant::main()),
        }
    }
}

#[async_trait]
impl<D: SqlDriver + 'static> Search for SqlSearch<D> {
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError> {
        self.find(query).await
    }

    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError> {
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
        let sql = "SELECT live, coalesce(building, -1), products, format FROM state JOIN generation ON number = live";
        let rows = self.read(Statement::new(sql, Vec::new())).await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(IndexState::default());
        };
        let mut row = row.into_iter();
        let mut number = || integer(&mut row).map(|number| u64::try_from(number).ok());
        let mut state = IndexState {
            live: number()?.unwrap_or(0),
            building: number()?,
            listings: number()?.unwrap_or(0),
            format: number()?.and_then(|format| u32::try_from(format).ok()).unwrap_or(0),
        };
        // No rebuild has made a tenant's first generation.
        if state.format == 0 && !self.owner.tenant.is_main() {
            state.live = 0;
        }
        Ok(state)
    }

    fn of(&self, tenant: &Tenant) -> Arc<dyn Search> {
        let is_same = *tenant == self.owner.tenant;
        Arc::new(Self {
            driver: self.driver.clone(),
            clock: self.clock.clone(),
            vocabulary: if is_same {
                self.vocabulary.clone()
            } else {
                Arc::default()
            },
            owner: Owner::new(tenant),
        })
    }

    async fn erase(&self) -> Result<(), SearchError> {
        self.erase_all().await
    }
}

fn failed(error: SqlError) -> SearchError {
    match error {
        SqlError::TooMany => SearchError::Busy,
        SqlError::Failed(why) => SearchError::Unavailable(why),
        SqlError::Guard(step) => SearchError::Unavailable(format!("step {step} failed")),
    }
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
