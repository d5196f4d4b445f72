//! Misspelt words, by the SymSpell scheme: the deletion variants of a word, and the edit distance of two words.
//!
//! A word of four letters or more may be one edit away (a letter missing, superfluous or wrong, or two adjacent ones
//! swapped), a word of eight or more two edits. Two words within that distance share a variant: the same remains when
//! up to that many letters are deleted from each. For long words, variants of the first [`LOOKED_AT`] letters suffice.
//! So an equality lookup finds candidates wherever the edit is, and the distance is measured afterwards.

use std::collections::BTreeSet;

use souk_core::search::is_unspaced;

/// How many letters of a word its variants are made of.
const LOOKED_AT: usize = 7;

/// How many edits what was typed may be away from this word of the products.
pub(super) fn tolerance(word: &str) -> usize {
    match word.chars().count() {
        // A different number is not a misspelling.
        _ if word.bytes().all(|b| b.is_ascii_digit()) => 0,
        // Three letters of a longer word are many words' own.
        _ if word.chars().any(is_unspaced) => 0,
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

/// Whether two words have the same digits in the same order: otherwise they are the codes or sizes of different things.
pub(super) fn have_same_digits(a: &str, b: &str) -> bool {
    digits(a) == digits(b)
}

fn digits(text: &str) -> String {
    text.chars().filter(|c| c.is_numeric()).collect()
}

/// The variants of a word of the products.
pub(super) fn left_of_word(word: &str) -> BTreeSet<String> {
    left(word, tolerance(word))
}

/// The variants of a typed word of at least three letters. It may be up to two letters shorter than the intended word.
pub(super) fn left_of_typed(typed: &str) -> BTreeSet<String> {
    match typed.chars().count() {
        0..3 => BTreeSet::new(),
        3..6 => left(typed, 1),
        _ => left(typed, 2),
    }
}

fn left(word: &str, missing: usize) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if missing == 0 {
        return all;
    }
    let mut fresh: BTreeSet<String> = BTreeSet::from([word.chars().take(LOOKED_AT).collect()]);
    for _ in 0..missing {
        let without = |(word, at): (&String, usize)| -> String {
            let letters = word.chars().enumerate().filter(|(n, _)| *n != at);
            letters.map(|(_, letter)| letter).collect()
        };
        let shorter = fresh
            .iter()
            .flat_map(|word| (0..word.chars().count()).map(move |at| (word, at)))
            .map(without)
            .collect();
        all.extend(std::mem::replace(&mut fresh, shorter));
    }
    all.extend(fresh);
    all
}

/// The edit distance of two words, where no letter is edited twice ("optimal string alignment").
pub fn distance(a: &str, b: &str) -> usize {
    row_by_row(a, b).last().copied().unwrap_or(usize::MAX)
}

/// Whether a prefix of the text is at most one edit away from what was typed, with the same digits.
pub fn begins_almost(typed: &str, text: &str) -> bool {
    let beginning: String = text.chars().take(typed.chars().count() + 2).collect();
    let distance = row_by_row(typed, &beginning).into_iter().min().unwrap_or(usize::MAX);
    distance <= 1 && digits(text).starts_with(&digits(typed))
}

/// The last row of the distance table: the distances of `a` to each prefix of `b`.
fn row_by_row(a: &str, b: &str) -> Vec<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], n: usize| row.get(n).copied().unwrap_or(usize::MAX / 2);
    for (i, letter) in a.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, other) in b.iter().enumerate() {
            let mut best = (at(&row, j) + usize::from(letter != other))
                .min(at(&row, j + 1) + 1)
                .min(at(&next, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(other) && b.get(j - 1) == Some(letter) {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [
            ("lamp", "lamp", 0),
            ("lamp", "lmap", 1),
            ("lamp", "lam", 1),
            ("lamp", "clamp", 1),
            ("lamp", "limp", 1),
            ("lamp", "plan", 3),
            ("", "ab", 2),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
        assert!(begins_almost("lmap", "lampshades") && begins_almost("lampsh", "lampshades"));
        assert!(!begins_almost("lmpa sh", "lampshades") && !begins_almost("rtx4080", "rtx4070 super"));
        assert!(begins_almost("rtz40", "rtx4070 super"));
    }

    #[test]
    fn words_within_tolerance_share_a_variant() {
        let words = [
            "lamp",
            "table",
            "cabinet",
            "umbrella",
            "upholstery",
            "aaaaaaaa",
            "abababab",
        ];
        for word in words {
            let ours = left_of_word(word);
            let mut typed = BTreeSet::from([word.to_owned()]);
            for _ in 0..tolerance(word) {
                typed = typed.iter().flat_map(|typed| edits(typed)).collect();
            }
            for typed in typed {
                // Two edits of the same letter may make a greater distance.
                let near = distance(&typed, word) <= tolerance(word);
                assert!(!near || !ours.is_disjoint(&left_of_typed(&typed)), "{typed} {word}");
            }
        }
    }

    fn edits(word: &str) -> Vec<String> {
        let mut all = vec![word.to_owned()];
        for at in 0..=word.len() {
            let (before, after) = word.split_at(at);
            all.push(format!("{before}x{after}"));
            all.push(format!("{before}{}", after.get(1..).unwrap_or("")));
            all.push(format!("{before}a{}", after.get(1..).unwrap_or("")));
            if let (Some(one), Some(other)) = (after.get(..1), after.get(1..2)) {
                all.push(format!("{before}{other}{one}{}", after.get(2..).unwrap_or("")));
            }
        }
        all
    }
}
