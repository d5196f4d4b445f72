//! Words, the same for what is indexed, what is asked and what is highlighted, on every host.
//!
//! A word is a run of letters and digits, in lower case, without accents, in Latin letters, and without the endings of
//! English plurals. Signs of scripts that write no spaces are words of their own.

use std::ops::Range;

/// How long a word may be, in bytes; the rest is cut off.
pub const MAX_WORD: usize = 40;

/// A word in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Lower-case ASCII letters and digits.
    pub plain: String,
    /// `plain` without a plural's ending: what is indexed and looked up.
    pub stem: String,
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
}

/// The words of a text, in order.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut signs = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (start, first) = signs.next()?;
            if !first.is_alphanumeric() {
                continue;
            }
            let mut plain = String::new();
            let mut end = start + first.len_utf8();
            fold(first, &mut plain);
            while !stands_alone(first)
                && let Some((at, sign)) = signs.next_if(|(_, sign)| belongs(*sign))
            {
                fold(sign, &mut plain);
                end = at + sign.len_utf8();
            }
            if plain.is_empty() {
                continue;
            }
            plain.truncate(MAX_WORD);
            let stem = stem(&plain);
            let range = start..end;
            return Some(Word { plain, stem, range });
        }
    })
}

/// Whether a sign goes on with the word before it: marks that stand on a letter do, apostrophes do not.
fn belongs(sign: char) -> bool {
    (sign.is_alphanumeric() && !stands_alone(sign)) || ('\u{300}'..='\u{36f}').contains(&sign)
}

/// Chinese and Japanese signs.
fn stands_alone(sign: char) -> bool {
    matches!(sign, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{2ffff}')
}

fn fold(sign: char, out: &mut String) {
    if sign.is_ascii() {
        out.push(sign.to_ascii_lowercase());
        return;
    }
    let latin = deunicode::deunicode_char(sign).unwrap_or("");
    out.extend(
        latin
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase()),
    );
}

/// Harman's S stemmer, with the plurals in `-es` that have one more syllable.
fn stem(word: &str) -> String {
    let is = |ending: &str| word.ends_with(ending);
    let cut = |count: usize| word.get(..word.len().saturating_sub(count)).unwrap_or(word);
    if word.len() < 4 || !is("s") || is("ss") || is("us") || is("is") {
        word.to_owned()
    } else if is("ies") && word.len() > 4 {
        format!("{}y", cut(3))
    } else if ["sses", "shes", "ches", "xes", "zzes"].iter().any(|ending| is(ending)) {
        cut(2).to_owned()
    } else {
        cut(1).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(text: &str) -> Vec<String> {
        words(text).map(|word| word.stem).collect()
    }

    #[test]
    fn words_are_folded_and_found_where_they_stand() {
        for (text, expected) in [
            ("Brass oil-lamps, 2 boxes", &["brass", "oil", "lamp", "2", "box"][..]),
            ("Crème brûlée", &["creme", "brulee"]),
            ("cre\u{300}me", &["creme"]),
            ("Straße ŒUVRE Ærø", &["strasse", "oeuvre", "aero"]),
            ("Москва", &["moskva"]),
            ("上海 lamp灯", &["shang", "hai", "lamp", "deng"]),
            (
                "berries cities bus glass gateway’s ties pies",
                &["berry", "city", "bus", "glass", "gateway", "s", "tie", "pie"],
            ),
            ("👍 -- \u{0}", &[]),
            ("libnss-gw-name:amd64", &["libnss", "gw", "name", "amd64"]),
        ] {
            assert_eq!(stems(text), expected, "{text}");
        }
        let text = "A «Crème» brûlée";
        let found: Vec<&str> = words(text).filter_map(|word| text.get(word.range)).collect();
        assert_eq!(found, ["A", "Crème", "brûlée"]);
        assert_eq!(words(&"x".repeat(100)).next().unwrap().plain.len(), MAX_WORD);
    }
}
