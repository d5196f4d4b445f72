//! Where products stand by their votes: the names that the writer of ranks (the community's jobs) and their reader (the
//! lists here) share.
//!
//! Votes move without the product, so a rank is a document of its own, `rank/{product}`. It stands in an index for each
//! thing a product can be listed by, but its tags, at `p/{votes}/{id}` (`popular`) and at `t/{score}/{id}` (`trending`). A
//! rank follows its product a moment later, so a list reads the products that it names and leaves out what does not
//! belong there.

use serde::{Deserialize, Serialize};
use souk_core::{Entry, Key};

use super::lists::{List, Sort};
use super::status::Status;

/// The highest score that keeps its place in the order of text: 13 digits, like the milliseconds of this age.
pub const MAX_SCORE: u64 = 9_999_999_999_999;
const MAX_VOTES: u64 = 999_999_999_999;

/// Where the rank of a product is.
#[must_use]
pub fn key(product: &str) -> Key {
    Key::of("rank", product)
}

/// What decides where a product stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// One that everyone may see.
    pub status: Status,
    /// The id of its category.
    pub category: String,
    /// The account that added it.
    pub author: String,
    /// The vendor that sells it.
    pub vendor: Option<String>,
    /// How many have voted for it.
    pub votes: u64,
    /// How much it trends, at most [`MAX_SCORE`].
    pub score: u64,
}

impl Standing {
    /// Where the rank of `product` stands: in at most 4 lists, in each by votes and by score.
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

/// The product that stands at this place.
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
