//! The life cycle of a product.

use super::events as fact;
use serde::{Deserialize, Serialize};

/// Life-cycle status of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProductStatus)]
pub enum Status {
    /// Not public: visible to its author, to the owner and staff of its vendor, and with the permission
    /// `products:read` or `products:write`.
    #[default]
    Draft,
    /// Public.
    Published,
    /// Public, and no longer for sale.
    Sold,
    /// Not public: visible to its author, to the owner and staff of its vendor, and with the permission
    /// `products:read` or `products:write`.
    Archived,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 4] = [Status::Draft, Status::Published, Status::Sold, Status::Archived];

    /// The name in URLs and index names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Published => "published",
            Status::Sold => "sold",
            Status::Archived => "archived",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Status> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The event type of the transition to this status.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Status::Draft => fact::PRODUCT_DRAFTED,
            Status::Published => fact::PRODUCT_PUBLISHED,
            Status::Sold => fact::PRODUCT_SOLD,
            Status::Archived => fact::PRODUCT_ARCHIVED,
        }
    }

    /// Whether products with this status are public.
    #[must_use]
    pub fn is_public(self) -> bool {
        matches!(self, Status::Published | Status::Sold)
    }

    /// Whether the transition to `next` is allowed.
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
