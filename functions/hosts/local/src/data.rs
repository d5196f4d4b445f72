//! The data folder: its databases, its keys, and the platform built from them.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use souk_core::search::NoSearch;
use souk_core::{KeyValue, Search};
use souk_kit::{Context, DocumentCache, Keys, MemoryCacheConfig, PasswordCost, Platform, Ports, Settings};
use souk_sqlite::{SqliteQueue, SystemClock, SystemRandom};

use crate::compute::Pool;

/// Limits of the response cache. Writes of other processes to the folder do not purge the cache of the server: cached
/// responses show them after the maximum age of their route, half a minute at most.
const MEMORY_CACHE: MemoryCacheConfig = MemoryCacheConfig {
    bytes: 64 << 20,
    at_most: Some((20_000, 10_000)),
    collapse: true,
};

/// An open data folder.
#[derive(Clone)]
pub(crate) struct Market {
    pub(crate) platform: Arc<Platform>,
    /// The consuming side of the queue that the platform sends to.
    pub(crate) queue: Arc<SqliteQueue>,
}

impl Market {
    /// The context of a command.
    pub(crate) fn context(&self) -> Context {
        Context::system(self.platform.clone())
    }
}

/// Opens the folder, or creates it.
pub(crate) fn open(dir: &Path) -> Result<Market, String> {
    let keys = keys(dir, false)?;
    let clock = Arc::new(SystemClock);
    let settings = Settings::from_lookup(|name| std::env::var(name).ok(), PasswordCost::SERVER)?;
    let queue = Arc::new(SqliteQueue::open(&dir.join("queue.db"), clock.clone())?);
    let documents = Arc::new(souk_sqlite::open(&dir.join("souk.db"), clock.clone())?);
    let registry = souk_market::registry();
    let cache = values(&dir.join("values.db"), clock.clone()).map(|values| {
        let kinds = registry.kinds.iter().copied();
        DocumentCache::new(documents.clone(), values, clock.clone(), kinds, settings.cache.values)
    });
    let ports = Ports {
        documents,
        queue: queue.clone(),
        search: search(&dir.join("search.db"), clock.clone()),
        outbound: Arc::new(souk_outbound::Client::new(&settings.outbound_allow)),
        principals: souk_market::principals(),
        clock,
        random: Arc::new(SystemRandom),
    };
    let mut platform = Platform::new(ports, keys, settings, registry)
        .with_assets(souk_market::assets())
        .with_compute(Pool::new());
    if let Some(cache) = cache {
        platform = platform.with_document_cache(cache);
    }
    Ok(Market {
        platform: Arc::new(platform.with_memory_cache(MEMORY_CACHE)),
        queue,
    })
}

/// The key-value store, a cache of documents: without it, documents are read from their own store.
fn values(path: &Path, clock: Arc<SystemClock>) -> Option<Arc<dyn KeyValue>> {
    match replace_if_damaged(path).and_then(|()| souk_sqlite::open_values(path, clock)) {
        Ok(values) => Some(Arc::new(values)),
        Err(why) => {
            eprintln!("the key-value store is off: {why}");
            None
        }
    }
}

/// The search index. If it cannot be opened, only search fails.
fn search(path: &Path, clock: Arc<SystemClock>) -> Arc<dyn Search> {
    match replace_if_damaged(path).and_then(|()| souk_sqlite::open_search(path, clock)) {
        Ok(index) => Arc::new(index),
        Err(why) => {
            eprintln!("search is off: {why}");
            Arc::new(NoSearch(Some(why)))
        }
    }
}

/// Renames the file if it is damaged, so that a new one replaces it.
fn replace_if_damaged(path: &Path) -> Result<(), String> {
    if souk_sqlite::set_damaged_aside(path)? {
        let path = path.display();
        eprintln!("{path} was damaged and is now {path}.damaged; restart any server that runs on it");
    }
    Ok(())
}

/// The keys of this folder, generated on first use; one per line, the signing key first.
pub(crate) fn keys(dir: &Path, rotate: bool) -> Result<Keys, String> {
    let mut folder = fs::DirBuilder::new();
    // The folder holds keys and password hashes.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder
        .recursive(true)
        .create(dir)
        .map_err(|e| format!("{}: {e}", dir.display()))?;
    let path = dir.join("keys");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut seeds = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    if seeds.is_empty() || rotate {
        seeds = format!("{}\n{seeds}", Keys::generate(&SystemRandom));
        private(&path, &seeds).map_err(failed)?;
    }
    Keys::parse(&seeds.lines().collect::<Vec<_>>().join(",")).map_err(|why| format!("{}: {why}", path.display()))
}

/// Writes a file that only its owner can read, atomically.
pub(crate) fn private(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

/// A progress bar, shown on a terminal only.
pub(crate) fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A counter without a known total, shown on a terminal only.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}: {pos} messages, {per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style).with_message(what)
}
