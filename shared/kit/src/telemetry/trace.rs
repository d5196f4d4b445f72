//! Request ids and trace context (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};
use souk_core::{Clock, Random, id, random};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The request id and the trace context of a request.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// The client's `X-Request-Id` if it is valid, else a new id.
    pub(crate) request_id: String,
    /// The `traceparent` for events, messages and outbound requests of this request.
    pub(crate) parent: String,
}

impl Trace {
    pub(crate) fn trace_id(&self) -> &str {
        self.parent.get(3..35).unwrap_or("")
    }

    /// Continues the trace of the client, or starts a new one.
    pub(crate) fn of(headers: &HeaderMap, clock: &dyn Clock, source: &dyn Random) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let sent = text(REQUEST_ID).filter(|id| {
            (1..=100).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        let request_id = sent.map_or_else(|| id::new("req", clock, source), str::to_owned);
        let fresh = random::bytes::<24>(source);
        let (new_trace, new_span) = fresh.split_at(16);
        let mut parent = String::with_capacity(55);
        parent.push_str("00-");
        let sampled = match text(TRACEPARENT).and_then(parse) {
            Some((trace_id, sampled)) => {
                parent.push_str(trace_id);
                sampled
            }
            None => {
                hex(new_trace, &mut parent);
                true
            }
        };
        parent.push('-');
        hex(new_span, &mut parent);
        parent.push_str(if sampled { "-01" } else { "-00" });
        Self { request_id, parent }
    }

    /// Adds the response headers with the request id and the trace.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Ok(parent) = HeaderValue::from_str(&self.parent) {
            headers.insert(TRACEPARENT, parent);
        }
    }
}

/// Parses the trace id and the sampled flag of a `traceparent` of version 00.
fn parse(header: &str) -> Option<(&str, bool)> {
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
    valid.then_some((trace, sampled))
}

/// Appends bytes as hexadecimal digits. Their number must be a multiple of eight.
pub(crate) fn hex(bytes: &[u8], out: &mut String) {
    let digit = |n: u8| n + if n < 10 { b'0' } else { b'a' - 10 };
    for eight in bytes.as_chunks::<8>().0 {
        let text = eight.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        out.push_str(str::from_utf8(text.as_flattened()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_continued() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let span = "00f067aa0ba902b7";
        assert_eq!(parse(&format!("00-{trace}-{span}-01")), Some((trace, true)));
        assert_eq!(parse(&format!("00-{trace}-{span}-00")), Some((trace, false)));
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
        let mut text = String::from("x");
        hex(&[0, 255, 16, 9, 10, 0x9a, 0xa9, 1], &mut text);
        assert_eq!(text, "x00ff10090a9aa901");
    }
}
