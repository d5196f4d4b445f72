//! What names a request: its id, and its place in a distributed trace (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};
use souk_core::{Clock, Random, id, random};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request's names.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The client's `X-Request-Id` if it sent a sensible one, else ours.
    pub(crate) request_id: String,
    pub(crate) trace_id: String,
    span_id: String,
    sampled: bool,
}

/// The `traceparent` of what this request causes; in the extensions of every request that may write.
#[derive(Clone, Debug)]
pub(crate) struct Parent(pub(crate) String);

impl Trace {
    /// What names this request as the parent of what it causes.
    pub(crate) fn parent(&self) -> String {
        let mut parent = String::with_capacity(55);
        for part in [
            "00-",
            &self.trace_id,
            "-",
            &self.span_id,
            if self.sampled { "-01" } else { "-00" },
        ] {
            parent.push_str(part);
        }
        parent
    }

    /// Goes on with the caller's trace or begins a new one.
    pub(crate) fn of(headers: &HeaderMap, clock: &dyn Clock, source: &dyn Random) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let sent = text(REQUEST_ID).filter(|id| {
            (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        let request_id = sent.map_or_else(|| id::new("req", clock, source), str::to_owned);
        let fresh = random::bytes::<24>(source);
        let (new_trace, new_span) = fresh.split_at(16);
        let (trace_id, sampled) = text(TRACEPARENT)
            .and_then(parse)
            .unwrap_or_else(|| (hex(new_trace), true));
        Self {
            request_id,
            trace_id,
            span_id: hex(new_span),
            sampled,
        }
    }

    /// The headers that tell the client.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Ok(parent) = HeaderValue::try_from(self.parent()) {
            headers.insert(TRACEPARENT, parent);
        }
    }
}

/// The trace id and the sampled flag of a `traceparent` of version 00.
fn parse(header: &str) -> Option<(String, bool)> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let valid = version == "00"
        && parts.next().is_none()
        && is_hex(trace, 32)
        && !zero(trace)
        && is_hex(span, 16)
        && !zero(span)
        && is_hex(flags, 2);
    let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
    valid.then(|| (trace.to_owned(), sampled))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS.get(usize::from(n & 15)).copied().unwrap_or(b'0'));
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(*byte));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_continued() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        assert_eq!(parse(&format!("00-{trace}-{span}-01")), Some((trace.into(), true)));
        assert_eq!(parse(&format!("00-{trace}-{span}-00")), Some((trace.into(), false)));
        for bad in [
            String::new(),
            "00".into(),
            format!("01-{trace}-{span}-01"),
            format!("00-{trace}-{span}-01-x"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
