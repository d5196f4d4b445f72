//! Which documents are copied, where their copies are, and how they are written.

use souk_core::kind::{CATEGORY, VENDOR};
use souk_core::{Document, Key};

/// How long the partition of what is copied may be, in bytes; with its prefix a key for every `KeyValue`.
const MAX_PARTITION: usize = 400;

/// Whether there are copies of what is at this key: things that all may see, the claims on their names, and settings.
pub(super) fn is_copied(key: &Key) -> bool {
    let Some((kind, _)) = key.pk.split_once('/') else {
        return false;
    };
    let kind = kind.strip_suffix("-named").unwrap_or(kind);
    let listed = kind == CATEGORY.name || kind == VENDOR.name || key.pk == "settings/search";
    listed && key.sk.is_empty() && key.pk.len() <= MAX_PARTITION
}

/// Where the copy is. Another format needs another place.
pub(super) fn place(key: &Key) -> String {
    format!("copy/{}", key.pk)
}

/// The copy of a document that was read at that millisecond: a line with that and all else that is not its body, and its body.
pub(super) fn written(document: &Document, read_at: i64) -> Option<String> {
    let Document {
        version,
        counters,
        body,
        ..
    } = document;
    (!counters.contains('\n')).then(|| format!("{read_at} {version} {counters}\n{body}"))
}

/// The document that this is a copy of, and when it was read.
pub(super) fn read(key: &Key, text: &str) -> Option<(Document, i64)> {
    let (line, body) = text.split_once('\n')?;
    let mut parts = line.splitn(3, ' ');
    let read_at = parts.next()?.parse().ok()?;
    let document = Document {
        key: key.clone(),
        version: parts.next()?.parse().ok()?,
        body: body.to_owned(),
        counters: parts.next()?.to_owned(),
        expires_at: None,
    };
    Some((document, read_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_format_is_pinned() {
        let key = CATEGORY.name_key("lamps");
        let document = Document {
            key: key.clone(),
            version: 7,
            body: "{\n \"id\": \"cat_1\", \"ü\": 1.0}\n".into(),
            counters: r#"{"views": 3}"#.into(),
            expires_at: None,
        };
        let text = written(&document, 1_790_000_000_123).unwrap();
        assert_eq!(
            (place(&key).as_str(), text.as_str()),
            (
                "copy/category-named/lamps",
                "1790000000123 7 {\"views\": 3}\n{\n \"id\": \"cat_1\", \"ü\": 1.0}\n"
            )
        );
        assert_eq!(read(&key, &text), Some((document, 1_790_000_000_123)));
        for other in ["", "x", "1 2 {}", "1 2\n{}", "x 2 {}\n{}", "1 -2 {}\n{}"] {
            assert_eq!(read(&key, other), None, "{other}");
        }
    }

    #[test]
    fn only_what_all_may_see_is_copied() {
        for (key, copied) in [
            (CATEGORY.key("cat_1"), true),
            (CATEGORY.name_key("lamps"), true),
            (VENDOR.key("vnd_1"), true),
            (VENDOR.name_key("shop"), true),
            (Key::of("settings", "search"), true),
            (Key::new("category/cat_1", "x"), false),
            (Key::of("category", &"x".repeat(MAX_PARTITION)), false),
            (Key::of("category-named-named", "x"), false),
            (Key::of("settings", "other"), false),
            (Key::of("settings-named", "search"), false),
            (Key::new("category", ""), false),
            (Key::of("product", "prd_1"), false),
            (Key::of("account", "acc_1"), false),
            (Key::of("sessions", "acc_1"), false),
            (Key::of("password", "acc_1"), false),
            (Key::of("webhook-secret", "whk_1"), false),
        ] {
            assert_eq!(is_copied(&key), copied, "{key:?}");
        }
    }
}
