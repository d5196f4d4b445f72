//! The upvote: one document per account and product, `upvotes/{product}` + account, in the index of the account's upvotes.

use serde::{Deserialize, Serialize};
use souk_core::{Entry, Key, Timestamp};

use crate::own_count::{Holds, OwnChange};

/// An upvote, as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct Upvote {
    // It was stored as `cast_at` before.
    #[serde(alias = "cast_at")]
    pub(crate) created_at: Timestamp,
    /// Absent in upvotes of earlier versions, which have no index entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_changes: Vec<OwnChange>,
}

impl Holds for Upvote {
    fn since(&self) -> Timestamp {
        self.created_at
    }

    fn own_changes(&self) -> &[OwnChange] {
        &self.own_changes
    }
}

impl Upvote {
    /// The index entries.
    pub(crate) fn entries(&self, product: &str, account: &str) -> Vec<Entry> {
        vec![Entry::new(index(account), sort(self.created_at, product))]
    }
}

/// The partition of a product's upvotes.
pub(crate) fn partition(product: &str) -> String {
    format!("upvotes/{product}")
}

/// The key of what is held of an upvote that was withdrawn.
pub(crate) fn withdrawn_key(product: &str, account: &str) -> Key {
    Key::new(format!("upvotes-withdrawn/{product}"), account)
}

/// The index of an account's upvotes.
pub(crate) fn index(account: &str) -> String {
    format!("upvoted/{account}")
}

/// The sort key of something that happened at `at`, in indexes by time.
pub(crate) fn sort(at: Timestamp, id: &str) -> String {
    format!("{:013}/{id}", at.as_millisecond().max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upvote_of_an_earlier_version_stays_readable() {
        let old = r#"{"cast_at":"2026-01-01T00:00:00Z"}"#;
        let upvote: Upvote = serde_json::from_str(old).unwrap();
        let kept = r#"{"created_at":"2026-01-01T00:00:00.000Z"}"#;
        assert_eq!(serde_json::to_string(&upvote).unwrap(), kept);
        let new = r#"{"created_at":"2026-01-01T00:00:00.000Z","own_changes":[{"event":"evt_1","adds":1}]}"#;
        let upvote: Upvote = serde_json::from_str(new).unwrap();
        assert_eq!(serde_json::to_string(&upvote).unwrap(), new);
        let entries = [Entry::new("upvoted/acc_1", "1767225600000/prd_1")];
        assert_eq!(upvote.entries("prd_1", "acc_1"), entries);
    }
}
