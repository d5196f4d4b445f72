//! The data folder: its databases, its keys, and the platform built from them.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use souk_core::search::NoSearch;
use souk_core::{KeyValue, Mail, Outbound, Search, random};
use souk_kit::platform::{MailSettings, is_loopback};
use souk_kit::{Context, DocumentCache, Keys, MemoryCacheConfig, PasswordCost, Platform, Ports, Settings};
use souk_mail::{HttpApi, Smtp};
use souk_sqlite::{SqliteQueue, SqliteRateLimit, SystemClock, SystemRandom};

use crate::compute::Pool;

/// Limits of the response cache. Writes of other processes to the folder do not purge the cache of the server: cached
/// responses show them after the maximum age of their route, half a minute at most.
const MEMORY_CACHE: MemoryCacheConfig = MemoryCacheConfig {
    bytes: 64 << 20,
    at_most: Some((20_000, 10_000)),
    collapse: true,
};

/// The file with the signing keys.
const KEYS: &str = "keys";

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

/// Opens the folder, or creates it, with the settings of the environment.
pub(crate) fn open(dir: &Path) -> Result<Market, String> {
    open_with(dir, true, |name| std::env::var(name).ok())
}

/// Opens the folder, or creates it, with these settings. Only clients `is_local` to this machine may see mails that nobody sends.
pub(crate) fn open_with(
    dir: &Path,
    is_local: bool,
    setting: impl Fn(&str) -> Option<String>,
) -> Result<Market, String> {
    let keys = keys(dir, false)?;
    let clock = Arc::new(SystemClock);
    let mut settings = Settings::from_lookup(setting, PasswordCost::SERVER)?;
    settings.keeps_mail &= is_local;
    let queue = Arc::new(SqliteQueue::open(&dir.join("queue.db"), clock.clone())?);
    let documents = Arc::new(souk_sqlite::open(&dir.join("souk.db"), clock.clone())?);
    let registry = souk_market::registry();
    let cache = values(&dir.join("values.db"), clock.clone()).map(|values| {
        let kinds = registry.kinds.iter().copied();
        DocumentCache::new(documents.clone(), values, clock.clone(), kinds, settings.cache.values)
    });
    let outbound: Arc<dyn Outbound> = Arc::new(souk_outbound::Client::new(&settings.outbound_allow));
    let mail = mail(settings.mail.as_ref(), &outbound)?;
    let ports = Ports {
        documents,
        queue: queue.clone(),
        search: search(&dir.join("search.db"), clock.clone()),
        outbound,
        principals: souk_market::principals(),
        clock: clock.clone(),
        random: Arc::new(SystemRandom),
    };
    let mut platform = Platform::new(ports, keys, settings, registry)
        .with_assets(souk_market::assets())
        .with_compute(Pool::new())
        .with_mail(mail);
    if let Some(cells) = limits(&dir.join("limits.db"), clock) {
        platform = platform.with_rate_limit(cells);
    }
    if let Some(cache) = cache {
        platform = platform.with_document_cache(cache);
    }
    Ok(Market {
        platform: Arc::new(platform.with_memory_cache(MEMORY_CACHE)),
        queue,
    })
}

/// Who sends mails.
fn mail(settings: Option<&MailSettings>, outbound: &Arc<dyn Outbound>) -> Result<Option<Arc<dyn Mail>>, String> {
    let Some(MailSettings { url, key, from }) = settings else {
        return Ok(None);
    };
    if url.starts_with("http") {
        return Ok(Some(Arc::new(HttpApi::new(
            outbound.clone(),
            url,
            key.as_deref(),
            from,
        ))));
    }
    if !url.starts_with("smtp") {
        return Err("SOUK_MAIL_URL: must begin with smtp://, smtps:// or https:// on this host".into());
    }
    let host: Option<http::Uri> = url.parse().ok();
    let is_local = host.is_some_and(|uri| uri.host().is_some_and(is_loopback));
    Ok(Some(Arc::new(Smtp::new(url, from, is_local)?)))
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

/// The counts of limits. Without the file this process counts in its memory.
fn limits(path: &Path, clock: Arc<SystemClock>) -> Option<SqliteRateLimit> {
    match replace_if_damaged(path).and_then(|()| SqliteRateLimit::open(path, clock)) {
        Ok(cells) => Some(cells),
        Err(why) => {
            eprintln!("limits are counted in memory: {why}");
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

/// Whether there is a market in this folder.
pub(crate) fn has_market(dir: &Path) -> bool {
    dir.join("souk.db").exists()
}

/// Opens the folder of an existing market.
pub(crate) fn open_existing(dir: &Path) -> Result<Market, String> {
    if !has_market(dir) {
        return Err(format!("{} has no market", dir.display()));
    }
    open(dir)
}

/// The keys of this folder, generated on first use; one per line, the signing key first.
pub(crate) fn keys(dir: &Path, rotate: bool) -> Result<Keys, String> {
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    make_private(dir)?;
    let path = dir.join(KEYS);
    if !path.exists() {
        if has_market(dir) {
            return Err(format!(
                "{} is missing: put it back from a backup. Without it nobody stays signed in and stored secrets cannot be \
                 read; to go on regardless, put a key from `souk keys --generate` there",
                path.display()
            ));
        }
        match create(&path, &format!("{}\n", Keys::generate(&SystemRandom))) {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => result.map_err(|e| failed(&path, e))?,
        }
    }
    let mut seeds = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
    if rotate {
        seeds = format!("{}\n{seeds}", Keys::generate(&SystemRandom));
        private(&path, &seeds).map_err(|e| failed(&path, e))?;
    }
    Keys::parse(&seeds.lines().collect::<Vec<_>>().join(",")).map_err(|why| format!("{}: {why}", path.display()))
}

/// Takes the rights of others on the files in the folder, which hold keys, password hashes and personal data. New files are
/// private anyway, because of the umask that the program starts with.
#[cfg(unix)]
fn make_private(dir: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_own = |name: &str| {
        let databases = ["souk.db", "queue.db", "search.db", "values.db", "limits.db"];
        [KEYS, "demo-password"].contains(&name) || databases.iter().any(|database| name.starts_with(database))
    };
    let tighten = |path: &Path| -> std::io::Result<()> {
        let permissions = fs::metadata(path)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(permissions.mode() & 0o700))?;
        }
        Ok(())
    };
    let tighten = || {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_own) {
                match tighten(&entry.path()) {
                    // A database that another process closes.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    result => result?,
                }
            }
        }
        Ok(())
    };
    tighten().map_err(|e: std::io::Error| format!("{}: its files cannot be made private: {e}", dir.display()))
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> Result<(), String> {
    Ok(())
}

/// The lock of the server that runs on a folder. It ends with its process.
pub(crate) struct ServerLock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] fs::File);

/// Locks the folder for a server. Commands run beside it.
pub(crate) fn lock(dir: &Path) -> Result<ServerLock, String> {
    let path = dir.join("server.lock");
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    fs::create_dir_all(dir).map_err(failed)?;
    let file = fs::File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(ServerLock(file)),
        Err(fs::TryLockError::WouldBlock) => Err(format!("another server runs on {}", dir.display())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Creates a file with this text, whole or not at all; fails if it exists.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = write_beside(path, text)?;
    let linked = match fs::hard_link(&fresh, path) {
        // Some file systems have no links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => write_new(path, text),
        result => result,
    };
    fs::remove_file(&fresh)?;
    linked.and_then(|()| sync_folder(path))
}

/// Writes or replaces a file, whole or not at all.
pub(crate) fn private(path: &Path, text: &str) -> std::io::Result<()> {
    fs::rename(write_beside(path, text)?, path)?;
    sync_folder(path)
}

/// Writes the text to a new file beside `path`, and to the disk.
fn write_beside(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    let fresh = path.with_extension(format!("{:08x}", u32::from_le_bytes(random::bytes(&SystemRandom))));
    match write_new(&fresh, text) {
        Ok(()) => Ok(fresh),
        Err(error) => {
            let _ = fs::remove_file(&fresh);
            Err(error)
        }
    }
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
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
