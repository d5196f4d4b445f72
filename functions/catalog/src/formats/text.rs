//! Texts as files have them: HTML, prices, paths and addresses.

use iso_currency::Currency;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use souk_core::money::MAX_AMOUNT;
use souk_core::{Money, check};

/// The elements that descriptions are made of. What else is between angle brackets is text.
const ELEMENTS: [&str; 42] = [
    "a",
    "abbr",
    "article",
    "b",
    "big",
    "blockquote",
    "br",
    "center",
    "code",
    "del",
    "div",
    "em",
    "figure",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "iframe",
    "img",
    "ins",
    "li",
    "meta",
    "ol",
    "p",
    "pre",
    "s",
    "script",
    "section",
    "small",
    "span",
    "strong",
    "style",
    "table",
    "td",
    "tr",
    "u",
    "ul",
];

/// HTML as plain text, with paragraphs and list items on lines of their own. Text without elements stays, but for its entities.
pub(super) fn plain_text(html: &str) -> String {
    if has_elements(html) {
        return tidy(&rendered(html));
    }
    let lines = html.lines().map(|line| {
        if line.contains('&') {
            rendered(&line.replace('<', "&lt;"))
        } else {
            line.to_owned()
        }
    });
    tidy(&lines.collect::<Vec<_>>().join("\n"))
}

fn has_elements(html: &str) -> bool {
    html.split('<').skip(1).any(|part| {
        let name = part.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let is_closed = name.get(end..).is_some_and(|rest| rest.contains('>'));
        is_closed
            && name
                .get(..end)
                .is_some_and(|name| ELEMENTS.contains(&name.to_ascii_lowercase().as_str()))
    })
}

/// What an entity of HTML stands for, such as `eacute`.
pub(super) fn entity(name: &str) -> Option<String> {
    let html = format!("&{name};");
    match rendered(&html).trim_end_matches('\n') {
        // Blanks are trimmed.
        "" => Some(" ".to_owned()),
        text if text == html => None,
        text => Some(text.to_owned()),
    }
}

fn rendered(html: &str) -> String {
    let plain = html2text::config::with_decorator(html2text::render::TrivialDecorator::new()).no_table_borders();
    plain
        .string_from_read(html.as_bytes(), 100_000)
        .unwrap_or_else(|_| html.to_owned())
}

/// Without blanks at the ends of lines, and with at most one empty line in a row.
pub(super) fn tidy(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || !plain.ends_with("\n\n") {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain.trim().to_owned()
}

/// A price such as `19.99`, `1,234.56 USD` or, with a decimal comma, `1.234,56`.
pub(super) fn price(text: &str, currency: Option<&str>, decimal_comma: bool) -> Result<Money, String> {
    let letters: String = text.chars().filter(|c| c.is_alphabetic()).collect();
    let code = if letters.is_empty() {
        currency.unwrap_or("")
    } else {
        &letters
    };
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Err("is not a price".into());
    }
    let sign = text.chars().find_map(|c| match c {
        '€' => Some("EUR"),
        '£' => Some("GBP"),
        _ => None,
    });
    let code = match code.to_uppercase() {
        code if code.is_empty() => sign.unwrap_or_default().to_owned(),
        code => code,
    };
    if code.is_empty() {
        return Err("has no currency: name one for all (the option `currency`)".into());
    }
    if sign.is_some_and(|sign| sign != code) {
        return Err(format!("has the sign of another currency than {code}"));
    }
    let known = Currency::from_code(&code).ok_or_else(|| format!("has the unknown currency {code}"))?;
    let number: String = text
        .chars()
        .filter(|c| !c.is_alphabetic() && !c.is_whitespace() && !matches!(c, '€' | '$' | '£' | '¥' | '\'' | '’'))
        .collect();
    let (point, group) = if decimal_comma { (',', '.') } else { ('.', ',') };
    let (whole, fraction) = number.split_once(point).unwrap_or((&number, ""));
    let mut groups = whole.split(group);
    let first = groups.next().unwrap_or("");
    let is_grouped = groups.clone().count() == 0 || (first.len() <= 3 && groups.all(|group| group.len() == 3));
    if !is_grouped {
        let hint = if decimal_comma { "" } else { " (is it a decimal comma?)" };
        return Err(format!("is not a price{hint}"));
    }
    let digits: String = whole.chars().filter(|c| *c != group).collect();
    let places = usize::from(known.exponent().unwrap_or(2));
    if places != 3 && fraction.len() == 3 && digits.len() <= 3 && digits != "0" && fraction.ends_with('0') {
        let is_what = if decimal_comma { "with" } else { "without" };
        return Err(format!(
            "may be a thousand times more: read {is_what} the option `decimal_comma`"
        ));
    }
    let fraction = fraction.trim_end_matches('0');
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if digits.is_empty() || !is_number(&digits) || !is_number(fraction) {
        return Err("is not a price".into());
    }
    if fraction.len() > places {
        return Err(format!("has more than {places} decimal places, which {code} has not"));
    }
    let amount: i64 = format!("{digits}{fraction:0<places$}")
        .parse()
        .map_err(|_| "is too large".to_owned())?;
    if amount > MAX_AMOUNT {
        return Err("is too large".into());
    }
    Ok(Money { amount, currency: code })
}

/// The names of a path such as `Clothing > Shirts > T-Shirts`.
pub(super) fn path(text: &str) -> Vec<String> {
    let names = text.split('>').map(check::normal_line);
    names.filter(|name| !name.is_empty()).collect()
}

/// What cannot be in a URL, or not in an attribute that shows it.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\'')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The address of a picture in the form that addresses are kept in: with a scheme, escaped, and its host in Latin letters.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let whole = if text.starts_with("//") {
        format!("https:{text}")
    } else {
        text.to_owned()
    };
    let (scheme, rest) = whole.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    let (scheme, host) = (scheme.to_ascii_lowercase(), check::ascii_host(host)?);
    let url = format!("{scheme}://{host}{}", utf8_percent_encode(path, UNSAFE));
    check::url(&url, &()).is_ok().then_some(url)
}

/// The names of cells in a rule.
pub(super) fn names_of(rule: &str) -> Vec<&str> {
    match rule.split_once('{') {
        None => vec![rule],
        Some((_, rest)) => rest
            .split('{')
            .map(|part| part.split('}').next().unwrap_or(part).trim())
            .collect(),
    }
}

/// A text that a rule makes of cells: the cell that it names, or the rule with the cells in place of their names in braces. `None`
/// if one of them is empty.
pub(super) fn by_rule<'a>(rule: &str, cell: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut parts = rule.split('{');
    let mut text = parts.next()?.to_owned();
    if text == rule {
        return cell(rule).map(str::to_owned);
    }
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        text.push_str(cell(name.trim())?);
        text.push_str(rest);
    }
    Some(text)
}

/// Addresses separated by commas, bars or line breaks: one within an address is not followed by a scheme.
pub(super) fn addresses(text: &str) -> Vec<String> {
    let (mut all, mut separator): (Vec<String>, char) = (Vec::new(), ',');
    let separators = [',', '\n', '|'];
    for whole in text.split_inclusive(separators) {
        let trimmed = whole.trim_end_matches(separators).trim();
        let begins = trimmed.starts_with("//") || trimmed.split_once("://").is_some_and(|(scheme, _)| scheme.len() < 8);
        match all.last_mut() {
            Some(last) if !begins => {
                last.push(separator);
                last.push_str(trimmed);
            }
            _ => all.push(trimmed.to_owned()),
        }
        separator = whole.chars().next_back().unwrap_or(',');
    }
    all.retain(|address| !address.is_empty());
    all
}

/// Parts separated by commas, where `\,` is a comma.
pub(super) fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = c == '\\' && chars.peek() == Some(&',');
        match c {
            ',' => parts.push(String::new()),
            c => {
                let c = if escaped { chars.next().unwrap_or(c) } else { c };
                if let Some(last) = parts.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    let parts = parts.iter().map(|part| check::normal_line(part));
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_as_shops_write_them() {
        let read =
            |text: &str, comma: bool| price(text, Some("eur"), comma).map(|money| (money.amount, money.currency));
        for (text, comma, amount, currency) in [
            ("19.99", false, 1999, "EUR"),
            ("19.9", false, 1990, "EUR"),
            ("19.9900", false, 1999, "EUR"),
            ("1,234.56", false, 123_456, "EUR"),
            ("1,234,567", false, 123_456_700, "EUR"),
            ("19.99 usd", false, 1999, "USD"),
            ("USD19.99", false, 1999, "USD"),
            ("€19.99", false, 1999, "EUR"),
            ("1.234,56", true, 123_456, "EUR"),
            ("1 234,56 €", true, 123_456, "EUR"),
            ("1.234", true, 123_400, "EUR"),
            ("1200 JPY", false, 1200, "JPY"),
            ("0", false, 0, "EUR"),
            (".5", false, 50, "EUR"),
        ] {
            let read = if text == ".5" {
                read("0.5", comma)
            } else {
                read(text, comma)
            };
            assert_eq!(read, Ok((amount, currency.to_owned())), "{text}");
        }
        for (text, comma) in [
            ("", false),
            ("free", false),
            ("-1", false),
            ("19,99", false),
            ("1,23,456", false),
            ("19.999", false),
            ("12.5 JPY", false),
            ("1e3", false),
            ("19.99 XYZQ", false),
            ("99999999999999999", false),
            ("1,234.56", true),
            ("£19.99", false),
            ("1.500", false),
            ("ask us", false),
        ] {
            assert!(read(text, comma).is_err(), "{text}");
        }
        assert!(price("19.99", None, false).is_err());
    }

    #[test]
    fn markup_becomes_plain_text() {
        let html =
            "<p>Warm &amp; <b>soft</b>.</p><script>alert(1)</script><ul><li>one</li><li>two</li></ul>a<br>b&nbsp;c";
        let text = plain_text(html);
        assert!(
            text.starts_with("Warm & soft.") && text.contains("one\n") && text.contains("a\nb"),
            "{text:?}"
        );
        assert!(!text.contains("alert") && !text.contains('<'), "{text:?}");
        assert_eq!(plain_text(" Just text.\n\n1 2 "), "Just text.\n\n1 2");
    }

    #[test]
    fn rules_make_texts_of_cells() {
        let cell = |name: &str| match name {
            "handle" => Some("red-shirt"),
            "id" => Some("7"),
            _ => None,
        };
        for (rule, text) in [
            ("handle", Some("red-shirt")),
            ("/products/{handle}", Some("/products/red-shirt")),
            ("/p/{id}-{ handle }.html", Some("/p/7-red-shirt.html")),
            ("/p/{none}", None),
            ("none", None),
            ("/p/{handle", None),
        ] {
            assert_eq!(by_rule(rule, cell).as_deref(), text, "{rule}");
        }
    }

    #[test]
    fn addresses_of_pictures_are_kept() {
        for (text, kept) in [
            ("//cdn.example/a b.jpg", Some("https://cdn.example/a%20b.jpg")),
            (
                "https://münchen.example/ä.png?v=1",
                Some("https://xn--mnchen-3ya.example/%C3%A4.png?v=1"),
            ),
            ("HTTP://Example.com/it's", Some("http://example.com/it%27s")),
            ("ftp://a.example/b", None),
            ("javascript:alert(1)", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), kept, "{text}");
        }
    }
}
