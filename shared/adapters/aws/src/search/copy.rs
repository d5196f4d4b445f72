//! Local copies of the index object: each is an SQLite file in the adapter's folder.

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

/// The folder that holds the local copies, of all tenants. It holds nothing else.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    count: Arc<AtomicU64>,
}

/// A local copy of the index object, or a draft of the next version. Dropping it deletes its file.
pub(super) struct Copy {
    pub(super) index: SqlSearch<Arc<SqliteFile>>,
    file: Arc<SqliteFile>,
    path: Removed,
    /// The ETag of the object that this is a copy of; `None` for a draft and for an empty index.
    pub(super) tag: Option<String>,
}

/// A path whose file is deleted on drop.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // The file may never have been created.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Folder {
    /// Takes over the folder and deletes the files that an earlier process left in it.
    pub(super) fn new(path: &Path) -> Self {
        // The folder does not exist on the first start.
        let _ = std::fs::remove_dir_all(path);
        Self {
            path: path.to_owned(),
            count: Arc::default(),
        }
    }

    fn path(&self) -> Result<Removed, Failure> {
        std::fs::create_dir_all(&self.path).map_err(failed)?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Ok(Removed(self.path.join(format!("{number}.db"))))
    }

    /// An empty index, without an ETag.
    pub(super) async fn empty(&self, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        Copy::open(self.path()?, None, clock).await
    }

    /// Saves `body`, the object with the ETag `tag`, as a read-only copy.
    pub(super) async fn save(&self, tag: String, body: ByteStream, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        let path = self.path()?;
        let mut file = File::create(&path.0).map_err(failed)?;
        answer::read(body, |bytes| file.write_all(bytes).map_err(failed)).await?;
        drop(file);
        let copy = Copy::open(path, Some(tag), clock).await?;
        copy.freeze()?;
        Ok(copy)
    }

    /// A writable copy of `of`: a draft of the next version.
    pub(super) async fn copy(&self, of: &Copy, clock: Arc<dyn Clock>) -> Result<Copy, Failure> {
        let path = self.path()?;
        std::fs::copy(&of.path.0, &path.0).map_err(failed)?;
        Copy::open(path, None, clock).await
    }
}

impl Copy {
    async fn open(path: Removed, tag: Option<String>, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        // `open` migrates the file: an older version of the program may have written it.
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

    /// The names of the change notes that this index already includes.
    pub(super) async fn included(&self) -> Result<HashSet<String>, Failure> {
        let names = Statement::new("SELECT name FROM included", Vec::new());
        let rows = self.file.read(names).await.map_err(sql)?;
        let name = |value| match value {
            Value::Text(name) => Some(name),
            _ => None,
        };
        Ok(rows.into_iter().flatten().filter_map(name).collect())
    }

    /// Records that this index includes the note `name`, and forgets the notes that sort before `oldest`.
    pub(super) async fn include(&self, name: &str, oldest: String) -> Result<(), Failure> {
        let statement = |sql, name: &str| Statement::new(sql, vec![name.into()]);
        let batch = vec![
            statement("INSERT OR IGNORE INTO included (name) VALUES (?1)", name),
            statement("DELETE FROM included WHERE name < ?1", &oldest),
        ];
        self.file.write(batch).await.map_err(sql)
    }

    /// Shrinks the file by the space of deleted rows.
    pub(super) fn compact(&self) -> Result<(), Failure> {
        self.file.compact().map_err(sql)
    }

    /// The contents of the file.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read(&self.path.0).map_err(failed)
    }

    fn freeze(&self) -> Result<(), Failure> {
        self.file.freeze().map_err(sql)
    }

    /// Marks this draft as the published object with the ETag `tag`, and makes it read-only.
    pub(super) fn published(mut self, tag: String) -> Result<Self, Failure> {
        self.tag = Some(tag);
        self.freeze()?;
        Ok(self)
    }
}

fn sql(error: SqlError) -> Failure {
    failed(format!("{error:?}"))
}

/// A local failure, such as a full disk or a file that is not a database.
fn failed(why: impl ToString) -> Failure {
    Failure::Lasting(StoreError::Unavailable(why.to_string()))
}
