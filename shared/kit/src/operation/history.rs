//! Documents as they were.
//!
//! A commit that changes or deletes a document whose [earlier states are kept](crate::Function::histories) writes its body, as it was,
//! to `history/{partition}`, at the time of the transaction and the version. It is kept for a year. Counters are not: they change without
//! commits of their own. What jobs change beside operations, such as counts and ranks, has no history.

use souk_core::documents::get_one;
use souk_core::{Change, Condition, Consistency, Document, Fault, Key, Query, Timestamp, clock};

use super::{Context, Failure};

/// For how long earlier states are kept, in seconds.
const KEPT_SECONDS: i64 = 365 * 86_400;
/// How far the clocks of instances may differ, in seconds.
const CLOCKS_SECONDS: i64 = 60;

fn partition(key: &Key) -> String {
    ["history/", &key.pk].concat()
}

/// The sort key of a state that was replaced then.
fn place(replaced_at: i64, version: u64) -> String {
    format!("{replaced_at:015}/{version:010}")
}

impl Context {
    /// Whether the earlier states of this document are kept.
    pub(super) fn keeps_history(&self, key: &Key) -> bool {
        let name = key.pk.split('/').next().unwrap_or_default();
        key.sk.is_empty() && self.registry.histories.contains(&name)
    }

    /// The changes that keep these documents, which are replaced at these times.
    pub(super) fn histories(&self, replaced: &[(Document, Timestamp)]) -> Vec<Change> {
        let keep = |(document, at): &(Document, Timestamp)| Change::Put {
            key: Key::new(partition(&document.key), place(at.as_millisecond(), document.version)),
            body: document.body.clone(),
            counters: Vec::new(),
            expires_at: Some(clock::after(*at, KEPT_SECONDS)),
            condition: Condition::Any,
            entries: Vec::new(),
            stale: Vec::new(),
        };
        replaced.iter().map(keep).collect()
    }

    /// A document as it was at a moment, with the counters of today; `None` if it was not there. `since` is the field that says when
    /// it was created, if it has one.
    pub async fn as_of(&self, key: Key, at: Timestamp, since: Option<&str>) -> Result<Option<Document>, Failure> {
        if at > clock::after(self.now(), CLOCKS_SECONDS) {
            return Err(Failure::bad_parameter(
                "as_of",
                Fault::invalid("must not be in the future"),
            ));
        }
        // Of what was replaced after that moment, the first is what it was.
        let query = Query {
            after: Some(format!("{:015}~", at.as_millisecond())),
            ..Query::partition(partition(&key), 1)
        };
        let replaced = self
            .documents
            .query(&query, Consistency::Strong)
            .await?
            .items
            .into_iter()
            .next();
        let current = get_one(&*self.documents, key.clone()).await?;
        let then = match replaced {
            Some(item) => {
                let version = item.sort.split('/').nth(1).and_then(|version| version.parse().ok());
                let counters = current.map_or_else(|| "{}".to_owned(), |current| current.counters);
                Some(Document {
                    key,
                    version: version.unwrap_or(0),
                    counters,
                    expires_at: None,
                    ..item.document
                })
            }
            None => current,
        };
        let Some(then) = then else {
            return Ok(None);
        };
        let was_there = match since {
            Some(field) => then.field::<Timestamp>(field)? <= at,
            None => true,
        };
        Ok(was_there.then_some(then))
    }
}
