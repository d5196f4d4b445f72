//! The `Outbound` port: HTTP calls to external systems.
//!
//! An adapter makes one attempt, within a deadline. It connects to public addresses only (checked when it connects,
//! after name resolution), does not follow redirects and reads a bounded response. Retries and circuit breakers are in
//! the layer above, `souk_kit::outbound`.
//!
//! **SSRF.** [`target`] parses a URL before it is stored and again before it is called; [`is_public`] checks each
//! address that its host name resolves to. The accepted grammar is narrow on purpose: every URL parser reads an
//! accepted URL the same way, so no other parser (such as that of `fetch`) finds a different host in it. Numbers that
//! only some parsers take for addresses (`0x7f.1`, `2130706433`), escapes and non-ASCII letters in the host, user names
//! and fragments are refused.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// How much of a response body is usually read, in bytes: of one that is only looked at.
pub const USUAL_REPLY: usize = 16 * 1024;
/// The longest URL that may be called, in bytes.
pub const MAX_URL: usize = 2_000;

/// A request to an external system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The method, such as `POST`.
    pub method: String,
    /// `https://…`; `http://` only for hosts that the operator allows by name.
    pub url: String,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, text.
    pub body: String,
    /// The timeout of the whole call, from name resolution to the last byte read.
    pub timeout_ms: u32,
    /// How much of the body of the response is read, in bytes. [`Reply::truncated`] says whether there was more.
    pub max_reply: usize,
}

/// A response, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Whether the body was longer.
    pub truncated: bool,
}

impl Reply {
    /// The beginning of the body, as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OutboundError {
    /// Not called: the URL, or an address that it resolves to, is not allowed.
    #[error("refused: {0}")]
    Refused(String),
    /// The call timed out.
    #[error("no answer in time")]
    TimedOut,
    /// The connection failed or broke.
    #[error("{0}")]
    Failed(String),
    /// Not called, because the circuit breaker is open: the last calls to this dependency failed.
    #[error("the circuit is open")]
    Open,
    /// Not called, because the concurrency limit for this owner is reached.
    #[error("too many calls at once")]
    Busy,
}

/// The outbound port.
#[async_trait]
pub trait Outbound: Send + Sync {
    /// Makes one call.
    async fn call(&self, call: Call) -> Result<Reply, OutboundError>;
}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host name or address, in lower case; an IPv6 address in its brackets.
    pub host: String,
    /// The address, if the host is one.
    pub address: Option<IpAddr>,
    /// The port; the scheme's default if the URL has none.
    pub port: u16,
    /// Whether the call uses TLS.
    pub https: bool,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Whether the operator allows this host and port; its addresses are then not checked.
    pub trusted: bool,
}

/// Parses a URL to be called. Accepts `https` URLs of public names or addresses, and `http` or `https` URLs of the
/// `host:port`s in `allow`; returns why it refuses others.
pub fn target(url: &str, allow: &[String]) -> Result<Target, OutboundError> {
    read(url, allow).map_err(|why| OutboundError::Refused(why.to_owned()))
}

fn read(url: &str, allow: &[String]) -> Result<Target, &'static str> {
    if url.len() > MAX_URL {
        return Err("a URL is at most 2000 characters");
    }
    let Parts {
        scheme,
        host,
        address,
        port,
        path,
    } = parts(url)?;
    let https = scheme == "https";
    if !https && scheme != "http" {
        return Err("must begin with https://");
    }
    let port = port.unwrap_or(if https { 443 } else { 80 });
    let place = format!("{host}:{port}");
    let trusted = allow.iter().any(|allowed| allowed.eq_ignore_ascii_case(&place));
    if !trusted {
        match address {
            _ if !https => return Err("must begin with https://"),
            Some(address) if !is_public(address) => return Err("the address is not a public one"),
            None if is_local(&host) => return Err("the host is not a public one"),
            _ => {}
        }
    }
    Ok(Target {
        address,
        port,
        https,
        path: if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        },
        trusted,
        host,
    })
}

/// The parts of a URL of any scheme that has a host.
pub(crate) struct Parts<'a> {
    /// In lower case.
    scheme: String,
    host: String,
    address: Option<IpAddr>,
    port: Option<u16>,
    path: &'a str,
}

/// Checks that the text has only characters that every URL parser reads the same way.
pub(crate) fn characters(text: &str) -> Result<(), &'static str> {
    const MARKS: &[u8] = b"-._~:/?[]@!$&'()*+,;=%";
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || MARKS.contains(&b)) {
        Ok(())
    } else {
        Err("a URL is plain ASCII without spaces and quotes; write other characters as %XX, names as xn--")
    }
}

/// Splits a URL without a fragment, in the narrow grammar that this module describes.
pub(crate) fn parts(url: &str) -> Result<Parts<'_>, &'static str> {
    characters(url)?;
    let (scheme, rest) = url.split_once("://").ok_or("must begin with https://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or("has no host")?;
    if authority.contains('@') {
        return Err("must not have a user name or password");
    }
    let authority = authority.to_ascii_lowercase();
    // The `]` of an IPv6 address ends the host; otherwise the first colon does.
    let end = authority
        .find(']')
        .map_or_else(|| authority.find(':'), |end| Some(end + 1));
    let (host, port) = authority
        .split_at_checked(end.unwrap_or(authority.len()))
        .ok_or("has no host")?;
    let port = match port {
        "" => None,
        port => Some(read_port(port).ok_or("the port must be a number from 1 to 65535")?),
    };
    let address = read_address(host)?;
    if address.is_none() {
        check_name(host)?;
    }
    Ok(Parts {
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        address,
        port,
        path,
    })
}

/// `:8080`
fn read_port(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':')?;
    let plain = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port > 0)
}

/// The address, if the host is one. A host whose last label looks like a number is an address or refused, never a name.
fn read_address(host: &str) -> Result<Option<IpAddr>, &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
        return address
            .map(|ip| Some(IpAddr::V6(ip)))
            .ok_or("the host is not an IPv6 address");
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        let address = host.parse().map(|ip| Some(IpAddr::V4(ip)));
        return address.map_err(|_| "write an IPv4 address as four decimal numbers");
    }
    Ok(None)
}

/// Checks that a name consists of labels of letters, digits and inner hyphens.
fn check_name(host: &str) -> Result<(), &'static str> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            // This also excludes `xn--localhost-`, which some parsers take for `localhost`.
            && !label.ends_with('-')
    };
    if host.len() <= 253 && host.split('.').all(is_label) {
        Ok(())
    } else {
        Err("the host is not a name")
    }
}

/// Whether a name only has a meaning within some network.
fn is_local(name: &str) -> bool {
    const LOCAL: [&str; 12] = [
        "alt",
        "arpa",
        "corp",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "private",
    ];
    name.rsplit_once('.').is_none_or(|(_, last)| LOCAL.contains(&last))
}

/// Ranges that are not on the public internet or serve special purposes (IANA's special-purpose registry).
const SPECIAL_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network, unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's metadata
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocols, Oracle's metadata
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 3),      // multicast, reserved, broadcast
];
/// The same for IPv6, within the global unicast addresses `2000::/3`. Outside of those, only NAT64 can be public.
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols, Teredo, ORCHID, benchmarks
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether an address is on the public internet. Addresses that embed an IPv4 address (mapped, compatible, 6to4,
/// Teredo) are not, except NAT64 of a public address, through which networks without IPv4 reach the others.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
    let in_v4 = |ip: Ipv4Addr, net: Ipv4Addr, bits: u32| (ip.to_bits() ^ net.to_bits()).leading_zeros() >= bits;
    let in_v6 = |ip: Ipv6Addr, net: Ipv6Addr, bits: u32| (ip.to_bits() ^ net.to_bits()).leading_zeros() >= bits;
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|(net, bits)| in_v4(ip, *net, *bits)),
        IpAddr::V6(ip) if in_v6(ip, NAT64, 96) => {
            let [.., a, b, c, d] = ip.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(ip) => in_v6(ip, GLOBAL, 3) && !SPECIAL_V6.iter().any(|(net, bits)| in_v6(ip, *net, *bits)),
    }
}
