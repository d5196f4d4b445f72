//! Parses the text of a query into words and quoted phrases.

use souk_core::search::{MAX_QUERY, MAX_WORDS, Word, asked_words};

/// A part of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A word.
    Word {
        /// As it was typed.
        plain: String,
        /// The stem to look up.
        stem: String,
        /// Whether it is the last part of the query, which may be only the beginning of a word.
        last: bool,
    },
    /// Adjacent stems.
    Phrase(Vec<String>),
}

/// The parts of a query. An unpaired quote is ignored.
pub fn parts(text: &str) -> Vec<Part> {
    let text = cut(text, MAX_QUERY);
    let quotes: Vec<usize> = text
        .char_indices()
        .filter(|(_, sign)| matches!(sign, '"' | '“' | '”' | '„'))
        .map(|(at, _)| at)
        .collect();
    let paired = quotes.len() / 2 * 2;
    let mut parts = Vec::new();
    // The phrase that is being read, identified by the number of quotes before it.
    let mut open = None;
    for Word { plain, stem, range } in asked_words(text).into_iter().take(MAX_WORDS) {
        let before = quotes.iter().filter(|at| **at < range.start).count();
        if before % 2 == 0 || before > paired {
            open = None;
            parts.push(Part::Word {
                plain,
                stem,
                last: false,
            });
        } else if let (true, Some(Part::Phrase(phrase))) = (open == Some(before), parts.last_mut()) {
            phrase.push(stem);
        } else {
            open = Some(before);
            parts.push(Part::Phrase(vec![stem]));
        }
    }
    if let Some(Part::Word { last, .. }) = parts.last_mut() {
        *last = true;
    }
    parts
}

/// The beginning of a text, at most `most` bytes.
pub fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paired_quotes_make_phrases() {
        let show = |text: &str| -> Vec<String> {
            let show = |part| match part {
                Part::Word { stem, last, .. } => format!("{stem}{}", if last { "*" } else { "" }),
                Part::Phrase(stems) => format!("[{}]", stems.join(" ")),
            };
            parts(text).into_iter().map(show).collect()
        };
        for (text, expected) in [
            ("oil lamps", &["oil", "lamp*"][..]),
            ("\"oil lamps\" brass", &["[oil lamp]", "brass*"]),
            ("brass \"oil lamps\"", &["brass", "[oil lamp]"]),
            ("\"oil\" \"lamp\"", &["[oil]", "[lamp]"]),
            ("“oil lamp” red", &["[oil lamp]", "red*"]),
            ("\"oil lamp", &["oil", "lamp*"]),
            ("\"oil lamp\" \"red box", &["[oil lamp]", "red", "box*"]),
            ("\"\" \" \"", &[]),
            (
                "a b c d e f g h i j k l",
                &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j*"],
            ),
        ] {
            assert_eq!(show(text), expected, "{text}");
        }
        assert_eq!(parts(&"é".repeat(200)).len(), 1);
        assert_eq!(cut("aé", 2), "a");
    }
}
