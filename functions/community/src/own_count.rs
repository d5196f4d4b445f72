//! A count as an account sees it that has just changed it.
//!
//! Jobs count upvotes and followers a moment after the change. So the upvote or follow holds the account's own latest
//! changes that its job had not counted when they were made. Those that the job has not counted yet, because their
//! messages have no inbox entry, are added to the counter. The counter and the inbox entries change in one commit, so a
//! change is neither left out nor counted twice, however often the account changes its mind.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use souk_core::queue::Payload;
use souk_core::{Document, Key, Timestamp, clock};
use souk_kit::jobs::inbox_key;
use souk_kit::{Context, Failure, Stored, Transaction};

/// How long changes are held, in seconds. A job that has not counted a change by then has failed.
const HELD_SECONDS: i64 = 86_400;
/// How many changes are held at most.
const MAX_HELD: usize = 50;

/// A change of the count by the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnChange {
    /// The id of the event.
    event: String,
    /// What it adds to the count: 1 or -1.
    adds: i64,
}

/// The changes that an account made before it took its upvote or follow back; they expire after a day.
#[derive(Serialize, Deserialize)]
struct Withdrawn {
    own_changes: Vec<OwnChange>,
}

/// An upvote or a follow, which holds own changes.
pub(crate) trait Holds: DeserializeOwned {
    /// When the account made the latest of them.
    fn since(&self) -> Timestamp;
    /// The changes.
    fn own_changes(&self) -> &[OwnChange];
}

/// A counter, and the own changes that it does not contain yet.
pub(crate) struct OwnCount {
    counted: i64,
    pub(crate) uncounted: Vec<OwnChange>,
}

impl OwnCount {
    /// The upvote or follow `T` of the account at the first of `keys`, if there is one, and the count as the account sees it:
    /// the counter `name` of `document`. The second key is that of [`Withdrawn`]. `P` is the payload of the job that counts.
    pub(crate) async fn read<T: Holds, P: Payload>(
        cx: &Context,
        keys: &[Key; 2],
        document: &Document,
        name: &str,
    ) -> Result<(Option<Stored<T>>, Self), Failure> {
        let mut found = cx.get_all(keys).await?.into_iter();
        let own = found.next().flatten().map(Stored::<T>::read).transpose()?;
        let held = match (&own, found.next().flatten()) {
            (Some(own), _) if clock::after(own.since(), HELD_SECONDS) < cx.now() => Vec::new(),
            (Some(own), _) => own.own_changes().to_vec(),
            (None, Some(withdrawn)) => withdrawn.parse::<Withdrawn>()?.own_changes,
            (None, None) => Vec::new(),
        };
        let mut count = Self {
            counted: document.counter(name),
            uncounted: Vec::new(),
        };
        if !held.is_empty() {
            // The counter again, with the inbox entries. DynamoDB reads each item by itself, so a job that commits meanwhile may
            // be seen in one and not in the other: then this one answer is off by its change.
            let marks = held.iter().map(|change| inbox_key::<P>(&change.event));
            let keys: Vec<Key> = std::iter::once(document.key.clone()).chain(marks).collect();
            let mut found = cx.get_all(&keys).await?.into_iter();
            count.counted = found.next().flatten().map_or(0, |document| document.counter(name));
            let uncounted = held.into_iter().zip(found).filter(|(_, mark)| mark.is_none());
            count.uncounted = uncounted.map(|(change, _)| change).collect();
        }
        Ok((own, count))
    }

    /// Adds a change.
    pub(crate) fn change(&mut self, event: String, adds: i64) {
        self.uncounted.push(OwnChange { event, adds });
        let too_many = self.uncounted.len().saturating_sub(MAX_HELD);
        for counted in self.uncounted.drain(..too_many) {
            self.counted = self.counted.saturating_add(counted.adds);
        }
    }

    /// The count with the own changes.
    pub(crate) fn total(&self) -> u64 {
        let own: i64 = self.uncounted.iter().map(|change| change.adds).sum();
        u64::try_from(self.counted.saturating_add(own)).unwrap_or(0)
    }

    /// Holds the changes at this key, after the account took its upvote or follow back.
    pub(crate) fn hold<E>(&self, tx: &Transaction<E>, withdrawn: Key) {
        let own_changes = self.uncounted.clone();
        tx.put(withdrawn, Withdrawn { own_changes })
            .expires_at(clock::after(tx.now(), HELD_SECONDS))
            .always();
    }
}
