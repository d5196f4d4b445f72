//! The lists of products: their filters, their orders, and the names of their indexes.

use super::status::Status;

/// The filter of a list of products.
#[derive(Clone, Copy, Debug)]
pub enum List<'a> {
    /// All products.
    All,
    /// The products of a category.
    Category(&'a str),
    /// The products that belong to an account.
    Author(&'a str),
    /// The products of a vendor.
    Vendor(&'a str),
    /// The products with a tag, in lower case.
    Tag(&'a str),
}

impl List<'_> {
    /// The name of the index.
    #[must_use]
    pub fn index(self, status: Status) -> String {
        self.under("products", status)
    }

    /// The name of the index of [ranks](super::rank); there is none for tags.
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

/// The indexes of the products of a category, one for each status.
pub fn every_list_of_category(category: &str) -> impl Iterator<Item = String> + '_ {
    Status::ALL
        .into_iter()
        .map(move |status| List::Category(category).index(status))
}

/// The order of a list of products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Most recently published first.
    Newest,
    /// Least recently published first.
    Oldest,
    /// Lowest price first.
    Cheapest,
    /// Highest price first.
    Dearest,
    /// Most upvotes first.
    Popular,
    /// Highest trending score first.
    Trending,
}

impl Sort {
    /// The name that ties a cursor to its order.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Newest => "Newest",
            Sort::Oldest => "Oldest",
            Sort::Cheapest => "Cheapest",
            Sort::Dearest => "Dearest",
            Sort::Popular => "Popular",
            Sort::Trending => "Trending",
        }
    }

    /// The prefix of the sort keys of this order.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Sort::Newest | Sort::Oldest | Sort::Trending => "t/",
            Sort::Cheapest | Sort::Dearest | Sort::Popular => "p/",
        }
    }

    /// Whether this order reads the index of [ranks](super::rank).
    #[must_use]
    pub fn is_ranked(self) -> bool {
        matches!(self, Sort::Popular | Sort::Trending)
    }

    /// Whether the index is read in descending order.
    #[must_use]
    pub fn descending(self) -> bool {
        !matches!(self, Sort::Cheapest | Sort::Oldest)
    }
}
