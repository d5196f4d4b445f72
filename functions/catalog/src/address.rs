//! Old addresses: URLs that pages had in the shop that products come from.
//!
//! An address is known by its [normal form](normal_address), whose digest is in the key of its document.

use std::borrow::Cow;

use garde::Validate;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use souk_core::{Fault, Key, Kind};
use souk_model::catalog::{CATEGORY, PRODUCT};

/// The longest address in its normal form, in bytes.
const MAX_ADDRESS: usize = 2000;
/// The parameters that only say where a visitor comes from, beside those that begin with `utm_`.
const TRACKING: [&str; 3] = ["fbclid", "gclid", "msclkid"];
/// The characters that are percent-encoded in the normal form.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b',')
    .remove(b':');

/// An old address and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Validate, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OldAddress {
    /// The URL, or its path and query. In responses it is the path and query, percent-encoded, without what makes no difference.
    #[garde(custom(is_address))]
    #[schema(min_length = 2, max_length = 2000, example = "/products/red-shirt")]
    pub address: String,
    /// The id of the product or category that it leads to.
    #[garde(custom(is_target))]
    #[schema(pattern = "^(prd|cat)_[0-9a-f]{32}$")]
    pub leads_to: String,
}

fn is_address<C>(address: &str, _: &C) -> garde::Result {
    match normal_address(address) {
        Some(_) => Ok(()),
        None => {
            Err(Fault::format("must be a path or a URL with one, of at most 2000 bytes, and not of this API").into())
        }
    }
}

fn is_target<C>(id: &str, _: &C) -> garde::Result {
    match target_kind(id) {
        Some(_) => Ok(()),
        None => Err(Fault::format("must be the id of a product or category").into()),
    }
}

/// The kind of what an old address may lead to.
pub(crate) fn target_kind(id: &str) -> Option<Kind> {
    [PRODUCT, CATEGORY].into_iter().find(|kind| kind.is_id(id))
}

/// The key of the document of an address in its normal form.
pub(crate) fn address_key(normal: &str) -> Key {
    Key::of("old-address", &format!("{:x}", Sha256::digest(normal)))
}

/// The normal form of an address: its path and sorted query, percent-encoded in one way. The host and the fragment, slashes at
/// the end of the path and parameters for tracking make no difference. `None` if it has no path of its own, is too long, or is
/// below `/v1/`, which is the API.
#[must_use]
pub fn normal_address(address: &str) -> Option<String> {
    let address = address.trim();
    let address = address.split_once('#').map_or(address, |(before, _)| before);
    let target = match address.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) => {
            rest.get(rest.find('/')?..)?
        }
        _ => address,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // Old shops had other encodings than UTF-8 too.
    let path: Vec<u8> = percent_decode_str(path).collect();
    let path = percent_encode(&path, ENCODED).to_string();
    let mut normal = path.trim_end_matches('/').to_owned();
    if !normal.starts_with('/') || normal == "/v1" || normal.starts_with("/v1/") {
        return None;
    }
    let is_tracking = |name: &str| name.starts_with("utm_") || TRACKING.contains(&name);
    let mut pairs: Vec<(Cow<str>, Cow<str>)> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| !is_tracking(name))
        .collect();
    pairs.sort_unstable();
    for (n, (name, value)) in pairs.iter().enumerate() {
        normal.push(if n == 0 { '?' } else { '&' });
        normal.extend(utf8_percent_encode(name, ENCODED));
        normal.push('=');
        normal.extend(utf8_percent_encode(value, ENCODED));
    }
    (normal.len() <= MAX_ADDRESS).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_the_same_are_the_same() {
        for (address, normal) in [
            ("/products/red-shirt", "/products/red-shirt"),
            ("/products/red-shirt/", "/products/red-shirt"),
            ("/products/red-shirt//?", "/products/red-shirt"),
            (" https://old.example/products/red-shirt#sizes ", "/products/red-shirt"),
            ("HTTP://old.example:8080/a?id=7#top", "/a?id=7"),
            ("//old.example/a", "//old.example/a"),
            // The case counts, as it did for the old shop.
            ("/Products/Red", "/Products/Red"),
            ("/products/red shirt", "/products/red%20shirt"),
            ("/products/red%20shirt", "/products/red%20shirt"),
            ("/produkte/m%c3%bctze", "/produkte/m%C3%BCtze"),
            ("/produkte/mütze", "/produkte/m%C3%BCtze"),
            ("/produkte/m%fctze", "/produkte/m%FCtze"),
            ("/%70roducts/a+b", "/products/a%2Bb"),
            ("/100%/a%3Fid=7", "/100%25/a%3Fid%3D7"),
            ("/a/../b/./c", "/a/../b/./c"),
            ("/index.php?id=7", "/index.php?id=7"),
            ("/index.php?id=7&", "/index.php?id=7"),
            (
                "/index.php/?route=product/product&product_id=7",
                "/index.php?product_id=7&route=product/product",
            ),
            ("/index.php?utm_source=x&id=7&gclid=1&utm_x", "/index.php?id=7"),
            ("/a?utm_source=x", "/a"),
            ("/a?b=c+d&b=%26", "/a?b=%26&b=c%20d"),
            ("/a?7", "/a?7="),
            ("/a?u=https://x.example/?y#z", "/a?u=https://x.example/%3Fy"),
            ("/v1x/a", "/v1x/a"),
        ] {
            assert_eq!(normal_address(address).as_deref(), Some(normal), "{address}");
            // So what is shown can be sent again.
            assert_eq!(normal_address(normal).as_deref(), Some(normal), "{address}");
        }
        let longest = format!("/{}", "a".repeat(MAX_ADDRESS - 1));
        assert_eq!(normal_address(&longest), Some(longest.clone()));
        for none in [
            "",
            "/",
            "//",
            "/?p=7",
            "red-shirt",
            "?id=7",
            "https://old.example",
            "https://old.example?id=7",
            "ftp://old.example/a",
            "/v1",
            "/v1/",
            "/v1/products/a",
            "/%76%31/products",
            "https://old.example/v1/a",
            &format!("{longest}a"),
        ] {
            assert_eq!(normal_address(none), None, "{none}");
        }
    }

    #[test]
    fn a_stored_address_is_found_and_read_for_ever() {
        // As `printf /products/red-shirt | sha256sum` says.
        let digest = "547a99f2bfe5cf57576b4559741ea580de8f552644d56c92a0ba060fd9ed57fe";
        assert_eq!(address_key("/products/red-shirt"), Key::of("old-address", digest));
        let stored = r#"{"address":"/a?id=7","leads_to":"prd_0123456789abcdef0123456789abcdef"}"#;
        let read: OldAddress = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
        assert!(read.validate().is_ok());
    }
}
