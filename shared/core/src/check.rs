//! Validation rules shared by the fields of many kinds, for `#[garde(custom(…))]`, and slugs made from titles.

use crate::outbound;
use crate::search::words;
use garde::Result;
use serde::{Deserialize, Serialize};

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as a path such as `price.amount` or `tags[2]`, or the name of a parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// A fault of `field`, with its reason.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            detail: detail.into(),
        }
    }
}

/// The longest slug, in bytes.
pub const MAX_SLUG: usize = 80;

fn length(text: &str, min: usize, max: usize) -> Result {
    let count = text.chars().count();
    if count < min && min == 1 {
        Err(garde::Error::new("is required"))
    } else if count < min || count > max {
        Err(garde::Error::new(format!("must have {min} to {max} characters")))
    } else {
        Ok(())
    }
}

/// One line of text: not blank, `min` to `max` characters, all of them visible or joining visible ones, so that it can be
/// shown beside other text.
pub fn line<C>(min: usize, max: usize) -> impl Fn(&String, &C) -> Result {
    move |text, _| {
        length(text.trim(), min, max)?;
        if text.chars().any(char::is_control) {
            return Err(garde::Error::new("must be one line without control characters"));
        }
        if text.chars().any(is_unseen) {
            return Err(garde::Error::new(
                "must not have invisible characters or marks of direction",
            ));
        }
        if min > 0 && text.chars().all(|c| c.is_whitespace() || is_joiner(c)) {
            return Err(garde::Error::new("is required"));
        }
        Ok(())
    }
}

/// Whether a character is invisible or changes the direction of other text, so that two different texts look the same.
/// Joiners, which Persian, Indic scripts and emoji need, are not among them.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// Joiners and selectors of variants, which show only together with other characters.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Text of several lines, `min` to `max` characters.
pub fn text<C>(min: usize, max: usize) -> impl Fn(&String, &C) -> Result {
    move |text, _| {
        length(text, min, max)?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(garde::Error::new("must not have control characters"));
        }
        Ok(())
    }
}

/// Words of lower-case letters and digits, separated by single hyphens.
pub fn slug<T: AsRef<str>, C>(slug: &T, _: &C) -> Result {
    let slug = slug.as_ref();
    let words = slug
        .split('-')
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if words && slug.len() <= MAX_SLUG {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be lower-case letters and digits with single hyphens, at most 80 in all",
        ))
    }
}

/// The address of something on the web.
pub fn url<T: AsRef<str>, C>(url: &T, _: &C) -> Result {
    address(
        url.as_ref(),
        &["http", "https"],
        "must be an http or https URL of at most 1000 characters",
    )
}

/// The address of a page that people go to by themselves; it may be an old one.
pub fn link<T: AsRef<str>, C>(url: &T, _: &C) -> Result {
    address(
        url.as_ref(),
        &["http", "https", "ftp"],
        "must be an http, https or ftp URL of at most 1000 characters",
    )
}

/// The grammar is that of [`crate::outbound`], and a fragment; without quotes, so that it can be shown as an attribute.
fn address(url: &str, schemes: &[&str], rule: &str) -> Result {
    let has_scheme = |(scheme, _): &(&str, &str)| schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if url.len() > 1000 || !url.split_once("://").as_ref().is_some_and(has_scheme) {
        return Err(garde::Error::new(rule));
    }
    let (whole, fragment) = url.split_once('#').unwrap_or((url, ""));
    if url.contains('\'') || fragment.contains('#') {
        return Err(garde::Error::new("must not have quotes; write them as %27"));
    }
    outbound::parts(whole)
        .and_then(|_| outbound::characters(fragment))
        .map_err(garde::Error::new)
}

/// A slug made from the words of a title that can be written in ASCII, cut at a word. Where there are none it is `fallback`,
/// with a digest of the words if there are others.
#[must_use]
pub fn slugify(title: &str, fallback: &str) -> String {
    // Room for the suffix that makes it unique.
    const ROOM: usize = MAX_SLUG - 10;
    let mut slug = String::new();
    let mut others = String::new();
    for word in words(title).map(|word| word.plain) {
        if !word.is_ascii() {
            others.push_str(&word);
        } else if slug.len() + word.len() < ROOM {
            if !slug.is_empty() {
                slug.push('-');
            }
            slug.push_str(&word);
        } else {
            break;
        }
    }
    match (slug.is_empty(), others.is_empty()) {
        (false, _) => slug,
        (true, true) => fallback.to_owned(),
        (true, false) => {
            let digest = xxhash_rust::xxh3::xxh3_64(others.as_bytes()) >> 32;
            format!("{fallback}-{digest:08x}").trim_start_matches('-').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_come_from_any_title() {
        for (title, expected) in [
            ("Brass Lamp", "brass-lamp"),
            ("  Çay & Şeker!  ", "cay-seker"),
            ("灯", "product-ff1a5b78"),
            ("Лампа 灯 2", "lampa-2"),
            ("***", "product"),
            ("", "product"),
        ] {
            assert_eq!(slugify(title, "product"), expected, "{title}");
        }
        let long = slugify(&"word ".repeat(100), "product");
        assert!(long.len() <= 70 && slug(&long, &()).is_ok());
        assert_eq!(slugify(&"x".repeat(500), "product"), "x".repeat(40));
    }

    #[test]
    fn rules_refuse_what_they_should() {
        for bad in ["", "-", "a-", "-a", "a--b", "A", "a_b", "ä", &"a".repeat(81)] {
            assert!(slug(&bad.to_owned(), &()).is_err(), "{bad}");
        }
        for bad in [
            "",
            "ftp://a.example",
            "javascript:alert(1)",
            "http://",
            "//a.example",
            "https://a b",
            "https://a.example/\"onload=x",
            "https://a.example/'",
            "https://a.example/#\"",
            "https://a.example/<b>",
            "https://me@a.example/",
            "https://a.example:65536/",
            "https://a.example/\u{202e}",
            "https://a.example/ä",
        ] {
            assert!(url(&bad.to_owned(), &()).is_err(), "{bad}");
        }
        for good in [
            "https://a.example/b?c=d",
            "http://127.0.0.1:80/a",
            "HTTPS://A.example/a%20b#c",
            "http://intranet/a",
        ] {
            assert!(url(&good.to_owned(), &()).is_ok(), "{good}");
        }
        for bad in [
            "\u{200b}",
            "a\u{202e}b",
            "\u{3164}",
            "\u{200d}",
            " \u{fe0f} ",
            "a\u{ad}b",
        ] {
            assert!(line::<()>(1, 9)(&bad.to_owned(), &()).is_err(), "{bad:?}");
        }
        for good in [
            "葛\u{e0100}城",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            "❤\u{fe0f}",
            "क\u{94d}\u{200d}ष",
            "灯",
        ] {
            assert!(line::<()>(1, 9)(&good.to_owned(), &()).is_ok(), "{good:?}");
        }
        assert!(link(&"ftp://a.example/b".to_owned(), &()).is_ok() && link(&"file:///a", &()).is_err());
        assert!(line::<()>(1, 5)(&" \t ".to_owned(), &()).is_err());
        assert!(line::<()>(1, 5)(&"a\nb".to_owned(), &()).is_err());
        assert!(text::<()>(0, 5)(&"a\nb".to_owned(), &()).is_ok());
        assert!(text::<()>(0, 5)(&"a\u{0}b".to_owned(), &()).is_err());
    }
}
