//! The ranks of products by upvotes: keys and index names shared by the writer of ranks (the jobs of `community`) and
//! their reader (the lists of `catalog`).
//!
//! Upvotes change without the product, so a rank is a separate document, `rank/{product}`. It has entries in one index
//! for each filter except tags, with the sort keys `p/{votes}/{id}` (`popular`) and `t/{score}/{id}` (`trending`). A
//! rank is updated shortly after its product, so a list also reads the products and leaves out those that do not match.

use serde::{Deserialize, Serialize};
use souk_core::{Entry, Key};

use super::lists::{List, Sort};
use super::status::Status;

/// The highest score: 13 digits, so that zero-padded scores sort as text. Epoch milliseconds also have 13 digits.
pub const MAX_SCORE: u64 = 9_999_999_999_999;
const MAX_VOTES: u64 = 999_999_999_999;

/// The key of the rank of a product.
#[must_use]
pub fn key(product: &str) -> Key {
    Key::of("rank", product)
}

/// The fields that determine the index entries of a rank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The status, which is a public one.
    pub status: Status,
    /// The id of its category.
    pub category: String,
    /// The account that it belongs to.
    pub author: String,
    /// The vendor that sells it.
    pub vendor: Option<String>,
    /// The number of upvotes.
    pub votes: u64,
    /// The trending score, at most [`MAX_SCORE`].
    pub score: u64,
}

impl Standing {
    /// The index entries of the rank of `product`: at most 4 lists, with two entries in each, by upvotes and by score.
    #[must_use]
    pub fn entries(&self, product: &str) -> Vec<Entry> {
        let popular = format!("{}{:012}/{product}", Sort::Popular.prefix(), self.votes.min(MAX_VOTES));
        let trending = format!("{}{:013}/{product}", Sort::Trending.prefix(), self.score.min(MAX_SCORE));
        let mut lists = vec![List::All, List::Category(&self.category), List::Author(&self.author)];
        lists.extend(self.vendor.as_deref().map(List::Vendor));
        let places =
            |list: List| [&popular, &trending].map(|place| Entry::new(list.ranked(self.status), place.clone()));
        lists.into_iter().flat_map(places).collect()
    }
}

/// The product id in this sort key.
pub fn product_at(place: &str) -> &str {
    place.rsplit('/').next().unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_order_and_name_their_product() {
        let place = |votes, score| {
            let standing = Standing {
                status: Status::Sold,
                category: "cat_1".into(),
                author: "acc_1".into(),
                vendor: Some("vnd_1".into()),
                votes,
                score,
            };
            let entries = standing.entries("prd_1");
            assert_eq!(entries.len(), 8);
            let [popular, trending, ..] = entries.as_slice() else {
                unreachable!()
            };
            assert_eq!(
                (popular.index.as_str(), product_at(&popular.sort)),
                ("ranked/sold", "prd_1")
            );
            (popular.sort.clone(), trending.sort.clone())
        };
        let ordered = [(0, 0), (9, 999), (10, 1_800_000_000_000), (u64::MAX, u64::MAX)];
        for pair in ordered.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|(votes, score)| place(votes, score));
            assert!(low.0 < high.0 && low.1 < high.1, "{pair:?}");
        }
    }
}
