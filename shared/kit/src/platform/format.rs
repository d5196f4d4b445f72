//! The version of what is stored: a program refuses to write to a store that a newer version has written to, because it does
//! not know what it would damage there.
//!
//! The document `format/market` has the version. Each process reads it before its first commit, and each tick reads it again,
//! creates or raises it. Notes of the job runner and counts of lanes, which every version reads alike, are written without.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use souk_core::documents::get_one;
use souk_core::{Change, Commit, Condition, Document, Key, StoreError};

use super::Platform;

/// The version that this program writes. Raise it when programs of the version before would damage what this one stores.
const FORMAT: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Format {
    version: u32,
}

/// Why a store cannot be used, as far as its version is concerned.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A newer version has written to it.
    #[error(
        "a newer version of Souk has written to this store (format {0}; this one knows {FORMAT}): deploy that version again, \
         or restore a backup from before"
    )]
    Newer(u32),
    /// It could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FormatError> for StoreError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Newer(_) => StoreError::Unavailable(error.to_string()),
            FormatError::Store(error) => error,
        }
    }
}

impl Platform {
    /// Fails if the store is of a newer version than this program.
    pub async fn check_format(&self) -> Result<(), FormatError> {
        if !self.knows_format.load(Ordering::Relaxed) {
            self.stored_format().await?;
            self.knows_format.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Notes in the store that this version writes to it.
    pub(crate) async fn note_format(&self) -> Result<(), FormatError> {
        // Another process may have raised it.
        self.knows_format.store(false, Ordering::Relaxed);
        let stored = self.stored_format().await?;
        if let Some((_, FORMAT)) = stored {
            return Ok(());
        }
        let condition = stored.map_or(Condition::Absent, |(document, _)| Condition::Version(document.version));
        let put = Change::Put {
            key: key(),
            body: serde_json::to_string(&Format { version: FORMAT }).map_err(|e| StoreError::Refused(e.to_string()))?,
            counters: Vec::new(),
            expires_at: None,
            condition,
            entries: Vec::new(),
            stale: Vec::new(),
        };
        match self.whole.commit(Commit::new(vec![put])).await {
            // Another process was faster; the next tick looks again.
            Err(StoreError::Conflict(_)) => Ok(()),
            result => Ok(result?),
        }
    }

    async fn stored_format(&self) -> Result<Option<(Document, u32)>, FormatError> {
        let Some(document) = get_one(&*self.whole, key()).await? else {
            return Ok(None);
        };
        let Format { version } = document.parse()?;
        if version > FORMAT {
            return Err(FormatError::Newer(version));
        }
        Ok(Some((document, version)))
    }
}

fn key() -> Key {
    Key::of("format", "market")
}
