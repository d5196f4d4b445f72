//! Splits text into words, in the same way for indexing, queries and highlighting, on every host.
//!
//! A word is a run of letters and digits, in lower case, without accents and English plural endings. Greek and Cyrillic
//! letters are transliterated to Latin; letters of other scripts stay, in one of their forms. (Tables that transliterate all of
//! Unicode would be a sixth of the Worker.)
//!
//! Scripts without spaces have no words that could be told without a dictionary, which would be larger still. Each Chinese or
//! Japanese character is a word of its own; Thai, Lao, Khmer and Burmese, which have few letters, are words of three letters that
//! overlap.

use std::collections::VecDeque;
use std::ops::Range;

use unicode_normalization::char::{compose, decompose_canonical, decompose_compatible, is_combining_mark};

/// The longest word, in bytes. The rest is cut off.
pub const MAX_WORD: usize = 40;

/// A word in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The letters and digits, folded.
    pub plain: String,
    /// `plain` without a plural ending: the form that is indexed and looked up.
    pub stem: String,
    /// The byte range of the word in the text.
    pub range: Range<usize>,
}

/// The words of a text, in order.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut signs = text.char_indices().peekable();
    let mut waiting: VecDeque<Word> = VecDeque::new();
    std::iter::from_fn(move || {
        loop {
            if let Some(word) = waiting.pop_front() {
                return Some(word);
            }
            let (start, first) = signs.next()?;
            if !first.is_alphanumeric() {
                continue;
            }
            if is_unspaced(first) {
                // Letters, each with its marks.
                let mut letters = vec![start];
                let mut end = start + first.len_utf8();
                while let Some((at, sign)) = signs.next_if(|(_, sign)| is_unspaced(*sign) || is_invisible(*sign)) {
                    if sign.is_alphanumeric() && !is_combining_mark(sign) {
                        letters.push(at);
                    }
                    end = at + sign.len_utf8();
                }
                waiting.extend(overlapping(text, &letters, end));
                continue;
            }
            let mut plain = String::new();
            let mut end = start + first.len_utf8();
            fold(first, &mut plain);
            // Half-width kana have their sound marks beside them.
            if stands_alone(first)
                && let Some((at, mark)) = signs.next_if(|(_, sign)| sound_mark(*sign).is_some())
            {
                end = at + mark.len_utf8();
                let voiced = plain.pop().zip(sound_mark(mark));
                plain.extend(voiced.map(|(kana, mark)| compose(kana, mark).unwrap_or(kana)));
            }
            while !stands_alone(first)
                && let Some((at, sign)) = signs.next_if(|(_, sign)| belongs(*sign))
            {
                fold(sign, &mut plain);
                end = at + sign.len_utf8();
            }
            if plain.is_empty() {
                continue;
            }
            plain.truncate(plain.floor_char_boundary(MAX_WORD));
            let stem = stem(&plain);
            let range = start..end;
            return Some(Word { plain, stem, range });
        }
    })
}

/// Words of three letters each, where `letters` begin before `end`. Each has the range of its first letter, and the last one
/// that of all its letters.
fn overlapping(text: &str, letters: &[usize], end: usize) -> Vec<Word> {
    let ends = || letters.iter().copied().chain([end]);
    let last = letters.len().saturating_sub(3);
    let word = |(n, start): (usize, &usize)| {
        let (after, until) = (ends().nth(n + 1)?, ends().nth(n + 3).unwrap_or(end));
        let mut plain = String::new();
        for sign in text.get(*start..until)?.chars() {
            fold(sign, &mut plain);
        }
        let range = *start..if n == last { end } else { after };
        (!plain.is_empty()).then(|| Word {
            stem: plain.clone(),
            plain,
            range,
        })
    };
    letters.iter().enumerate().take(last + 1).filter_map(word).collect()
}

/// What else a text is found by, besides its [words]: the parts of words of letters and digits, such as `iphone15`, neighbours
/// that others write as one, such as `128 GB` and `Wi-Fi`, and the last letters of what is written without spaces.
#[must_use]
pub fn other_words(text: &str) -> Vec<Word> {
    let mut others = Vec::new();
    let mut before: Option<Word> = None;
    let mut all = words(text).peekable();
    while let Some(word) = all.next() {
        if word.plain.starts_with(is_unspaced) && all.peek().is_none_or(|next| next.range.start > word.range.end) {
            let letters = word
                .plain
                .char_indices()
                .filter(|(_, c)| c.is_alphanumeric() && !is_combining_mark(*c));
            let ends = letters.skip(1).filter_map(|(at, _)| word.plain.get(at..));
            others.extend(ends.map(|end| whole(end, &word)));
        }
        if let Some((letters, digits)) = split(&word.plain) {
            others.push(whole(letters, &word));
            others.push(whole(digits, &word));
        }
        if let Some(before) = &before
            && are_one(text, before, &word)
        {
            others.push(whole(&format!("{}{}", before.plain, word.plain), &word));
        }
        before = Some(word);
    }
    others
}

fn whole(plain: &str, place: &Word) -> Word {
    let plain = plain.get(..plain.floor_char_boundary(MAX_WORD)).unwrap_or(plain);
    Word {
        plain: plain.to_owned(),
        stem: stem(plain),
        range: place.range.clone(),
    }
}

/// The two parts of a word of letters and digits.
fn split(word: &str) -> Option<(&str, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let starts_with_digit = word.starts_with(is_digit);
    let at = word.find(|c: char| is_digit(c) != starts_with_digit)?;
    let (first, rest) = word.split_at_checked(at)?;
    rest.chars()
        .all(|c| is_digit(c) != starts_with_digit)
        .then_some((first, rest))
}

/// Whether two neighbours are written as one by others: a number and its unit, or parts with a hyphen of which one is short.
fn are_one(text: &str, first: &Word, second: &Word) -> bool {
    let between = text.get(first.range.end..second.range.start).unwrap_or("");
    let is_number = |word: &Word| word.plain.bytes().all(|b| b.is_ascii_digit());
    let is_letters = |word: &Word| word.plain.chars().all(char::is_alphabetic);
    let is_measure = (is_number(first) && is_letters(second)) || (is_letters(first) && is_number(second));
    match between {
        " " | "\u{a0}" | "\u{202f}" => is_measure,
        _ => is_hyphen(between) && (is_measure || is_short(first) || is_short(second)),
    }
}

fn is_hyphen(between: &str) -> bool {
    matches!(between, "-" | "\u{2010}" | "\u{2011}")
}

fn is_short(word: &Word) -> bool {
    word.plain.chars().nth(2).is_none()
}

/// The words of a query: parts with a hyphen of which one is short are one word, as [`other_words`] has them.
pub fn asked_words(text: &str) -> Vec<Word> {
    let mut asked: Vec<Word> = Vec::new();
    for word in words(text) {
        match asked.last_mut() {
            Some(last)
                if is_hyphen(text.get(last.range.end..word.range.start).unwrap_or(""))
                    && (is_short(last) || is_short(&word)) =>
            {
                let range = last.range.start..word.range.end;
                *last = whole(&format!("{}{}", last.plain, word.plain), &word);
                last.range = range;
            }
            _ => asked.push(word),
        }
    }
    asked
}

/// Whether a letter is Thai, Lao, Burmese or Khmer, which are written without spaces between words.
#[must_use]
pub fn is_unspaced(sign: char) -> bool {
    matches!(sign, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Whether a character continues the word before it: marks and invisible characters do, apostrophes do not.
fn belongs(sign: char) -> bool {
    (sign.is_alphanumeric() && !stands_alone(sign) && !is_unspaced(sign))
        || is_combining_mark(sign)
        || is_invisible(sign)
}

/// Whether a character is Chinese or Japanese, and so a word of its own.
fn stands_alone(sign: char) -> bool {
    matches!(sign, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{2ffff}')
}

/// The mark that makes a kana voiced or half-voiced, in its combining form.
fn sound_mark(sign: char) -> Option<char> {
    match sign {
        '\u{3099}' | '\u{309b}' | '\u{ff9e}' => Some('\u{3099}'),
        '\u{309a}' | '\u{309c}' | '\u{ff9f}' => Some('\u{309a}'),
        _ => None,
    }
}

/// Soft hyphens, joiners, marks of direction and the like, which may be in a word.
fn is_invisible(sign: char) -> bool {
    matches!(sign, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Whether a mark is a letter of its script, as in India and its neighbours. Elsewhere people leave marks out: accents, the
/// vowels of Arabic and Hebrew.
fn is_letter_mark(sign: char) -> bool {
    ('\u{900}'..='\u{17ff}').contains(&sign)
}

/// Writes a letter or digit in lower case, without accents, and in Latin if it is Greek or Cyrillic. Forms of the same letter
/// become one.
pub(crate) fn fold(sign: char, out: &mut String) {
    if sign.is_ascii() {
        out.push(sign.to_ascii_lowercase());
        return;
    }
    for lower in sign.to_lowercase() {
        match lower {
            // Superscripts, letters in circles, ligatures, Arabic letters by their places, full and half widths.
            '\u{b2}'
            | '\u{b3}'
            | '\u{b9}'
            | '\u{2070}'..'\u{20a0}'
            | '\u{2460}'..'\u{2500}'
            | '\u{fb00}'..'\u{fe00}'
            | '\u{fe70}'..'\u{fff0}' => decompose_compatible(lower, |part| fold_part(part, out)),
            // Decomposes letters with accents.
            '\u{80}'..'\u{2000}' => decompose_canonical(lower, |part| fold_part(part, out)),
            _ => fold_part(lower, out),
        }
    }
}

fn fold_part(part: char, out: &mut String) {
    match part {
        _ if part.is_ascii() => out.push(part.to_ascii_lowercase()),
        _ if is_invisible(part) || (is_combining_mark(part) && !is_letter_mark(part)) => {}
        // What only lengthens a word.
        '\u{640}' => {}
        // The Persian forms of kaf and yeh, and yeh without dots.
        '\u{6a9}' => out.push('\u{643}'),
        '\u{6cc}' | '\u{649}' => out.push('\u{64a}'),
        '\u{671}' => out.push('\u{627}'),
        _ => match latin(part) {
            Some(text) => out.push_str(text),
            None => out.push(part),
        },
    }
}

/// The Latin spelling of letters that are not Latin letters with accents.
fn latin(letter: char) -> Option<&'static str> {
    const GREEK: [&str; 25] = [
        "a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s", "s", "t", "y", "f",
        "ch", "ps", "o",
    ];
    const CYRILLIC: [&str; 32] = [
        "a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u", "f", "kh",
        "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya",
    ];
    let among = |table: &[&'static str], first: char| {
        let place = u32::from(letter).checked_sub(u32::from(first))?;
        table.get(usize::try_from(place).ok()?).copied()
    };
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'ł' => "l",
        'þ' => "th",
        'є' => "ye",
        'і' | 'ї' => "i",
        'ј' => "j",
        'ґ' => "g",
        'ў' => "u",
        'ђ' => "dj",
        'љ' => "lj",
        'њ' => "nj",
        'ћ' => "c",
        'џ' => "dz",
        'α'..='ω' => return among(&GREEK, 'α'),
        'а'..='я' => return among(&CYRILLIC, 'а'),
        _ => return None,
    })
}

/// Irregular plurals with their singulars, where [`by_rule`] would be wrong. Stemming leaves each singular unchanged.
const PLURALS: &[(&str, &str)] = &[
    ("aliases", "alias"),
    ("atlases", "atlas"),
    ("axes", "axe"),
    ("beanies", "beanie"),
    ("bikinis", "bikini"),
    ("bonuses", "bonus"),
    ("bookshelves", "bookshelf"),
    ("brownies", "brownie"),
    ("buses", "bus"),
    ("caches", "cache"),
    ("cactuses", "cactus"),
    ("calories", "calorie"),
    ("calves", "calf"),
    ("campuses", "campus"),
    ("canoes", "canoe"),
    ("canvases", "canvas"),
    ("children", "child"),
    ("cookies", "cookie"),
    ("feet", "foot"),
    ("gases", "gas"),
    ("geese", "goose"),
    ("halves", "half"),
    ("headaches", "headache"),
    ("hoodies", "hoodie"),
    ("hooves", "hoof"),
    ("horseshoes", "horseshoe"),
    ("irises", "iris"),
    ("kiwis", "kiwi"),
    ("knives", "knife"),
    ("leaves", "leaf"),
    ("lenses", "lens"),
    ("lives", "life"),
    ("loaves", "loaf"),
    ("men", "man"),
    ("menus", "menu"),
    ("mice", "mouse"),
    ("minibuses", "minibus"),
    ("movies", "movie"),
    ("octopuses", "octopus"),
    ("quizzes", "quiz"),
    ("scarves", "scarf"),
    ("selfies", "selfie"),
    ("shelves", "shelf"),
    ("skis", "ski"),
    ("smoothies", "smoothie"),
    ("taxis", "taxi"),
    ("teeth", "tooth"),
    ("thermoses", "thermos"),
    ("viruses", "virus"),
    ("wives", "wife"),
    ("wolves", "wolf"),
    ("women", "woman"),
    ("zombies", "zombie"),
];
/// Singulars that end like plurals, besides those in `-ss`, `-us` and `-is`.
const SINGULARS: &[&str] = &["alias", "atlas", "canvas", "lens", "thermos"];

/// The singular, as far as it can be found without a dictionary. Stemming a stem does not change it.
fn stem(word: &str) -> String {
    let singular = |word: &str| {
        let at = PLURALS.binary_search_by_key(&word, |(plural, _)| plural).ok()?;
        PLURALS.get(at).map(|(_, singular)| (*singular).to_owned())
    };
    singular(word).unwrap_or_else(|| {
        let stem = by_rule(word);
        // "Mens" is "men's" without its apostrophe.
        singular(&stem).unwrap_or(stem)
    })
}

/// Harman's S stemmer, extended by the plurals in `-es` that have one more syllable, and those in `-oes`.
fn by_rule(word: &str) -> String {
    let is = |ending: &str| word.ends_with(ending);
    let cut = |count: usize| word.get(..word.len().saturating_sub(count)).unwrap_or(word);
    if word.len() < 4 || !is("s") || is("ss") || is("us") || is("is") || SINGULARS.contains(&word) {
        word.to_owned()
    } else if is("ies") && word.len() > 4 {
        format!("{}y", cut(3))
    } else if ["sses", "shes", "ches", "xes", "zzes"].iter().any(|ending| is(ending)) || (is("oes") && word.len() > 5) {
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
    fn plurals_have_the_stem_of_their_singulars() {
        let pairs = "lamp/lamps box/boxes watch/watches glass/glasses dress/dresses case/cases house/houses use/uses \
            size/sizes photo/photos potato/potatoes hero/heroes shoe/shoes toe/toes berry/berries tie/ties pie/pies glove/gloves man/mens";
        let pairs = pairs.split_whitespace().filter_map(|pair| pair.split_once('/'));
        for (one, many) in pairs.chain(PLURALS.iter().map(|(many, one)| (*one, *many))) {
            // Stemming leaves singulars unchanged, so that corrections and completions can be displayed.
            assert_eq!(stems(one), [one]);
            assert_eq!(stems(many), [one]);
        }
        assert!(PLURALS.is_sorted(), "it is searched by halves");
    }

    #[test]
    fn words_are_folded_and_keep_their_range() {
        for (text, expected) in [
            ("Brass oil-lamps, 2 boxes", &["brass", "oil", "lamp", "2", "box"][..]),
            ("Crème brûlée", &["creme", "brulee"]),
            ("cre\u{300}me", &["creme"]),
            ("Straße ŒUVRE Ærø", &["strasse", "oeuvre", "aero"]),
            ("Москва Київ Ёлка", &["moskva", "kiiv", "elka"]),
            ("Αθήνα", &["athina"]),
            ("ＡＢＣ１２", &["abc12"]),
            ("上海 lamp灯 서울", &["上", "海", "lamp", "灯", "서울"]),
            ("Wasch\u{ad}maschine a\u{200b}b", &["waschmaschine", "ab"]),
            ("كِتَاب كـتاب أحمد", &["كتاب", "كتاب", "احمد"]),
            ("کیف ﻛﻴﻒ", &["كيف", "كيف"]),
            ("שָׁלוֹם", &["שלום"]),
            ("می\u{200c}خواهم", &["ميخواهم"]),
            ("m² ① ﬁne", &["m2", "1", "fine"]),
            ("ｶﾞｽ ガス か\u{3099} ﾊﾟ", &["ガ", "ス", "ガ", "ス", "が", "パ"]),
            ("กระเป๋า हिन्दी", &["กระ", "ระเ", "ะเป๋", "เป๋า", "हिन्दी"]),
            ("มี ok", &["มี", "ok"]),
            (
                "berries cities bus glass gateway’s ties pies",
                &["berry", "city", "bus", "glass", "gateway", "s", "tie", "pie"],
            ),
            ("👍 -- \u{0}", &[]),
            ("libnss-gw-name:amd64", &["libnss", "gw", "name", "amd64"]),
        ] {
            assert_eq!(stems(text), expected, "{text}");
        }
        let others = |text: &str| other_words(text).into_iter().map(|word| word.stem).collect::<Vec<_>>();
        for (text, expected) in [
            ("iPhone15 Pro", &["iphone", "15"][..]),
            ("iPhone 15", &["iphone15"]),
            ("128 GB, 5 metres", &["128gb", "5metre"]),
            ("Wi-Fi", &["wifi"]),
            ("T\u{2011}Shirt X-Box", &["tshirt", "xbox"]),
            ("oil-lamp A1B2 12-34", &["1234"]),
            ("", &[]),
        ] {
            assert_eq!(others(text), expected, "{text}");
        }
        let asked: Vec<String> = asked_words("wi-fi t-shirts oil-lamp a - b")
            .into_iter()
            .map(|word| word.stem)
            .collect();
        assert_eq!(asked, ["wifi", "tshirt", "oil", "lamp", "a", "b"]);
        let text = "A «Crème» brûlée";
        let found: Vec<&str> = words(text).filter_map(|word| text.get(word.range)).collect();
        assert_eq!(found, ["A", "Crème", "brûlée"]);
        assert_eq!(words(&"x".repeat(100)).next().unwrap().plain.len(), MAX_WORD);
        assert_eq!(words(&"서".repeat(100)).next().unwrap().plain.len(), MAX_WORD - 1);
    }
}
