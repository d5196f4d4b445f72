//! The life of a product.

use super::events as fact;
use serde::{Deserialize, Serialize};

/// Where a product is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its author and moderators see it.
    Draft,
    /// Everyone sees it.
    Published,
    /// Everyone sees that it is gone.
    Sold,
    /// Its author and moderators see it.
    Archived,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 4] = [Status::Draft, Status::Published, Status::Sold, Status::Archived];

    /// As in URLs and index names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Published => "published",
            Status::Sold => "sold",
            Status::Archived => "archived",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Status> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The event that says that a product has come to be this.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Status::Draft => fact::PRODUCT_DRAFTED,
            Status::Published => fact::PRODUCT_PUBLISHED,
            Status::Sold => fact::PRODUCT_SOLD,
            Status::Archived => fact::PRODUCT_ARCHIVED,
        }
    }

    /// Whether everyone may see it.
    #[must_use]
    pub fn is_public(self) -> bool {
        matches!(self, Status::Published | Status::Sold)
    }

    /// Whether it may become `next`.
    #[must_use]
    pub fn may_become(self, next: Status) -> bool {
        use Status::{Archived, Draft, Published, Sold};
        matches!(
            (self, next),
            (Draft | Archived, Published)
                | (Published | Sold, Archived)
                | (Published, Sold)
                | (Published | Archived, Draft)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_only_these_ways() {
        use Status::{Archived, Draft, Published, Sold};
        let legal: Vec<_> = Status::ALL
            .into_iter()
            .flat_map(|from| Status::ALL.map(|to| (from, to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        assert_eq!(
            legal,
            [
                (Draft, Published),
                (Published, Draft),
                (Published, Sold),
                (Published, Archived),
                (Sold, Archived),
                (Archived, Draft),
                (Archived, Published)
            ]
        );
    }
}
