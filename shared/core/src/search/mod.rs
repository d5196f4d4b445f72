//! The `Search` port: an index of what everyone may see, that can always be rebuilt from the documents.
//!
//! **Consistency.** The index follows the documents within seconds. What it answers was true a moment ago: a hit carries
//! the listing as it was when it was indexed. [`apply`](Search::apply) never goes back: a change of an older version than
//! the index has, or has seen removed, changes nothing. So changes may come late, twice and in any order.
//!
//! **Rebuilding.** [`begin`](Search::begin) makes a new generation beside the one that answers, [`fill`](Search::fill)
//! puts listings into it, [`finish`](Search::finish) lets it answer from then on, all at once. Meanwhile `apply` changes
//! both, so nothing that changes during a rebuild is missed, and nothing removed comes back by a late `fill`.
//!
//! **What matches.** Every word of the query, or something that stands for it: a word of which it is the beginning (the
//! last word only), a synonym, or, if no listing has the word or none has all of them, words one edit away (two from eight
//! letters on). A last word of one letter may be the beginning of anything, and demands nothing. Between quotes: these words
//! in this order. Filters of one field widen each other, fields narrow each other.
//!
//! **Order.** By [`Sort::Relevance`]: listings that have the words in their weightier fields first, and where that is
//! equal by [`Listing::rank`], highest first. This order can be read from the index from the top, so a page costs the same
//! in a small market and a large one. Every other order, distances, prices and facets look at all that match.
//!
//! All of this is what `tests/src/search` checks of every adapter.

mod text;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use text::{MAX_WORD, Word, words};

/// How long the text of a query may be, in bytes.
pub const MAX_QUERY: usize = 200;
/// How many words of a query are looked at.
pub const MAX_WORDS: usize = 10;
/// How many values a facet lists at most, the most frequent first.
pub const MAX_VALUES: usize = 50;
/// How many changes one `apply` or `fill` takes.
pub const MAX_CHANGES: usize = 100;

/// Where a word can stand, in the order of the weights that are used unless an admin has set others.
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
    /// All of them.
    pub const ALL: [Field; 6] = [
        Field::Title,
        Field::Tags,
        Field::Group,
        Field::Owner,
        Field::Attributes,
        Field::Description,
    ];

    /// The weight that it has unless an admin has set another.
    #[must_use]
    pub fn weight(self) -> u32 {
        match self {
            Field::Title => 10,
            Field::Tags | Field::Group | Field::Owner | Field::Attributes => 5,
            Field::Description => 1,
        }
    }
}

/// A document as it is indexed. Only what everyone may see is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The id of the document.
    pub id: String,
    /// The version of the document.
    pub version: u64,
    /// What a hit answers: a JSON object, as text.
    pub body: String,
    /// Its place among listings that match equally well, highest first: seconds since 1970, such as when it was published
    /// and some more for its votes.
    pub rank: i64,
    /// Its texts: each field any number of times.
    pub texts: Vec<(Field, String)>,
    /// What it can be filtered and counted by.
    pub facets: Vec<Facet>,
    /// Its price, in minor units.
    pub price: i64,
    /// When it was published, in milliseconds since 1970.
    pub published_at: i64,
    /// Its votes.
    pub votes: i64,
    /// Where it is: degrees north and east.
    pub place: Option<(f64, f64)>,
}

/// A value that a listing can be filtered and counted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facet {
    /// The name of the field, as filters say it.
    pub field: String,
    /// As filters say it: an id, a tag, a value.
    pub value: String,
    /// As people read it.
    pub label: String,
}

/// One step of `apply`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IndexChange {
    /// The document is as this says.
    Put(Box<Listing>),
    /// The document is gone, or not for everyone any more, as of this version.
    Remove {
        /// The id of the document.
        id: String,
        /// The version of the document; the last one for a document that was deleted.
        version: u64,
    },
}

/// What a query is answered by, besides its own words. An admin sets it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The fields' weights; a field that is not here has [its own](Field::weight). Zero: the field is not searched.
    pub weights: Vec<(Field, u32)>,
    /// Groups of single words that stand for each other.
    pub synonyms: Vec<Vec<String>>,
}

/// Which order hits come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Best first.
    #[default]
    Relevance,
    /// Last published first.
    Newest,
    /// Cheapest first.
    Cheapest,
    /// Dearest first.
    Dearest,
    /// Most voted for first.
    Popular,
    /// Nearest to `near` first; those that are nowhere do not match. Without `near` as by relevance.
    Nearest,
}

/// A circle on Earth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres, along the ground.
    pub radius: f64,
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchQuery {
    /// What was typed; without any words, everything matches.
    pub text: String,
    /// Fields with the values that may be, any of each.
    pub filters: Vec<(String, Vec<String>)>,
    /// Not cheaper.
    pub min_price: Option<i64>,
    /// Not dearer.
    pub max_price: Option<i64>,
    /// Only what is in this circle.
    pub near: Option<Near>,
    /// The order.
    pub sort: Sort,
    /// How many hits at most, 1 to 100.
    pub limit: usize,
    /// The `next` of the page before, for a query that is otherwise the same.
    pub after: Option<String>,
    /// The fields to count the values of.
    pub facets: Vec<String>,
    /// How the market is tuned.
    pub tuning: Tuning,
}

/// A page of hits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchPage {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Where the next page begins, if there may be more.
    pub next: Option<String>,
    /// The fields that were asked for, in that order. A field's own filter does not narrow its counts; all else does.
    pub facets: Vec<FacetCounts>,
    /// What the words of the query were taken for, as [`words`] makes them: what to highlight.
    pub terms: Vec<String>,
}

/// A listing that matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The id of the document.
    pub id: String,
    /// The version that was indexed.
    pub version: u64,
    /// What was indexed: a JSON object, as text.
    pub body: String,
}

impl SearchQuery {
    /// The fields to count, each once, with nothing counted yet.
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

/// The values of a field, the most frequent first, then by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCounts {
    /// The field.
    pub field: String,
    /// Each value with the number of listings that match and have it.
    pub values: Vec<(Facet, u64)>,
}

/// How the index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexState {
    /// The generation that answers; 0 before the first rebuild has finished.
    pub live: u64,
    /// The generation that is being built.
    pub building: Option<u64>,
    /// The number of listings in the generation that answers.
    pub listings: u64,
}

/// Why the index did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SearchError {
    /// Out of reach, throttled, or not there at all.
    #[error("the search index is unavailable: {0}")]
    Unavailable(String),
    /// `after` is none of this query's.
    #[error("the place in the list is not one of this query's")]
    BadPlace,
    /// This generation is no longer being built: another rebuild has begun since, or this one has finished.
    #[error("the rebuild was superseded")]
    Superseded,
}

/// The port.
#[async_trait]
pub trait Search: Send + Sync {
    /// Finds listings. Any text is a query: what cannot be read as one is taken as words.
    async fn search(&self, query: &SearchQuery) -> Result<SearchPage, SearchError>;

    /// Completes what was typed, the most used first; misspelt words too. Titles, tags, names of groups and owners, and
    /// what was searched for with success, as people write them.
    async fn suggest(&self, typed: &str, limit: usize) -> Result<Vec<String>, SearchError>;

    /// Notes that something was searched for, with success, so many times more.
    async fn used(&self, texts: &[(String, u32)]) -> Result<(), SearchError>;

    /// Brings the index up to date, at most [`MAX_CHANGES`] at a time.
    async fn apply(&self, changes: &[IndexChange]) -> Result<(), SearchError>;

    /// Begins a rebuild; one that was under way ends without effect. Returns the new generation.
    async fn begin(&self) -> Result<u64, SearchError>;

    /// Puts listings into the generation that is being built.
    async fn fill(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError>;

    /// Lets the generation that was built answer, and removes the one before.
    async fn finish(&self, generation: u64) -> Result<(), SearchError>;

    /// How the index is.
    async fn state(&self) -> Result<IndexState, SearchError>;

    /// Whether there is to be an index at all; where not, nothing is amiss if it does not answer.
    fn is_needed(&self) -> bool {
        true
    }
}

/// No index: either none is wanted, by functions that have no business with search; or there should be one, and this is
/// why there is not.
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
    async fn suggest(&self, _: &str, _: usize) -> Result<Vec<String>, SearchError> {
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
    fn is_needed(&self) -> bool {
        self.0.is_some()
    }
}
