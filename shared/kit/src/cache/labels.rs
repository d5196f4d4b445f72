//! `Cache-Tag`: readable names of the documents and lists in a response, by which caches in front of the host are
//! purged.
//!
//! Like the [`tags`](super::tags) of the cache in memory, they are collected from the reads of a request. If a response
//! has more ids than a cache accepts tags, the tags of the lists replace the ids; every change of a document purges its
//! lists.

use std::borrow::Cow;

use http::HeaderValue;
use souk_core::documents::Source;
use souk_core::edge::{self, MAX_TAGS};
use souk_core::kind::Renaming;
use souk_core::{Key, Tenant};

use crate::registry::Registry;

/// The tags of the reads of one request.
#[derive(Debug)]
pub(crate) struct Labels {
    /// Whose documents they are.
    tenant: Tenant,
    names: Vec<&'static str>,
    /// The tags of lists that replace the ids if there are too many.
    lists: Vec<&'static str>,
    ids: Vec<String>,
}

impl Labels {
    pub(super) fn new(tenant: Tenant) -> Self {
        Self {
            tenant,
            names: Vec::new(),
            lists: Vec::new(),
            ids: Vec::new(),
        }
    }

    pub(super) fn key(&mut self, key: &Key, registry: &Registry) {
        let Some((name, id)) = key.pk.split_once('/') else {
            return;
        };
        if let Some((kind, list)) = registry.tagged(name) {
            self.names.push(kind.name);
            self.lists.push(list);
            self.ids.push(id.to_owned());
        } else if let Some((kind, list)) = name.strip_suffix("-named").and_then(|name| registry.tagged(name))
            && kind.renaming == Renaming::Reserves
        {
            // Another document can claim the name later; its commit purges the lists of the kind. A name that leads on for good
            // becomes free only by a commit of the document that has it.
            self.names.push(list);
        }
    }

    pub(super) fn source(&mut self, source: &Source, registry: &Registry) {
        let (Source::Index(name) | Source::Partition(name)) = source;
        let root = name.split('/').next().unwrap_or_default();
        self.names.extend(registry.list_tag(root));
    }

    /// The value of the `Cache-Tag` header.
    pub(crate) fn header(&mut self) -> Option<HeaderValue> {
        self.ids.sort_unstable();
        self.ids.dedup();
        self.names.sort_unstable();
        self.names.dedup();
        if self.ids.len() + self.names.len() > MAX_TAGS {
            self.ids.clear();
            self.names.append(&mut self.lists);
            self.names.sort_unstable();
            self.names.dedup();
        }
        let names = self.names.iter().copied();
        let all = names.chain(self.ids.iter().map(String::as_str));
        let all: Vec<Cow<'_, str>> = all.map(|tag| edge::tag_of(&self.tenant, tag)).collect();
        (!all.is_empty()).then(|| HeaderValue::from_str(&all.join(",")).ok())?
    }
}
