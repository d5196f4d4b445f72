//! Tags that caches in front of us can be purged by: readable names of what an answer was made of.
//!
//! They are found like the [`tags`](super::tags) of the cache in memory, by noting what a handler reads, and are for hosts
//! behind a cache that is told what changes ([`souk_core::edge`]). An answer has more ids than a cache takes tags? Then the
//! tags of lists stand for them, which every change purges.

use std::sync::Arc;

use async_trait::async_trait;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use souk_core::documents::Source;
use souk_core::edge::{MAX_TAGS, TAGGED};
use souk_core::kind::PRODUCT;
use souk_core::{Commit, Document, Documents, Key, Page, Query, StoreError};

use super::tags::{note, recorded};
use crate::answer::Shared;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// What was read, by name.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    names: Vec<&'static str>,
    ids: Vec<String>,
}

impl Labels {
    fn key(&mut self, key: &Key) {
        if let Some((kind, id)) = key.pk.split_once('/')
            && let Some((kind, _)) = TAGGED.iter().find(|(tagged, _)| tagged.name == kind)
        {
            self.names.push(kind.name);
            self.ids.push(id.to_owned());
        } else if let Some((claim, _)) = key.pk.split_once('/')
            && let Some(kind) = claim.strip_suffix("-named")
            && let Some((_, list)) = TAGGED
                .iter()
                .find(|(tagged, _)| tagged.name == kind && *tagged != PRODUCT)
        {
            // Whose name it is can change, and then the lists of the kind are purged. A product keeps its name.
            self.names.push(list);
        }
    }

    fn source(&mut self, source: &Source) {
        let (Source::Index(name) | Source::Partition(name)) = source;
        let root = match name.split('/').next() {
            // What stands by its votes is a product.
            Some("ranked") => "products",
            Some(root) => root,
            None => return,
        };
        self.names
            .extend(TAGGED.iter().map(|(_, list)| *list).filter(|list| *list == root));
    }

    fn header(mut self) -> Option<HeaderValue> {
        self.ids.sort_unstable();
        self.ids.dedup();
        if self.ids.len() > MAX_TAGS - 2 * TAGGED.len() {
            self.ids.clear();
            let shown = TAGGED.iter().filter(|(kind, _)| self.names.contains(&kind.name));
            let lists: Vec<_> = shown.map(|(_, list)| *list).collect();
            self.names.extend(lists);
        }
        self.names.sort_unstable();
        self.names.dedup();
        let all: Vec<&str> = self
            .names
            .into_iter()
            .chain(self.ids.iter().map(String::as_str))
            .collect();
        (!all.is_empty()).then(|| HeaderValue::from_str(&all.join(",")).ok())?
    }
}

/// Runs a handler and tags its answer, if others may keep it and what was read is noted.
pub(crate) async fn labelled(make: impl Future<Output = Response>) -> Response {
    let (mut response, seen) = recorded(make).await;
    if response.extensions().get::<Shared>().is_some()
        && let Some(tags) = seen.labels.header()
    {
        response.headers_mut().insert(CACHE_TAG, tags);
    }
    response
}

/// The documents, with reads noted by name.
pub(crate) struct LabelledDocuments(pub(crate) Arc<dyn Documents>);

#[async_trait]
impl Documents for LabelledDocuments {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Document>>, StoreError> {
        note(|seen| keys.iter().for_each(|key| seen.labels.key(key)));
        self.0.get(keys).await
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        note(|seen| seen.labels.source(&query.source));
        self.0.query(query).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.0.commit(commit).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}
