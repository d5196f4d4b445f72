//! Backups of a data folder: consistent copies of its databases, with checksums, and with its keys on demand. The search index
//! and the copies of values are left out, since they are rebuilt.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::data;

/// The databases that cannot be rebuilt.
const DOCUMENTS: &str = "souk.db";
const QUEUE: &str = "queue.db";
const KEYS: &str = "keys";
/// The file with the checksums of the others.
const MANIFEST: &str = "manifest.json";

/// The checksums of the files in a backup, by name.
type Manifest = BTreeMap<String, String>;

/// Copies the folder to the new folder `to`; a server may run on it.
pub(crate) fn backup(dir: &Path, to: &Path, with_keys: bool) -> Result<String, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", to.display());
    if !data::has_market(dir) {
        return Err(format!("{} has no market", dir.display()));
    }
    fs::create_dir(to).map_err(failed)?;
    souk_sqlite::backup::copy(
        (&dir.join(DOCUMENTS), &to.join(DOCUMENTS)),
        (&dir.join(QUEUE), &to.join(QUEUE)),
    )?;
    let mut names = vec![DOCUMENTS, QUEUE];
    if with_keys {
        fs::copy(dir.join(KEYS), to.join(KEYS)).map_err(failed)?;
        names.push(KEYS);
    }
    let mut manifest = Manifest::new();
    for name in names {
        manifest.insert(name.to_owned(), checksum(&to.join(name)).map_err(failed)?);
    }
    let text = serde_json::to_string_pretty(&manifest).map_err(|e| e.to_string())?;
    data::private(&to.join(MANIFEST), &text).map_err(failed)?;
    let keys = if with_keys {
        ""
    } else {
        "; without the keys, which `--keys` adds"
    };
    Ok(format!("{} is a backup of {}{keys}", to.display(), dir.display()))
}

/// Copies a backup to the new folder `dir`.
pub(crate) fn restore(from: &Path, dir: &Path) -> Result<String, String> {
    let failed = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    let path = from.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    for (name, expected) in &manifest {
        let path = from.join(name);
        if ![DOCUMENTS, QUEUE, KEYS].contains(&name.as_str())
            || checksum(&path).map_err(|e| failed(&path, e))? != *expected
        {
            return Err(format!("{} is not what was backed up", path.display()));
        }
    }
    for name in [DOCUMENTS, QUEUE] {
        if !manifest.contains_key(name) {
            return Err(format!("{} does not list {name}", path.display()));
        }
    }
    if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()));
    }
    fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
    // The documents last: without them the folder is no market.
    let order = [KEYS, QUEUE, DOCUMENTS];
    for name in order.into_iter().filter(|name| manifest.contains_key(*name)) {
        let copy = dir.join(name);
        fs::copy(from.join(name), &copy)
            .and_then(|_| fs::File::open(&copy)?.sync_all())
            .map_err(|e| failed(&copy, e))?;
    }
    let keys = if manifest.contains_key(KEYS) {
        ""
    } else {
        "; put its file `keys` there before the start"
    };
    Ok(format!("{} is restored{keys}", dir.display()))
}

/// Checks the databases of a folder.
pub(crate) fn check(dir: &Path) -> Result<String, String> {
    if !dir.join(DOCUMENTS).exists() {
        return Err(format!("{} has no market", dir.display()));
    }
    let mut faults = Vec::new();
    for name in [DOCUMENTS, QUEUE, "search.db", "values.db", "limits.db"] {
        let path = dir.join(name);
        if path.exists() {
            faults.extend(
                souk_sqlite::backup::faults(&path)?
                    .into_iter()
                    .map(|fault| format!("{name}: {fault}")),
            );
        }
    }
    if faults.is_empty() {
        Ok(format!("{} is sound", dir.display()))
    } else {
        Err(faults.join("\n"))
    }
}

fn checksum(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut fs::File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_backup_beside_a_writer_is_whole_and_a_spoilt_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [market, copy, restored] = ["market", "copy", "restored"].map(|name| folder.path().join(name));
        let open = data::open(&market).unwrap();
        let line = |n: u32| {
            format!(
                r#"{{"slug":"lamp-{n}","title":"Lamp {n}","category":"Lamps","price":{{"amount":1,"currency":"EUR"}}}}"#
            )
        };
        let lines = folder.path().join("lines");
        fs::write(&lines, (0..200).map(line).collect::<Vec<_>>().join("\n")).unwrap();
        let context = open.context();
        let how = crate::import::How::default();
        let (report, done) = tokio::join!(crate::import::import(&context, &lines, &how), async {
            backup(&market, &copy, true)
        });
        assert_eq!(report.unwrap().left_out, 0);
        assert!(done.unwrap().ends_with(&market.display().to_string()));
        restore(&copy, &restored).unwrap();
        assert!(check(&restored).unwrap().ends_with("is sound"));
        assert_eq!(
            fs::read(market.join(KEYS)).unwrap(),
            fs::read(restored.join(KEYS)).unwrap()
        );
        assert!(restore(&copy, &restored).unwrap_err().ends_with("is not empty"));
        let again = data::open(&restored).unwrap();
        let report = crate::import::import(&again.context(), &lines, &how).await.unwrap();
        assert_eq!(report.left_out, 0, "{report}");
        drop(again);

        let spoilt = copy.join(DOCUMENTS);
        let mut bytes = fs::read(&spoilt).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&spoilt, bytes).unwrap();
        let other = folder.path().join("other");
        assert!(
            restore(&copy, &other)
                .unwrap_err()
                .ends_with("is not what was backed up")
        );
        assert!(!other.exists());
    }
}
