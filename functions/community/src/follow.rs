//! The follow of an account or a vendor: two documents with the same body, one for the follower and one for the target.

use serde::{Deserialize, Serialize};
use souk_core::{Key, Timestamp};

/// A follow, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Follow {
    pub(crate) since: Timestamp,
}

/// The key of the follow in the partition of its follower.
pub(crate) fn follow_key(follower: &str, target: &str) -> Key {
    Key::new(format!("follows/{follower}"), target)
}

/// The key of the follow in the partition of its target.
pub(crate) fn follower_key(target: &str, follower: &str) -> Key {
    Key::new(followers(target), follower)
}

/// The partition of the followers of an account or a vendor, sorted by account id.
pub(crate) fn followers(target: &str) -> String {
    format!("followers/{target}")
}
