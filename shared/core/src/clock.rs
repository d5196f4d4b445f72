//! The `Clock` port: the only source of the current time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in UTC. Written as RFC 3339 with three decimals (`2026-01-31T12:00:00.000Z`), so that all have the same
/// length and sort as text; read with any number of decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The beginning of 1970.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The time so many seconds after the beginning of 1970; fails beyond the year 9999.
    pub fn from_second(second: i64) -> Result<Self, jiff::Error> {
        jiff::Timestamp::from_second(second).map(Self)
    }

    /// The time so many milliseconds after the beginning of 1970; fails beyond the year 9999.
    pub fn from_millisecond(millisecond: i64) -> Result<Self, jiff::Error> {
        jiff::Timestamp::from_millisecond(millisecond).map(Self)
    }

    /// Whole seconds since the beginning of 1970.
    #[must_use]
    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }

    /// Whole milliseconds since the beginning of 1970.
    #[must_use]
    pub fn as_millisecond(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Whole microseconds since the beginning of 1970.
    #[must_use]
    pub fn as_microsecond(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The moment as HTTP headers have it (RFC 9110), such as `Fri, 01 Dec 2028 00:00:00 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        self.0.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        Self(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(deserializer).map(Self)
    }
}

/// The host's clock. Tests pass a clock that they set.
pub trait Clock: Send + Sync {
    /// The current time, to the millisecond at least.
    fn now(&self) -> Timestamp;
}

/// `base` moved by `seconds`; what cannot be told apart from never is a hundred years from `base`.
#[must_use]
pub fn after(base: Timestamp, seconds: i64) -> Timestamp {
    let moved = base.as_millisecond().saturating_add(seconds.saturating_mul(1000));
    let century = base.as_millisecond().saturating_add(100 * 365 * 86_400_000);
    Timestamp::from_millisecond(moved.min(century)).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_three_decimals_and_read_with_any() {
        for (read, written) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
            ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.500Z"),
            ("2026-01-31T12:00:00.123Z", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31T12:00:00.123999999Z", "2026-01-31T12:00:00.123Z"),
            ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000Z"),
        ] {
            let time: Timestamp = serde_json::from_str(&format!("{read:?}")).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), format!("{written:?}"));
            assert_eq!(
                (read.parse::<Timestamp>().unwrap(), time.to_string()),
                (time, written.into())
            );
        }
    }
}
