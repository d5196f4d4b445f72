//! The follow of an account or a vendor: two documents, one for the follower and one for the target, each in an index by time.

use serde::{Deserialize, Serialize};
use souk_core::{Entry, Key, Kind, Timestamp};
use souk_model::identity::ACCOUNT;
use souk_model::vendors::VENDOR;

use crate::own_count::{Holds, OwnChange};
use crate::upvote::sort;

/// The kind of what is followed.
pub(crate) fn target_kind(id: &str) -> Kind {
    if VENDOR.is_id(id) { VENDOR } else { ACCOUNT }
}

/// A follow, as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Follow {
    pub(crate) since: Timestamp,
    /// Only in the document of the follower. Absent in follows of earlier versions, which have no index entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_changes: Vec<OwnChange>,
}

impl Holds for Follow {
    fn since(&self) -> Timestamp {
        self.since
    }

    fn own_changes(&self) -> &[OwnChange] {
        &self.own_changes
    }
}

impl Follow {
    /// The index entries of the document of the follower.
    pub(crate) fn entries(&self, follower: &str, target: &str) -> Vec<Entry> {
        vec![Entry::new(index(follower), sort(self.since, target))]
    }

    /// The index entries of the document of the target.
    pub(crate) fn follower_entries(&self, target: &str, follower: &str) -> Vec<Entry> {
        vec![Entry::new(follower_index(target), sort(self.since, follower))]
    }
}

/// The key of the follow in the partition of its target.
pub(crate) fn follower_key(target: &str, follower: &str) -> Key {
    Key::new(followers(target), follower)
}

/// The partition of the followers of an account or a vendor, sorted by account id.
pub(crate) fn followers(target: &str) -> String {
    format!("followers/{target}")
}

/// The key of what is held of a follow that was taken back.
pub(crate) fn withdrawn_key(follower: &str, target: &str) -> Key {
    Key::new(format!("follows-withdrawn/{follower}"), target)
}

/// The index of what an account follows.
pub(crate) fn index(follower: &str) -> String {
    format!("followed/{follower}")
}

/// The index of the followers of an account or a vendor.
pub(crate) fn follower_index(target: &str) -> String {
    format!("followed-by/{target}")
}
