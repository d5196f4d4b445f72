//! What one process has of copies, bounded in bytes, and what it has written lately.

use std::collections::HashMap;

use souk_core::{Document, Key};

/// How much memory, in bytes.
const BYTES: usize = 1 << 20;
/// What a copy takes beside its texts, in bytes.
const ENTRY: usize = 256;
/// How many written keys are remembered one by one.
const KEYS: usize = 10_000;

/// Times are in milliseconds since 1970.
#[derive(Default)]
pub(super) struct Near {
    copies: HashMap<Key, (Document, i64)>,
    bytes: usize,
    /// Until when what was written is read from the store.
    written: HashMap<Key, i64>,
    /// Until when everything is.
    all_written: i64,
}

impl Near {
    /// Whether a copy may be older than what this process has written.
    pub(super) fn is_written(&self, key: &Key, now: i64) -> bool {
        now < self.all_written || self.written.get(key).is_some_and(|until| now < *until)
    }

    /// Until then no copies of these are to be read.
    pub(super) fn wrote(&mut self, keys: &[Key], now: i64, until: i64) {
        if self.written.len() + keys.len() > KEYS {
            self.written.retain(|_, until| now < *until);
        }
        if self.written.len() + keys.len() > KEYS {
            self.written.clear();
            self.all_written = until;
        }
        for key in keys {
            self.forget(key);
            self.written.insert(key.clone(), until);
        }
    }

    /// The copy that is kept here.
    pub(super) fn get(&self, key: &Key, now: i64) -> Option<Document> {
        let (document, until) = self.copies.get(key)?;
        (now < *until).then(|| document.clone())
    }

    /// Keeps a copy until then. Where there is no room, all others go: they would not have stayed for long.
    pub(super) fn put(&mut self, document: &Document, now: i64, until: i64) {
        self.forget(&document.key);
        let size = size(document);
        if self.bytes + size > BYTES {
            self.copies.retain(|_, (_, until)| now < *until);
            self.bytes = self.copies.values().map(|(document, _)| self::size(document)).sum();
        }
        if self.bytes + size > BYTES {
            self.copies.clear();
            self.bytes = 0;
        }
        self.bytes += size;
        self.copies.insert(document.key.clone(), (document.clone(), until));
    }

    fn forget(&mut self, key: &Key) {
        if let Some((document, _)) = self.copies.remove(key) {
            self.bytes = self.bytes.saturating_sub(size(&document));
        }
    }
}

fn size(document: &Document) -> usize {
    ENTRY + 2 * document.key.pk.len() + document.body.len() + document.counters.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(n: usize, bytes: usize) -> Document {
        Document {
            key: Key::of("category", &format!("cat_{n}")),
            version: 1,
            body: "x".repeat(bytes),
            counters: "{}".into(),
            expires_at: None,
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut near = Near::default();
        for n in 0..40_000 {
            let now = i64::try_from(n).unwrap();
            let one = document(n % 9_000, n * 7919 % 100_000);
            near.put(&one, now, now + 50);
            assert_eq!(near.get(&one.key, now), Some(one.clone()));
            assert_eq!(near.get(&one.key, now + 50), None);
            let bytes = near.copies.values().map(|(document, _)| size(document)).sum::<usize>();
            assert!(near.bytes == bytes && bytes <= BYTES, "{bytes}");
        }
    }

    #[test]
    fn what_was_written_is_not_forgotten_for_want_of_room() {
        let mut near = Near::default();
        let key = |n: usize| document(n, 0).key;
        for n in 0..3 * KEYS {
            near.put(&document(n, 0), 0, 50);
            near.wrote(&[key(n)], 0, 100);
            assert!(near.written.len() <= KEYS && near.get(&key(n), 0).is_none());
        }
        assert!((0..3 * KEYS).all(|n| near.is_written(&key(n), 99) && !near.is_written(&key(n), 100)));
        for n in 0..3 * KEYS {
            let now = i64::try_from(n).unwrap() + 200;
            near.wrote(&[key(n)], now, now + 100);
            assert!(near.written.len() <= KEYS && !near.is_written(&key(n + 1), now));
        }
    }
}
