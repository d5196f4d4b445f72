//! The index as a file of this machine.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_types::byte_stream::ByteStream;
use souk_core::{Clock, StoreError};
use souk_sql::{SEARCH_MIGRATIONS, SqlDriver as _, SqlError, SqlSearch, Statement, Value};
use souk_sqlite::SqliteFile;

use crate::answer;
use crate::call::Failure;

/// A folder for copies, and for nothing else.
pub(super) struct Folder {
    path: PathBuf,
    count: AtomicU64,
}

/// A copy of the object, or what is to become the next one. Its file goes with it.
pub(super) struct Copy {
    pub(super) index: SqlSearch<Arc<SqliteFile>>,
    file: Arc<SqliteFile>,
    path: Removed,
    /// The tag of the object that it is a copy of, if it is of any.
    pub(super) tag: Option<String>,
}

/// A file that is removed in the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Folder {
    /// Takes the folder, and out of it what a process before this one has left.
    pub(super) fn new(path: &Path) -> Self {
        // There is none the first time.
        let _ = std::fs::remove_dir_all(path);
        Self {
            path: path.to_owned(),
            count: AtomicU64::new(0),
        }
    }

    fn path(&self) -> Result<Removed, Failure> {
        std::fs::create_dir_all(&self.path).map_err(failed)?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Ok(Removed(self.path.join(format!("{number}.db"))))
    }

    /// An index of nothing.
    pub(super) async fn empty(&self, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        Copy::open(self.path()?, None, clock).await
    }

    /// The object that has this tag.
    pub(super) async fn save(&self, tag: String, body: ByteStream, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        let path = self.path()?;
        let mut file = File::create(&path.0).map_err(failed)?;
        answer::read(body, |bytes| file.write_all(bytes).map_err(failed)).await?;
        drop(file);
        let copy = Copy::open(path, Some(tag), clock).await?;
        copy.freeze()?;
        Ok(copy)
    }

    /// A copy to work on.
    pub(super) async fn copy(&self, of: &Copy, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        let path = self.path()?;
        std::fs::copy(&of.path.0, &path.0).map_err(failed)?;
        Copy::open(path, None, clock).await
    }
}

impl Copy {
    async fn open(path: Removed, tag: Option<String>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        // An older version of the market may have written it.
        let file = SqliteFile::open(&path.0, SEARCH_MIGRATIONS).map_err(failed)?;
        let table = "CREATE TABLE IF NOT EXISTS included (name TEXT PRIMARY KEY) WITHOUT ROWID";
        file.write(vec![Statement::new(table, Vec::new())]).await.map_err(sql)?;
        let file = Arc::new(file);
        Ok(Self {
            index: SqlSearch::new(file.clone(), clock),
            file,
            path,
            tag,
        })
    }

    /// The names of the notes that it includes.
    pub(super) async fn included(&self) -> Result<HashSet<String>, Failure> {
        let names = Statement::new("SELECT name FROM included", Vec::new());
        let rows = self.file.read(names).await.map_err(sql)?;
        let name = |value| match value {
            Value::Text(name) => Some(name),
            _ => None,
        };
        Ok(rows.into_iter().flatten().filter_map(name).collect())
    }

    /// Notes that it includes a note, and forgets those before `oldest`.
    pub(super) async fn include(&self, name: &str, oldest: String) -> Result<(), Failure> {
        let statement = |sql, name: &str| Statement::new(sql, vec![name.into()]);
        let batch = vec![
            statement("INSERT OR IGNORE INTO included (name) VALUES (?1)", name),
            statement("DELETE FROM included WHERE name < ?1", &oldest),
        ];
        self.file.write(batch).await.map_err(sql)
    }

    /// Gives back what deleted rows have left empty.
    pub(super) fn compact(&self) -> Result<(), Failure> {
        self.file.compact().map_err(sql)
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(&self.path.0).map_err(failed)
    }

    fn freeze(&self) -> Result<(), Failure> {
        self.file.freeze().map_err(sql)
    }

    /// It is the object with this tag now.
    pub(super) fn published(mut self, tag: String) -> Result<Self, Failure> {
        self.tag = Some(tag);
        self.freeze()?;
        Ok(self)
    }
}

fn sql(error: SqlError) -> Failure {
    failed(format!("{error:?}"))
}

/// A full disk, a file that is no database.
fn failed(why: impl ToString) -> Failure {
    Failure::Lasting(StoreError::Unavailable(why.to_string()))
}
