//! Copies of the databases of a market, also while a server writes to them.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// How many pages are copied at a time.
const PAGES: i32 = 1024;

/// Copies the documents and the queue as they are at one moment: what the copy of the queue no longer has is done in the copy
/// of the documents, and what was sent is in one of the two.
pub fn copy(documents: (&Path, &Path), queue: (&Path, &Path)) -> Result<(), String> {
    let run = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let (from, waiting) = (
            Connection::open_with_flags(documents.0, flags)?,
            Connection::open_with_flags(queue.0, flags)?,
        );
        let mut locked = Connection::open(queue.0)?;
        locked.busy_timeout(Duration::from_secs(10))?;
        // While nothing is sent or taken, both readers begin.
        let lock = locked.transaction_with_behavior(TransactionBehavior::Immediate)?;
        begin_reading(&waiting)?;
        begin_reading(&from)?;
        drop(lock);
        write(&waiting, queue.1)?;
        write(&from, documents.1)
    };
    run().map_err(|e: rusqlite::Error| e.to_string())
}

/// Opens a transaction that sees the database as it is now.
fn begin_reading(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
}

fn write(from: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    Backup::new(from, &mut copy)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    copy.pragma_update(None, "journal_mode", "DELETE")
}

/// What is wrong with a database; empty if it is sound.
pub fn faults(path: &Path) -> Result<Vec<String>, String> {
    let read = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut check = connection.prepare("PRAGMA integrity_check(20)")?;
        let rows = check.query_map([], |row| row.get::<_, String>(0))?;
        rows.filter(|row| row.as_ref().map_or(true, |text| text != "ok"))
            .collect::<rusqlite::Result<Vec<String>>>()
    };
    read().map_err(|e| format!("{}: {e}", path.display()))
}
