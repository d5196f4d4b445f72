//! Tenants: the markets that share a deployment.
//!
//! Everything that is stored, sent, cached or counted belongs to one of them. Operations never say which: the ports that they
//! get are narrowed to the tenant of the request or message. The *main* market is the one that the deployment was made for; a
//! deployment with one market has no other. What it stores has the names that operations use, and that of any other tenant
//! `@{name}/` before them. No kind, partition or index begins with `@`, so no tenant reaches another's.

mod documents;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use documents::TenantDocuments;

use crate::documents::Source;
use crate::{Change, Commit, Entry, Key, Query};

/// The length of a name, which is a label of a host name.
pub const NAME_LENGTH: std::ops::RangeInclusive<usize> = 2..=40;

/// A market of the deployment, by its name. It has no `Default`, so that code cannot leave out which market it means.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The main market.
    #[must_use]
    pub fn main() -> Self {
        Self(Arc::from(""))
    }

    /// The tenant with this name: lower-case letters, digits and hyphens, as in a host name. `None` if it cannot be a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let is_name = NAME_LENGTH.contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        is_name.then(|| Self(Arc::from(name)))
    }

    /// Whether it is the main market.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.0.is_empty()
    }

    /// The name; empty for the main market.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// What the names of everything that it stores begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        match self.is_main() {
            true => String::new(),
            false => format!("@{}/", self.0),
        }
    }

    /// A name as it is stored.
    #[must_use]
    pub fn stored<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match self.is_main() {
            true => Cow::Borrowed(name),
            false => Cow::Owned(["@", &self.0, "/", name].concat()),
        }
    }

    /// The name that operations use for a stored one; `None` if it is another tenant's.
    #[must_use]
    pub fn own<'n>(&self, stored: &'n str) -> Option<&'n str> {
        match self.is_main() {
            true => (!stored.starts_with('@')).then_some(stored),
            false => stored.strip_prefix('@')?.strip_prefix(&*self.0)?.strip_prefix('/'),
        }
    }

    /// A key as it is stored.
    #[must_use]
    pub fn key(&self, key: &Key) -> Key {
        Key {
            pk: self.stored(&key.pk).into_owned(),
            sk: key.sk.clone(),
        }
    }

    /// A query of what is stored.
    #[must_use]
    pub fn query(&self, query: &Query) -> Query {
        Query {
            source: match &query.source {
                Source::Partition(name) => Source::Partition(self.stored(name).into_owned()),
                Source::Index(name) => Source::Index(self.stored(name).into_owned()),
            },
            ..query.clone()
        }
    }

    /// A commit of what is stored.
    #[must_use]
    pub fn commit(&self, mut commit: Commit) -> Commit {
        if self.is_main() {
            return commit;
        }
        let rename = |name: &mut String| *name = self.stored(name).into_owned();
        let rename_entries = |entries: &mut Vec<Entry>| entries.iter_mut().for_each(|entry| rename(&mut entry.index));
        for change in &mut commit.changes {
            match change {
                Change::Put {
                    key, entries, stale, ..
                } => {
                    rename(&mut key.pk);
                    rename_entries(entries);
                    rename_entries(stale);
                }
                Change::Delete { key, stale, .. } => {
                    rename(&mut key.pk);
                    rename_entries(stale);
                }
                Change::Add { key, .. } | Change::Require { key, .. } => rename(&mut key.pk),
            }
        }
        commit
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_main() { "main" } else { &self.0 })
    }
}

impl Serialize for Tenant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(from)?;
        match name.is_empty() {
            true => Ok(Self::main()),
            false => Self::named(&name).ok_or_else(|| serde::de::Error::custom("is not the name of a tenant")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_of_a_host_name() {
        for name in ["ab", "a1", "1a", "a-b", "x--y", &"a".repeat(40)] {
            assert_eq!(Tenant::named(name).unwrap().name(), name);
        }
        for name in [
            "",
            "a",
            "-a",
            "a-",
            "A1",
            "a.b",
            "a/b",
            "a_b",
            "@a",
            "ä1",
            &"a".repeat(41),
        ] {
            assert_eq!(Tenant::named(name), None, "{name}");
            assert!(name.is_empty() || serde_json::from_value::<Tenant>(name.into()).is_err());
        }
    }

    #[test]
    fn what_is_stored_tells_whose_it_is() {
        let (main, one, other) = (
            Tenant::main(),
            Tenant::named("one").unwrap(),
            Tenant::named("one-two").unwrap(),
        );
        for name in ["thing/1", "things", "things/of/@one/x", ""] {
            for tenant in [&main, &one, &other] {
                let stored = tenant.stored(name);
                let whose: Vec<_> = [&main, &one, &other]
                    .into_iter()
                    .filter(|t| t.own(&stored).is_some())
                    .collect();
                assert_eq!((whose, tenant.own(&stored)), (vec![tenant], Some(name)), "{stored}");
            }
        }
    }

    #[test]
    fn all_names_of_a_commit_are_narrowed() {
        let entry = |index: &str| Entry::new(index, "1");
        let change = |at: &str| {
            vec![
                Change::create(
                    Key::new(format!("{at}a"), "1"),
                    "{}".into(),
                    vec![entry(&format!("{at}i"))],
                ),
                Change::replace(
                    Key::new(format!("{at}b"), ""),
                    1,
                    "{}".into(),
                    &[entry(&format!("{at}j"))],
                    vec![],
                ),
                Change::Delete {
                    key: Key::new(format!("{at}c"), ""),
                    condition: crate::Condition::Any,
                    stale: vec![entry(&format!("{at}k"))],
                },
                Change::Add {
                    key: Key::new(format!("{at}d"), ""),
                    counter: "n".into(),
                    delta: 1,
                },
                Change::Require {
                    key: Key::new(format!("{at}e"), ""),
                    condition: crate::Condition::Exists,
                },
            ]
        };
        let commit = Commit::new(change(""));
        assert_eq!(Tenant::main().commit(commit.clone()), commit);
        assert_eq!(
            Tenant::named("one").unwrap().commit(commit),
            Commit::new(change("@one/"))
        );
    }
}
