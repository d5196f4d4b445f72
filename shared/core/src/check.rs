//! Validation rules shared by the fields of many kinds, for `#[garde(custom(…))]`, and slugs made from titles.

use std::collections::BTreeMap;

use crate::search::text::fold;
use crate::{Fault, outbound};
use garde::Result;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The longest slug, in bytes.
pub const MAX_SLUG: usize = 80;

fn length(text: &str, min: usize, max: usize) -> Result {
    let count = text.chars().count();
    if count < min && min == 1 {
        Err(Fault::required().into())
    } else if count < min {
        Err(Fault::too_short(min).into())
    } else if count > max {
        Err(Fault::too_long(max).into())
    } else {
        Ok(())
    }
}

/// A text of `min` to `max` characters, whichever they are.
pub fn characters<C>(min: usize, max: usize) -> impl Fn(&String, &C) -> Result {
    move |text, _| length(text, min, max)
}

/// A list of `min` to `max` entries.
pub fn entries<T, C>(min: usize, max: usize) -> impl Fn(&Vec<T>, &C) -> Result {
    move |list, _| match list.len() {
        0 if min == 1 => Err(Fault::required().into()),
        count if count < min => Err(Fault::too_few(min).into()),
        count if count > max => Err(Fault::too_many(max).into()),
        _ => Ok(()),
    }
}

/// A number from `min` to `max`.
pub fn range<T, C>(min: T, max: T) -> impl Fn(&T, &C) -> Result
where
    T: PartialOrd + Copy + std::fmt::Display + Into<serde_json::Value>,
{
    move |number, _| {
        if (min..=max).contains(number) {
            Ok(())
        } else {
            Err(Fault::out_of_range(min, max).into())
        }
    }
}

/// One line of text: not blank, `min` to `max` characters, all of them visible or joining visible ones, so that it can be
/// shown beside other text.
pub fn line<C>(min: usize, max: usize) -> impl Fn(&String, &C) -> Result {
    move |text, _| {
        length(text.trim(), min, max)?;
        if text.chars().any(char::is_control) {
            return Err(Fault::format("must be one line without control characters").into());
        }
        if text.chars().any(is_unseen) {
            return Err(Fault::format("must not have invisible characters or marks of direction").into());
        }
        if min > 0 && shows_nothing(text) {
            return Err(Fault::required().into());
        }
        Ok(())
    }
}

/// The form in which lines are kept: composed (NFC), without blanks at the ends, and with single blanks in between. So what is
/// checked is what is kept, and two lines that look the same are the same.
#[must_use]
pub fn normal_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let is_blank = |c: char| c.is_whitespace() && !c.is_control() && !is_unseen(c);
    for c in text.trim_matches(is_blank).nfc() {
        if !is_blank(c) {
            line.push(c);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

/// Reads a line in its [normal form](normal_line); for `#[serde(deserialize_with = …)]`, as are the next four.
pub fn one_line<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<String, D::Error> {
    Ok(normal_line(&String::deserialize(from)?))
}

/// Reads an optional line.
pub fn optional_line<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.as_deref().map(normal_line))
}

/// Reads lines.
pub fn lines<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    Ok(texts.iter().map(|text| normal_line(text)).collect())
}

/// Reads lines by name.
pub fn named_lines<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<BTreeMap<String, String>, D::Error> {
    let mut lines = BTreeMap::<String, String>::deserialize(from)?;
    for line in lines.values_mut() {
        *line = normal_line(line);
    }
    Ok(lines)
}

/// Reads values by name, whose texts are lines; null and blank ones are left out.
pub fn values<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Map<String, Value>, D::Error> {
    let mut values = Map::deserialize(from)?;
    for value in values.values_mut() {
        if let Value::String(text) = value {
            *text = normal_line(text);
        }
    }
    values.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    Ok(values)
}

/// Whether there is nothing to see: only blanks, marks without a letter, and invisible characters.
fn shows_nothing(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_whitespace() || is_joiner(c) || is_combining_mark(c) || is_unseen(c))
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
            return Err(Fault::format("must not have control characters").into());
        }
        if min > 0 && shows_nothing(text) {
            return Err(Fault::required().into());
        }
        Ok(())
    }
}

/// Words of lower-case letters and digits, separated by single hyphens, as [`slugify`] writes them.
pub fn slug<T: AsRef<str>, C>(slug: &T, _: &C) -> Result {
    let slug = slug.as_ref();
    if slug.is_empty() {
        Err(Fault::required().into())
    } else if slug.len() > MAX_SLUG {
        Err(Fault::too_long(MAX_SLUG).because("must have at most 80 bytes").into())
    } else if slug_words(slug) != slug {
        Err(Fault::format("must be lower-case letters and digits with single hyphens").into())
    } else {
        Ok(())
    }
}

/// The address of something on the web, in the grammar of [`crate::outbound`], and a fragment; without quotes, so that it can be
/// shown as an attribute.
pub fn url<T: AsRef<str>, C>(url: &T, _: &C) -> Result {
    /// The longest URL, in bytes.
    const MAX: usize = 1000;
    let url = url.as_ref();
    if url.len() > MAX {
        return Err(Fault::too_long(MAX).into());
    }
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))) {
        return Err(Fault::format("must be an http or https URL").into());
    }
    let (whole, fragment) = url.split_once('#').unwrap_or((url, ""));
    if url.contains('\'') || fragment.contains('#') {
        return Err(Fault::format("must not have quotes; write them as %27").into());
    }
    outbound::parts(whole)
        .and_then(|_| outbound::characters(fragment))
        .map_err(|why| Fault::format(why).into())
}

/// A host as DNS knows it: in lower case, and labels in other letters than Latin ones as `xn--…`. `None` if a label is longer than
/// DNS has them.
#[must_use]
pub fn ascii_host(host: &str) -> Option<String> {
    let label = |label: &str| {
        let label: String = label.nfkc().collect::<String>().to_lowercase().nfkc().collect();
        match label.is_ascii() {
            true => Some(label),
            // Writing a label takes the square of its length.
            false if label.chars().count() > 63 => None,
            false => Some(format!("xn--{}", idna::punycode::encode_str(&label)?)),
        }
    };
    // Ideographic full stops divide labels too.
    let labels = host.split(['.', '。', '．', '｡']).map(label);
    Some(labels.collect::<Option<Vec<_>>>()?.join("."))
}

/// An email address.
pub fn email<T: AsRef<str>, C>(email: &T, _: &C) -> Result {
    let email = kept_email(email.as_ref());
    let valid = email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && name.len() <= 64
                && domain.is_ascii()
                && domain.contains('.')
                && !domain.contains('@')
                && domain.split('.').all(|label| !label.is_empty())
        });
    if valid {
        Ok(())
    } else {
        Err(if email.is_empty() {
            Fault::required()
        } else {
            Fault::format("must be an email address")
        }
        .into())
    }
}

/// An email address as it is kept: its domain as DNS knows it, what is before it as it was given.
#[must_use]
pub fn kept_email(email: &str) -> String {
    let kept = email.trim().split_once('@').and_then(|(name, domain)| {
        let (name, domain) = (name.nfc().collect::<String>(), ascii_host(domain)?);
        Some(format!("{name}@{domain}"))
    });
    kept.unwrap_or_else(|| email.to_owned())
}

/// A slug made from the words of a title, cut at a word; `fallback` if there are none. Latin letters lose their accents, Greek
/// and Cyrillic ones are written in Latin, and letters of other scripts stay: nothing that is written there is lost, and
/// browsers show it.
#[must_use]
pub fn slugify(title: &str, fallback: &str) -> String {
    // Room for the suffix that makes it unique.
    const ROOM: usize = MAX_SLUG - 10;
    let slug = slug_words(title);
    let cut = match slug.split_at_checked(slug.floor_char_boundary(ROOM)) {
        Some((start, rest)) if !rest.is_empty() && !rest.starts_with('-') => {
            start.rsplit_once('-').map_or(start, |(words, _)| words)
        }
        Some((start, _)) => start,
        None => &slug,
    };
    if cut.is_empty() {
        fallback.to_owned()
    } else {
        cut.to_owned()
    }
}

/// A slug that nothing else has: it ends with the random part of the new id `id`.
#[must_use]
pub fn unique_slug(title: &str, fallback: &str, id: &str) -> String {
    let end: String = id.chars().rev().take(8).collect();
    format!("{}-{end}", slugify(title, fallback))
}

/// The words of a text, joined by hyphens.
fn slug_words(text: &str) -> String {
    let mut slug = String::new();
    for sign in text.nfkc() {
        if is_combining_mark(sign) {
            // Those of India and its neighbours are letters; elsewhere a word is known without them.
            if ('\u{900}'..='\u{17ff}').contains(&sign) && !slug.is_empty() && !slug.ends_with('-') {
                slug.push(sign);
            }
        } else if sign.is_alphanumeric() {
            fold(sign, &mut slug);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug.nfc().collect()
}

/// What two names have in common that are the same to people: in lower case, with single spaces.
#[must_use]
pub fn name_key(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    words.join(" ").to_lowercase().nfc().collect()
}

/// The start of the sort keys of everything that has this name, in an index by name. No name has a tab.
#[must_use]
pub fn named(name: &str) -> String {
    name_key(name) + "\t"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_dns_has_them() {
        for (host, expected) in [
            ("Shop.Example", "shop.example"),
            ("MÜNCHEN.example", "xn--mnchen-3ya.example"),
            ("mu\u{308}nchen.example", "xn--mnchen-3ya.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("127.0.0.1", "127.0.0.1"),
            ("", ""),
        ] {
            assert_eq!(ascii_host(host).as_deref(), Some(expected));
        }
        assert_eq!(ascii_host(&"ü".repeat(64)), None);
    }

    #[test]
    fn slugs_come_from_any_title() {
        for (title, expected) in [
            ("Brass Lamp", "brass-lamp"),
            ("  Çay & Şeker!  ", "cay-seker"),
            ("灯", "灯"),
            ("USB 充电器", "usb-充电器"),
            ("Лампа 灯 2", "lampa-灯-2"),
            ("กระเป๋าสะพาย", "กระเป๋าสะพาย"),
            ("हिन्दी किताब", "हिन्दी-किताब"),
            ("כִּתּוּב", "כתוב"),
            ("①Ｔｅｅ ﬁne", "1tee-fine"),
            ("☕", "item"),
            ("***", "item"),
            ("", "item"),
        ] {
            assert_eq!(slugify(title, "item"), expected, "{title}");
        }
        let long = slugify(&"word ".repeat(100), "item");
        assert!(long.len() <= 70 && slug(&long, &()).is_ok());
        assert_eq!(slugify(&"x".repeat(500), "item"), "x".repeat(70));
        for title in [
            "Çay",
            "USB 充电器",
            "กระเป๋าสะพายข้าง กระเป๋าสะพายข้าง กระเป๋าสะพายข้าง",
            "हिन्दी",
            "İstanbul",
            "ﬁ",
        ] {
            let made = slugify(title, "item");
            assert!(slug(&made, &()).is_ok() && made.len() <= 70, "{title}: {made}");
        }
    }

    #[test]
    fn names_are_the_same_to_people_or_not() {
        for (a, b) in [
            ("USB  充电器 ", "usb 充电器"),
            ("e\u{301}t\u{e9}", "ÉTÉ"),
            ("a\u{a0}b", "A b"),
        ] {
            assert_eq!(name_key(a), name_key(b));
        }
        for (a, b) in [
            ("USB 充电器", "USB 数据线"),
            ("C++", "C#"),
            ("☕", "🍵"),
            ("Été", "Ete"),
        ] {
            assert_ne!(name_key(a), name_key(b));
        }
    }

    #[test]
    fn rules_refuse_what_they_should() {
        for bad in [
            "",
            "-",
            "a-",
            "-a",
            "a--b",
            "A",
            "a_b",
            "ä",
            "раypal",
            "灯 具",
            "a\u{200b}b",
            "ｔ",
            &"a".repeat(81),
        ] {
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
            "\u{301}\u{5b4} ",
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
        assert!(line::<()>(1, 5)(&" \t ".to_owned(), &()).is_err());
        assert!(line::<()>(1, 5)(&"a\nb".to_owned(), &()).is_err());
        assert!(text::<()>(0, 5)(&"a\nb".to_owned(), &()).is_ok());
        for blank in [" \n", "\u{200b}\u{feff}", "\u{301}"] {
            assert!(
                text::<()>(1, 5)(&blank.to_owned(), &()).is_err() && text::<()>(0, 5)(&blank.to_owned(), &()).is_ok()
            );
        }
        assert!(text::<()>(0, 5)(&"a\u{0}b".to_owned(), &()).is_err());
    }
}
