//! Commits of [transactions](super::Transaction): runs the closure, writes what it has added with the kept result and the record
//! of the audit log, and runs it again if a condition failed that says so.

use serde::Serialize;
use serde::de::DeserializeOwned;
use souk_core::{Change, Event, Key, Message, StoreError};

use super::transaction::{Pending, take};
use super::{Context, Failure, Transaction};

/// How often a closure runs before the operation fails. This is more than the number of concurrent jobs (16), because
/// all of them may write the same document.
const ATTEMPTS: usize = 20;

/// How often the record of the audit log is made before the operation fails: each time one of those who act at once is done.
const RECORD_ATTEMPTS: usize = 200;

impl Context {
    /// Runs `build` and commits its transaction; see the module.
    pub async fn commit<T, E, F, R>(&self, mut build: F) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Failure>,
        F: FnMut(Transaction<E>) -> R,
        R: Future<Output = Result<T, E>>,
    {
        if let Some(first) = self.kept_result().await? {
            return Ok(first);
        }
        for attempt in 0..ATTEMPTS {
            let (tx, pending) = Transaction::new(self.clone(), attempt);
            let result = match build(tx).await {
                Ok(result) => result,
                // A request with the same key may have committed in between, so that the closure read its effect.
                Err(error) => return self.kept_result().await?.ok_or(error),
            };
            let Pending {
                mut changes,
                on_conflict,
                before,
                replaced,
                events,
                messages,
                is_secret,
                ..
            } = take(&pending)?;
            let record = self.record(&result, is_secret)?;
            changes.extend(self.usage(&changes).await?);
            changes.extend(self.histories(&replaced));
            let write = Write {
                changes,
                record,
                events,
                messages,
            };
            let Some(step) = self.write_audited(write, &before).await? else {
                return Ok(result);
            };
            if let Some(first) = self.kept_result().await? {
                return Ok(first);
            }
            match on_conflict.into_iter().nth(step) {
                Some(Some(error)) => return Err(error),
                Some(None) => {}
                // The commit failed on the record, which has expired since.
                None => return Err(Failure::from(StoreError::Unavailable("the record expired".into())).into()),
            }
        }
        Err(Failure::Contention.into())
    }

    /// Commits, with the record of the audit log if one is due; `Some` is the index of the change whose condition failed. If
    /// another commit has added a record meanwhile, this one's record is built again on top of it; the operation is not repeated.
    async fn write_audited(&self, write: Write, before: &[(Key, String)]) -> Result<Option<usize>, Failure> {
        let own = write.changes.len();
        for _ in 0..RECORD_ATTEMPTS {
            let audit = self.audit(&write.changes, before).await?;
            if audit.is_empty() {
                return self.write(write).await;
            }
            let ends = own.saturating_add(audit.len());
            let mut audited = write.clone();
            audited.changes.extend(audit);
            match self.write(audited).await? {
                Some(step) if (own..ends).contains(&step) => {}
                // The kept result comes after the record.
                Some(step) if step >= ends => return Ok(Some(own)),
                result => return Ok(result),
            }
        }
        Err(Failure::Contention)
    }

    /// Commits; `Some` is the index of the change whose condition failed.
    async fn write(&self, write: Write) -> Result<Option<usize>, Failure> {
        let Write {
            mut changes,
            record,
            events,
            messages,
        } = write;
        changes.extend(record);
        if changes.is_empty() && events.is_empty() && messages.is_empty() {
            return Ok(None);
        }
        match self.platform().commit(changes, events, messages).await {
            Ok(()) => Ok(None),
            Err(StoreError::Conflict(step)) => Ok(Some(step)),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a transaction writes.
#[derive(Clone)]
struct Write {
    changes: Vec<Change>,
    /// The result for the idempotency key.
    record: Option<Change>,
    events: Vec<Event>,
    messages: Vec<Message>,
}
