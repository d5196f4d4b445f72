//! Highlights: a text as HTML, with the words of the query between `<mark>` and `</mark>`, and everything else escaped.
//!
//! Most words of a text are skipped by their first letter, so a long description costs about as much as copying it.

use std::ops::Range;

use souk_core::search::words;

/// The length of an excerpt in characters.
const WINDOW: usize = 200;
/// How many characters of an excerpt precede the first mark.
const BEFORE: usize = 60;

/// Marks certain words in texts.
pub(crate) struct Marker {
    /// The words to mark, as [`words`] returns them.
    terms: Vec<String>,
    /// A bit set of the first letters and digits of these words.
    firsts: u64,
}

/// The bit of an ASCII letter or digit.
fn bit(byte: u8) -> u64 {
    match byte.to_ascii_lowercase() {
        letter @ b'a'..=b'z' => 1 << (letter - b'a'),
        digit @ b'0'..=b'9' => 1 << (26 + digit - b'0'),
        _ => 0,
    }
}

impl Marker {
    /// Marks these words: the words that the query matched, including corrections and synonyms.
    pub(crate) fn new(terms: Vec<String>) -> Self {
        let firsts = terms.iter().filter_map(|term| term.bytes().next());
        let firsts = firsts.fold(0, |bits, byte| bits | bit(byte));
        Self { terms, firsts }
    }

    /// The whole text.
    pub(crate) fn whole(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 32);
        self.mark(text, &mut out);
        out
    }

    /// An excerpt of the text, around the first mark or from the start.
    pub(crate) fn excerpt(&self, text: &str) -> String {
        let first = self.marks(text).next().unwrap_or(0..0);
        let before = text.get(..first.start).unwrap_or("");
        let start = before.char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| {
            // Start at the start of a word, if there is one.
            let rest = text.get(at..first.start).unwrap_or("");
            rest.find(char::is_whitespace).map_or(at, |space| at + space)
        });
        let rest = text.get(start..).unwrap_or("");
        let end = rest.char_indices().nth(WINDOW).map_or(text.len(), |(length, _)| {
            let cut = rest.get(..length).unwrap_or("");
            let space = cut.rfind(char::is_whitespace).map_or(length, |space| space);
            (start + space).max(first.end)
        });
        let mut out = String::with_capacity(end - start + 64);
        if start > 0 {
            out.push('…');
        }
        self.mark(text.get(start..end).unwrap_or("").trim(), &mut out);
        if end < text.len() {
            out.push('…');
        }
        out
    }

    fn mark(&self, text: &str, out: &mut String) {
        let mut done = 0;
        for mark in self.marks(text) {
            escape(text.get(done..mark.start).unwrap_or(""), out);
            out.push_str("<mark>");
            escape(text.get(mark.clone()).unwrap_or(""), out);
            out.push_str("</mark>");
            done = mark.end;
        }
        escape(text.get(done..).unwrap_or(""), out);
    }

    /// The ranges of the marked words. No word contains an ASCII character other than letters and digits, so the text
    /// is read in pieces between those.
    fn marks<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
        let mut at = 0;
        let pieces = text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
        let pieces = pieces.map(move |piece| {
            let start = at;
            at += piece.len() + 1;
            (start, piece)
        });
        pieces
            .filter(|(_, piece)| {
                let first = piece.bytes().next().unwrap_or(0);
                bit(first) & self.firsts != 0 || !piece.is_ascii()
            })
            .flat_map(move |(start, piece)| {
                words(piece)
                    .filter(|word| self.terms.contains(&word.stem))
                    .map(move |word| start + word.range.start..start + word.range.end)
            })
    }
}

fn escape(text: &str, out: &mut String) {
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(query: &str) -> Marker {
        Marker::new(words(query).map(|word| word.stem).collect())
    }

    #[test]
    fn words_are_marked_and_all_else_is_inert() {
        for (query, text, expected) in [
            (
                "lamp",
                "Brass lamps, a LAMP; clamp",
                "Brass <mark>lamps</mark>, a <mark>LAMP</mark>; clamp",
            ),
            (
                "creme",
                "Crème «crème»brûlée",
                "<mark>Crème</mark> «<mark>crème</mark>»brûlée",
            ),
            ("lamp oil", "lampshade", "lampshade"),
            ("script", "<script>\"'&", "&lt;<mark>script</mark>&gt;&quot;&#39;&amp;"),
            (
                "mark",
                "<mark>x</mark>",
                "&lt;<mark>mark</mark>&gt;x&lt;/<mark>mark</mark>&gt;",
            ),
            ("灯", "上海灯lamp", "上海<mark>灯</mark>lamp"),
            ("", "Lamp & co", "Lamp &amp; co"),
        ] {
            assert_eq!(marker(query).whole(text), expected, "{query}");
        }
    }

    #[test]
    fn passing_over_words_by_their_first_letter_misses_none() {
        let text = "Ünïcode lamps; ÉCLAIR (eclairs) x-lamp été 3lamp l'amp lamp\u{301}e LAMPE 上lamp 中 ﬁsh fish";
        for query in [
            "lamp",
            "eclair",
            "amp",
            "3lamp",
            "lampe",
            "unicode",
            "fish",
            "ete",
            "lampe fish",
        ] {
            let marker = marker(query);
            let slow = words(text).filter(|word| marker.terms.contains(&word.stem));
            let slow: Vec<_> = slow.map(|word| word.range).collect();
            assert_eq!(marker.marks(text).collect::<Vec<_>>(), slow, "{query}");
            assert!(!slow.is_empty(), "{query}");
        }
    }

    #[test]
    fn an_excerpt_is_about_the_first_mark() {
        let filler = "wörd ".repeat(100);
        let marker = marker("lamp");
        let short = |text: &str| text.chars().count() < WINDOW + 30;
        let middle = marker.excerpt(&format!("{filler}a lamp {filler}"));
        assert!(
            middle.starts_with('…') && middle.ends_with('…') && short(&middle),
            "{middle}"
        );
        assert!(middle.contains("wörd a <mark>lamp</mark> wörd"), "{middle}");
        let none = marker.excerpt(&filler);
        assert!(
            none.starts_with("wörd") && none.ends_with("wörd…") && short(&none),
            "{none}"
        );
        assert_eq!(marker.excerpt("a lamp"), "a <mark>lamp</mark>");
        assert_eq!(marker.excerpt(""), "");
        // There is no position to cut except within a word.
        let endless = "灯".repeat(500);
        for text in [
            endless.clone(),
            format!("{endless} lamp {endless}"),
            format!("lamp{endless}"),
        ] {
            assert!(short(&marker.excerpt(&text)), "{text}");
        }
    }
}
