//! The lists that products stand in: what they are of, in which order, and the names of their indexes.

use super::status::Status;

/// What products can be listed by.
#[derive(Clone, Copy, Debug)]
pub enum List<'a> {
    /// Nothing in particular.
    All,
    /// Their category.
    Category(&'a str),
    /// Who added them.
    Author(&'a str),
    /// Who sells them.
    Vendor(&'a str),
    /// A tag, in lower case.
    Tag(&'a str),
}

impl List<'_> {
    /// The name of the index.
    #[must_use]
    pub fn index(self, status: Status) -> String {
        self.under("products", status)
    }

    /// The name of the index of [ranks](super::rank), which has none by tag.
    #[must_use]
    pub fn ranked(self, status: Status) -> String {
        self.under("ranked", status)
    }

    fn under(self, root: &str, status: Status) -> String {
        let (kind, id) = match self {
            List::All => ("", ""),
            List::Category(id) => ("/category/", id),
            List::Author(id) => ("/author/", id),
            List::Vendor(id) => ("/vendor/", id),
            List::Tag(tag) => ("/tag/", tag),
        };
        [root, "/", status.name(), kind, id].concat()
    }
}

/// Every index that has the products of a category, whatever their status.
pub fn every_list_of_category(category: &str) -> impl Iterator<Item = String> + '_ {
    Status::ALL
        .into_iter()
        .map(move |status| List::Category(category).index(status))
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The latest published first.
    Newest,
    /// The least price first.
    Cheapest,
    /// The highest price first.
    Dearest,
    /// The most votes first.
    Popular,
    /// The most votes of late first.
    Trending,
}

impl Sort {
    /// As in cursors, which are held to their order.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Newest => "Newest",
            Sort::Cheapest => "Cheapest",
            Sort::Dearest => "Dearest",
            Sort::Popular => "Popular",
            Sort::Trending => "Trending",
        }
    }

    /// What the sort keys of this order begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Sort::Newest | Sort::Trending => "t/",
            Sort::Cheapest | Sort::Dearest | Sort::Popular => "p/",
        }
    }

    /// Whether it is the order of [ranks](super::rank).
    #[must_use]
    pub fn is_ranked(self) -> bool {
        matches!(self, Sort::Popular | Sort::Trending)
    }

    /// Whether the index is read from its end.
    #[must_use]
    pub fn descending(self) -> bool {
        self != Sort::Cheapest
    }
}
