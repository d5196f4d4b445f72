//! Ids: a UUIDv7 after a prefix that tells the kind, such as `prd_0192f0c1d5a87c3e9b1f6a2d4e8c7b5a`.
//!
//! Ids sort by creation time, and a log shows what they identify. A slug never contains a `_`, so a path segment is
//! either an id or a slug, never both.

use crate::{Clock, Random, Timestamp, random};

/// The length of the part after the `_`.
const HEX: usize = 32;

/// A new id with this prefix, from the clock and 10 random bytes.
pub fn new(prefix: &str, clock: &dyn Clock, source: &dyn Random) -> String {
    at(prefix, clock.now(), source)
}

/// A new id of something created at `time`.
pub fn at(prefix: &str, time: Timestamp, source: &dyn Random) -> String {
    let millis = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random::bytes(source)).into_uuid();
    let mut id = String::with_capacity(prefix.len() + 1 + HEX);
    id.push_str(prefix);
    id.push('_');
    // Every request makes an id, so this avoids the formatting machinery.
    id.push_str(uuid.simple().encode_lower(&mut [0; HEX]));
    id
}

/// Whether `text` has the form of an id with this prefix.
#[must_use]
pub fn is(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|hex| hex.len() == HEX && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(i64);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0).unwrap()
        }
    }
    struct Fill(u8);
    impl Random for Fill {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn ids_sort_by_time_and_match_their_prefix() {
        let early = new("prd", &At(1_700_000_000_000), &Fill(255));
        let late = new("prd", &At(1_700_000_000_001), &Fill(0));
        assert!(early < late);
        assert!(is("prd", &early) && !is("vnd", &early));
        for bad in [
            "",
            "prd",
            "prd_",
            "prd_xyz",
            "prd-1",
            "a-slug",
            &early.to_uppercase(),
            &format!("{early}0"),
        ] {
            assert!(!is("prd", bad), "{bad}");
        }
    }
}
