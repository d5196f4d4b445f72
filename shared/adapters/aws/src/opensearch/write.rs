//! Writing: `apply` and `fill`.
//!
//! **Versions.** A product is one document. Its external version is twice the product's version, plus one if the
//! product was removed. OpenSearch rejects a document older than the one that it has (`external_gte`) with a conflict,
//! which counts as success here. So a stale write loses, and a removal wins over the version that it removes. A removed
//! product stays as a document without words, because OpenSearch itself forgets a deletion after a minute. A second
//! document beside it ([`GONE`]) records the removal for the next rebuild, even if the product has come back since. A
//! rebuild no longer copies it once it is older than [`REMEMBERED`].
//!
//! **Both generations.** `apply` lists the generations before and after it writes, and also writes to one that was
//! begun meanwhile. A write to a generation that was just deleted creates an index of that name. No alias points to it,
//! and the next rebuild deletes it.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};
use souk_core::search::{IndexChange, Listing, SearchError};
use souk_sql::meaning::{Indexed, endings, facet};

use super::query::around;
use super::rebuild::definition;
use super::suggest::prefix;
use super::{Layout, OpenSearch, set};
use crate::call::{Failure, patiently};
use crate::search::unavailable;
use crate::sign::lasting;

/// The largest bulk request, in bytes. AWS's smaller instances accept 10 MB.
const MAX_BYTES: usize = 5 << 20;
/// How long a removal is remembered, in milliseconds: longer than any queue keeps a message.
pub(super) const REMEMBERED: i64 = 5 * 86_400_000;

/// The id prefix of the records of removals.
const GONE: &str = "gone:";

/// The prefix of the entries of a facet's field: letters and digits.
pub(super) fn field_key(field: &str) -> String {
    facet(field, "")
}

/// A document to write to an index: its id, external version and source.
pub(super) struct Document {
    id: String,
    version: u64,
    source: String,
}

impl Document {
    fn put(listing: &Listing) -> Self {
        let Indexed {
            tokens,
            words,
            title,
            completions,
        } = Indexed::new(listing);
        // Stems are indexed as words too, so one lookup tells whether a word is known.
        let words: BTreeSet<String> = words.into_iter().flat_map(<[String; 2]>::from).collect();
        let completions: Vec<String> = completions
            .iter()
            .flat_map(|((kind, key, id), text)| {
                endings(key).map(move |ending| format!("{}{ending}\t{key}\t{id}\t{text}", prefix(*kind)))
            })
            .collect();
        let mut seen = HashSet::new();
        let facets = listing.facets.iter().filter(|f| seen.insert((&f.field, &f.value)));
        let facets: Vec<String> = facets
            .map(|f| format!("{}{}", field_key(&f.field), json!([f.value, f.label])))
            .collect();
        let prices: Vec<i64> = std::iter::once(&listing.price)
            .chain(&listing.other_prices)
            .copied()
            .collect();
        let numbers = listing
            .facets
            .iter()
            .filter_map(|f| Some(json!({ "field": f.field, "value": f.number()? })));
        let numbers: Vec<Value> = numbers.collect();
        let place = listing
            .place
            .filter(|(north, east)| north.abs() <= 90.0 && east.is_finite());
        let source = json!({
            "product": listing.id,
            "version": listing.version,
            "body": listing.body,
            "title": title,
            "rank": listing.rank,
            "price": prices,
            "published_at": listing.published_at,
            "votes": listing.votes,
            "place": place.map(|(north, east)| json!({ "lat": north, "lon": around(east) })),
            "tokens": tokens,
            "words": words,
            "facets": facets,
            "numbers": numbers,
            "completions": completions,
        });
        Self {
            id: listing.id.clone(),
            version: listing.version.saturating_mul(2),
            source: source.to_string(),
        }
    }

    /// The documents of a removal: the removed product, and the record of the removal. `at` is in milliseconds since
    /// 1970.
    pub(super) fn gone(product: &str, version: u64, at: i64) -> [Self; 2] {
        let note = json!({ "product": product, "version": version, "gone_at": at });
        [
            Self {
                id: product.to_owned(),
                version: version.saturating_mul(2).saturating_add(1),
                source: "{}".to_owned(),
            },
            Self {
                id: format!("{GONE}{product}"),
                version,
                source: note.to_string(),
            },
        ]
    }

    /// The two lines of a bulk request that write the document.
    fn lines(&self, index: &str) -> String {
        let action = json!({ "index": {
            "_index": index,
            "_id": self.id,
            "version": self.version,
            "version_type": "external_gte",
        } });
        format!("{action}\n{}\n", self.source)
    }
}

#[derive(Deserialize)]
struct Written {
    errors: bool,
    #[serde(default)]
    items: Vec<std::collections::HashMap<String, Item>>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    #[serde(default)]
    error: Value,
}

impl OpenSearch {
    pub(super) async fn apply_all(&self, changes: &[IndexChange]) -> Result<(), SearchError> {
        let now = self.clock.now().as_millisecond();
        let documents: Vec<Document> = changes
            .iter()
            .flat_map(|change| match change {
                IndexChange::Put(listing) => vec![Document::put(listing)],
                IndexChange::Remove { id, version } => Document::gone(id, *version, now).into(),
            })
            .collect();
        if documents.is_empty() {
            return Ok(());
        }
        let mut written: Vec<u64> = Vec::new();
        loop {
            let mut layout = self.layout().await?;
            if layout.live.is_none() && !layout.all.contains(&0) {
                self.make_first().await?;
                layout = self.layout().await?;
            }
            let mut missing: Vec<u64> = layout.live.into_iter().chain(layout.building).collect();
            missing.retain(|generation| !written.contains(generation));
            if missing.is_empty() {
                return match written.is_empty() {
                    true => Err(SearchError::Unavailable("there is no index".into())),
                    false => Ok(()),
                };
            }
            let indexes: Vec<String> = missing.iter().map(|generation| self.index(*generation)).collect();
            self.write(&indexes, &documents, "wait_for").await?;
            written.extend(missing);
        }
    }

    pub(super) async fn fill_generation(&self, generation: u64, listings: &[Listing]) -> Result<(), SearchError> {
        let Layout { building, .. } = self.layout().await?;
        if building != Some(generation) {
            return Err(SearchError::Superseded);
        }
        let documents: Vec<Document> = listings.iter().map(Document::put).collect();
        self.write(&[self.index(generation)], &documents, "false").await
    }

    /// Creates generation 0, so that changes are indexed before the first rebuild.
    async fn make_first(&self) -> Result<(), SearchError> {
        let mut body = definition();
        set(&mut body, "aliases", json!({ &self.name: {} }));
        let answer = self.call("PUT", &self.index(0), body.to_string().as_bytes()).await;
        let answer = answer.map_err(unavailable)?;
        // Another process may have created it first.
        if !answer.why().contains("resource_already_exists") {
            answer.read::<Value>().map_err(unavailable)?;
        }
        Ok(())
    }

    /// Writes the documents to each of the indexes. `refresh` says whether they can be found when this returns.
    pub(super) async fn write(
        &self,
        indexes: &[String],
        documents: &[Document],
        refresh: &str,
    ) -> Result<(), SearchError> {
        let mut lines = String::new();
        for document in documents {
            for index in indexes {
                let more = document.lines(index);
                if lines.len() + more.len() > MAX_BYTES && !lines.is_empty() {
                    self.bulk(&lines, refresh).await?;
                    lines.clear();
                }
                lines += &more;
            }
        }
        self.bulk(&lines, refresh).await?;
        Ok(())
    }

    /// Sends one bulk request. Returns the positions of the items that were rejected with a conflict.
    pub(super) async fn bulk(&self, lines: &str, refresh: &str) -> Result<Vec<usize>, SearchError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let path = format!("_bulk?refresh={refresh}");
        let done = patiently(&*self.random, async || {
            let answer = self.call_once("POST", &path, lines.as_bytes()).await?;
            let written: Written = answer.read()?;
            let mut conflicts = Vec::new();
            for (n, item) in written.items.iter().flat_map(|item| item.values()).enumerate() {
                match item.status {
                    409 => conflicts.push(n),
                    // 404: the document to delete does not exist.
                    200..300 | 404 if item.error.is_null() => {}
                    status => {
                        let part = |name: &str| item.error.get(name).and_then(Value::as_str).unwrap_or_default();
                        let why = format!("status {status}: {} {}", part("type"), part("reason"));
                        return Err(match status {
                            429 | 500.. => Failure::Passing(why),
                            _ => lasting(&why),
                        });
                    }
                }
            }
            if written.errors && conflicts.is_empty() {
                return Err(lasting("the answer makes no sense"));
            }
            Ok(conflicts)
        });
        done.await.map_err(unavailable)
    }
}
