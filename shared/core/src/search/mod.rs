//! The `Search` port: an index of public documents, which can always be rebuilt from the documents.
//!
//! **Consistency.** The index is eventually consistent: it follows the documents within seconds, and a hit carries the
//! listing as it was indexed. [`apply`](Search::apply) never goes backwards: a change with an older version than the
//! indexed one, or than a removal that the index has seen, has no effect. So changes may arrive late, repeatedly and in
//! any order.
//!
//! **Rebuilding.** [`begin`](Search::begin) creates a new generation beside the live one, [`fill`](Search::fill) adds
//! listings to it, and [`finish`](Search::finish) makes it live atomically. Meanwhile `apply` changes both generations,
//! so a rebuild misses no change, and a late `fill` does not bring back a removed listing.
//!
//! **Matching.** A listing matches if it has every word of the query ([`asked_words`]), among its [`words`] or [`other_words`], or something that stands for the word: a word
//! that it begins (the last word only) or a synonym; or, if no listing has the word or none has all the words, a word
//! one edit away (two edits for words of eight letters or more). A last word of one letter may begin any word, so it
//! requires nothing. Words between quotes must occur in this order, adjacent. Several values of one filter field widen
//! the result; filters of different fields narrow it.
//!
//! **Order.** [`Sort::Relevance`] sorts listings with the words in fields of greater weight first, and ties by
//! descending [`Listing::rank`]. The index can be read in this order, so a page costs the same in a small market and a
//! large one. Every other order, distances, prices and facets read all matches.
//!
//! **Suggestions.** A listing's title, the [suggestions](Listing::suggestions) of listings and queries that were
//! [used](Search::used) often enough are suggested if a word in them, and those after it, begin with what was typed; a
//! title also if it has the words in another order. At most [`MAX_OF_A_KIND`] of a kind are suggested, each text once
//! unless it names several things. First come those that were searched for more often, then those that begin with what
//! was typed before those that have it later, then kinds in the order of [`SuggestionKind`], then titles by descending
//! rank and the others by the number of listings that have them. If nothing begins so, misspelt words are corrected. A
//! query of which listings lack a word is not suggested.
//!
//! **Tenants.** [`of`](Search::of) is the index of a tenant, which shares nothing with those of others: no hit, count, suggestion
//! or corrected word. It is empty until something is indexed, and costs nothing until then.
//!
//! `tests/src/search` checks all of this for every adapter.

pub(crate) mod text;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use text::{MAX_WORD, Word, asked_words, is_unspaced, other_words, words};

use crate::Tenant;

/// The longest query text, in bytes.
pub const MAX_QUERY: usize = 200;
/// How many ranges a query has at most.
pub const MAX_RANGES: usize = 10;
/// How many words of a query are used.
pub const MAX_WORDS: usize = 10;
/// How many values of a facet are returned at most, the most frequent first.
pub const MAX_VALUES: usize = 50;
/// How many matches facets count at most; an index may count more.
pub const MAX_COUNTED: usize = 10_000;
/// How many changes or listings one `apply` or `fill` accepts.
pub const MAX_CHANGES: usize = 100;
/// How many suggestions of a kind there are at most.
pub const MAX_OF_A_KIND: usize = 4;
/// The version of what is indexed. Raise it with every change of [`Listing`] or of what a listing is made of: indexes of
/// an earlier version are rebuilt.
pub const FORMAT: u32 = 3;

/// Where a word can stand, in the order of the weights that are used unless others are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// The title.
    Title,
    /// A tag.
    Tags,
    /// The name of the group that the listing belongs to.
    Group,
    /// The name of the owner of the listing.
    Owner,
    /// A value of an attribute.
    Attributes,
    /// The description.
    Description,
}

impl Field {
    /// All fields.
    pub const ALL: [Field; 6] = [
        Field::Title,
        Field::Tags,
        Field::Group,
        Field::Owner,
        Field::Attributes,
        Field::Description,
    ];

    /// The default weight of the field.
    #[must_use]
    pub fn weight(self) -> u32 {
        match self {
            Field::Title => 10,
            Field::Tags | Field::Group | Field::Owner | Field::Attributes => 5,
            Field::Description => 1,
        }
    }
}

/// A document as it is indexed. Only public data is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The id of the document.
    pub id: String,
    /// The version of the document.
    pub version: u64,
    /// The body of its hits: a JSON object, as text.
    pub body: String,
    /// Sorts listings that match equally well, highest first. In seconds since 1970: for example the time of
    /// publication, increased by the votes.
    pub rank: i64,
    /// Its texts. Each field may occur any number of times.
    pub texts: Vec<(Field, String)>,
    /// The values that it can be filtered and counted by.
    pub facets: Vec<Facet>,
    /// What can be suggested as long as a listing has it, beside its title.
    #[serde(default)]
    pub suggestions: Vec<Suggestion>,
    /// Its lowest price, in minor units.
    pub price: i64,
    /// The other prices that it is sold at.
    #[serde(default)]
    pub other_prices: Vec<i64>,
    /// When it was published, in milliseconds since 1970.
    pub published_at: i64,
    /// Its votes.
    pub votes: i64,
    /// The location, in degrees north and east.
    pub place: Option<(f64, f64)>,
}

/// A value that a listing can be filtered and counted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facet {
    /// The name of the field, as in filters.
    pub field: String,
    /// The value, as in filters: an id, a tag, an attribute's value.
    pub value: String,
    /// The value as it is displayed.
    pub label: String,
}

/// Something that completes what was typed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suggestion {
    /// What it leads to.
    pub kind: SuggestionKind,
    /// The title, name or query as people write it.
    pub text: String,
    /// The id of the listing, group or owner; `None` for a query.
    pub id: Option<String>,
}

/// What a suggestion leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuggestionKind {
    /// A group of listings.
    Group,
    /// The owner of listings.
    Owner,
    /// A text to search for: a tag or a successful query.
    Query,
    /// A listing.
    Listing,
}

/// One step of `apply`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IndexChange {
    /// Indexes this version of the document.
    Put(Box<Listing>),
    /// Removes the document: at this version it was deleted, or is no longer public.
    Remove {
        /// The id of the document.
        id: String,
        /// The version of the document. For a deleted document, the last one.
        version: u64,
    },
}

/// Settings that change the results of queries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The weights of fields. A field that is not listed has its [default](Field::weight). Zero excludes the field from
    /// searches.
    pub weights: Vec<(Field, u32)>,
    /// Groups of single words that are synonyms.
    pub synonyms: Vec<Vec<String>>,
}

/// The order of hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Most relevant first.
    #[default]
    Relevance,
    /// Most recently published first.
    Newest,
    /// Least recently published first.
    Oldest,
    /// Lowest price first.
    Cheapest,
    /// Highest price first.
    Dearest,
    /// Most votes first.
    Popular,
    /// Nearest to `near` first; listings without a place do not match. Without `near`, the same as `Relevance`.
    Nearest,
}

/// A circle on Earth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// The radius in metres, along the ground.
    pub radius: f64,
}

/// A filter of listings that have a value of a field which is a number from `min` to `max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The field of the facets.
    pub field: String,
    /// The lowest number that matches.
    pub min: Option<f64>,
    /// The highest number that matches.
    pub max: Option<f64>,
}

/// A search query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchQuery {
    /// The text that the user typed. Without any words, everything matches.
    pub text: String,
    /// Filters: fields with their accepted values.
    pub filters: Vec<(String, Vec<String>)>,
    /// Filters by numbers, at most [`MAX_RANGES`].
    #[serde(default)]
    pub ranges: Vec<Range>,
    /// The lowest price that matches: one price of the listing must be within both bounds.
    pub min_price: Option<i64>,
    /// The highest price that matches.
    pub max_price: Option<i64>,
    /// Only listings in this circle match.
    pub near: Option<Near>,
    /// The order of the hits.
    pub sort: Sort,
    /// The maximum number of hits, 1 to 100.
    pub limit: usize,
    /// The `next` of the previous page, or the `prev` of the next one. The rest of the query must be the same.
    pub after: Option<String>,
    /// Counts the matches, at most so many, if there is no `after`; 0 does not count.
    #[serde(default)]
    pub count: usize,
    /// The fields whose values are counted.
    pub facets: Vec<String>,
    /// The market's tuning.
    pub tuning: Tuning,
}

/// A page of hits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchPage {
    /// The hits, in the requested order.
    pub hits: Vec<Hit>,
    /// The cursor of the next page, if there may be one.
    pub next: Option<String>,
    /// The cursor of the page before, if there may be one. Its page has hits of the same order, and its `next` leads back.
    #[serde(default)]
    pub prev: Option<String>,
    /// How many listings match, at most [`SearchQuery::count`]; `None` if the query does not count.
    #[serde(default)]
    pub total: Option<usize>,
    /// The counts of the requested fields, in that order. A field's own filter does not narrow its counts; all other
    /// filters do.
    pub facets: Vec<FacetCounts>,
    /// Whether more listings match than were counted.
    pub is_approximate: bool,
    /// The words that the query was matched by, in the form that [`words`] returns: the words to highlight.
    pub terms: Vec<String>,
}

/// A listing that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The id of the document.
    pub id: String,
    /// The version that was indexed.
    pub version: u64,
    /// The indexed body: a JSON object, as text.
    pub body: String,
}

impl Facet {
    /// The value as a number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        as_number(&self.value)
    }
}

/// The number that a value is, if it is one.
#[must_use]
pub fn as_number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|number: &f64| number.is_finite())
}

impl SearchQuery {
    /// Whether filters narrow the result, beside the words.
    #[must_use]
    pub fn is_narrowed(&self) -> bool {
        !(self.filters.is_empty() && self.ranges.is_empty())
            || self.near.is_some()
            || self.min_price.or(self.max_price).is_some()
    }

    /// Empty counts for the requested facets, each field once.
    #[must_use]
    pub fn no_counts(&self) -> Vec<FacetCounts> {
        let mut counts: Vec<FacetCounts> = Vec::new();
        for field in &self.facets {
            if counts.iter().all(|counts| counts.field != *field) {
                counts.push(FacetCounts {
                    field: field.clone(),
                    values: Vec::new(),
                });
            }
        }
        counts
    }
}

/// The counts of a field's values, the most frequent first, ties sorted by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCounts {
    /// The field.
    pub field: String,
    /// Each value, with the number of matching listings that have it.
    pub values: Vec<(Facet, u64)>,
}

/// The state of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexState {
    /// The live generation; 0 before the first rebuild has finished.
    pub live: u64,
    /// The generation that is being built.
    pub building: Option<u64>,
    /// The number of listings in the live generation.
    pub listings: u64,
    /// The [`FORMAT`] of the program that began the live generation.
    pub format: u32,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SearchError {
    /// The index is out of reach, throttled or missing.
    #[error("the search index is unavailable: {0}")]
    Unavailable(String),
    /// Too many long reads are waiting.
    #[error("too many long reads are waiting")]
    Busy,
    /// `after` is not a cursor of this query.
    #[error("the place in the list is not one of this query's")]
    BadPlace,
    /// The generation is no longer being built: another rebuild has begun since, or this one has finished.
    #[error("the rebuild was superseded")]
    Superseded,
}

/// The search port.
#[async_trait]
pub trait Search: Send + Sync {
    /// Finds listings. Any text is a valid query: what has no special meaning is read as words.
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError>;

    /// Completes what the user typed, the best suggestions first.
    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<Suggestion>, SearchError>;

    /// Adds to the use counts of these texts, which were queries with results.
    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError>;

    /// Applies changes to the index, at most [`MAX_CHANGES`].
    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError>;

    /// Begins a rebuild and returns the new generation. A rebuild in progress is superseded.
    async fn begin(&self) -> Result<u64, SearchError>;

    /// Adds listings to the generation that is being built.
    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError>;

    /// Makes the generation that was being built live and removes the previous one.
    async fn finish(&self, generation: u64) -> Result<(), SearchError>;

    /// The state of the index.
    async fn state(&self) -> Result<IndexState, SearchError>;

    /// The index of this tenant, in the same place. The main market's is this one.
    fn of(&self, tenant: &Tenant) -> Arc<dyn Search>;

    /// Removes all that the index has, for a tenant that is erased.
    async fn erase(&self) -> Result<(), SearchError>;

    /// Whether this host should have an index. If not, its failures are not a problem.
    fn is_needed(&self) -> bool {
        true
    }
}

/// No index. `None`: this function does not need one. `Some`: it should have one, and this is why it does not.
#[derive(Clone, Debug, Default)]
pub struct NoSearch(pub Option<String>);

impl NoSearch {
    fn error(&self) -> SearchError {
        let why = self.0.as_deref().unwrap_or("this function has no search index");
        SearchError::Unavailable(why.to_owned())
    }
}

#[async_trait]
impl Search for NoSearch {
    async fn search(&self, _: &SearchQuery) -> Result<SearchPage, SearchError> {
        Err(self.error())
    }
    async fn suggest(&self, _: &str, _: usize) -> Result<Vec<Suggestion>, SearchError> {
        Err(self.error())
    }
    async fn used(&self, _: &[(String, u32)]) -> Result<(), SearchError> {
        Err(self.error())
    }
    async fn apply(&self, _: &[IndexChange]) -> Result<(), SearchError> {
        Err(self.error())
    }
    async fn begin(&self) -> Result<u64, SearchError> {
        Err(self.error())
    }
    async fn fill(&self, _: u64, _: &[Listing]) -> Result<(), SearchError> {
        Err(self.error())
    }
    async fn finish(&self, _: u64) -> Result<(), SearchError> {
        Err(self.error())
    }
    async fn state(&self) -> Result<IndexState, SearchError> {
        Err(self.error())
    }
    fn of(&self, _: &Tenant) -> Arc<dyn Search> {
        Arc::new(self.clone())
    }
    async fn erase(&self) -> Result<(), SearchError> {
        Ok(())
    }
    fn is_needed(&self) -> bool {
        self.0.is_some()
    }
}
