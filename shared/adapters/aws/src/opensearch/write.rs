//! Writing: `apply` and `fill`.
//!
//! **Versions.** A product is a document whose external version is twice its own, and one more if it was removed; OpenSearch takes no
//! document that is older than the one it has (`external_gte`), which it says by a conflict, and that is a success here. So
//! what comes late loses, and a removal wins over what it removes. What was removed stays as a document without words, since OpenSearch
//! itself forgets a deletion after a minute. Another one beside it ([`GONE`]) says so to the next rebuild, also if the product has
//! come back since; after [`REMEMBERED`] it is not taken over any more.
//!
//! **Both generations.** Which ones there are is asked before and after: what was begun meanwhile is written to as well. A write that
//! comes after its generation was removed makes an index of that name, which no alias is on and the next rebuild removes.

use std::collections::{BTreeSet, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};
use souk_core::search::{IndexChange, Listing, SearchError};
use souk_sql::meaning::{Indexed, facet};

use super::query::around;
use super::rebuild::definition;
use super::{Layout, OpenSearch, set};
use crate::call::{Failure, patiently};
use crate::search::unavailable;
use crate::sign::lasting;

/// How much one call writes, in bytes. The smaller instances of AWS take 10 MB.
const MAX_BYTES: usize = 5 << 20;
/// How long a removal is remembered, in milliseconds: longer than any queue keeps a message.
pub(super) const REMEMBERED: i64 = 5 * 86_400_000;

/// What the id of the note of a removal begins with.
const GONE: &str = "gone:";

/// What the entries of a facet's field begin with: letters and digits.
pub(super) fn field_key(field: &str) -> String {
    facet(field, "")
}

/// A document for all generations: its id, version, and text.
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
            completions,
        } = Indexed::new(listing);
        // Stems are words too, so that one look-up tells whether there is a word.
        let words: BTreeSet<String> = words.into_iter().flat_map(<[String; 2]>::from).collect();
        let completions: Vec<String> = completions.iter().map(|(key, text)| format!("{key}\t{text}")).collect();
        let mut seen = HashSet::new();
        let facets = listing.facets.iter().filter(|f| seen.insert((&f.field, &f.value)));
        let facets: Vec<String> = facets
            .map(|f| format!("{}{}", field_key(&f.field), json!([f.value, f.label])))
            .collect();
        let place = listing
            .place
            .filter(|(north, east)| north.abs() <= 90.0 && east.is_finite());
        let source = json!({
            "product": listing.id,
            "version": listing.version,
            "body": listing.body,
            "rank": listing.rank,
            "price": listing.price,
            "published_at": listing.published_at,
            "votes": listing.votes,
            "place": place.map(|(north, east)| json!({ "lat": north, "lon": around(east) })),
            "tokens": tokens,
            "words": words,
            "facets": facets,
            "completions": completions,
        });
        Self {
            id: listing.id.clone(),
            version: listing.version.saturating_mul(2),
            source: source.to_string(),
        }
    }

    /// A removal of the version, at this time in milliseconds since 1970; and the note of it.
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

    /// Two lines of a bulk request.
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

    /// Makes generation 0, so that changes are indexed before the first rebuild.
    async fn make_first(&self) -> Result<(), SearchError> {
        let mut body = definition();
        set(&mut body, "aliases", json!({ &self.name: {} }));
        let answer = self.call("PUT", &self.index(0), body.to_string().as_bytes()).await;
        let answer = answer.map_err(unavailable)?;
        // Somebody else may have been first.
        if !answer.why().contains("resource_already_exists") {
            answer.read::<Value>().map_err(unavailable)?;
        }
        Ok(())
    }

    /// Writes documents to each of the indexes; `refresh` says whether they are found when this is done.
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

    /// One bulk request. Gives the numbers of the lines that met a conflict.
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
                    // To be deleted and not there.
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
