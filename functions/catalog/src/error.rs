//! Why an operation on products or categories failed.

use souk_kit::Failure;
use souk_kit::http::Problem;
use souk_model::catalog::status::Status;

/// Why an operation on products or categories failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CatalogError {
    /// An error that any operation can return.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Another product or category has this slug.
    #[error("this slug is taken")]
    SlugTaken,
    /// Another product of the vendor has this SKU.
    #[error("this vendor has a product of the SKU {0:?}")]
    SkuTaken(String),
    /// The category is being deleted.
    #[error("this category is being removed; try again in a moment")]
    CategoryClosing,
    /// The category has products or children.
    #[error("there are products in it or categories below it")]
    CategoryNotEmpty,
    /// The life cycle does not allow this.
    #[error("a product that is {} cannot become {}", .from.name(), .to.name())]
    IllegalTransition {
        /// The current status.
        from: Status,
        /// The requested status.
        to: Status,
    },
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        let detail = error.to_string();
        match error {
            CatalogError::Failure(failure) => failure.into(),
            CatalogError::SlugTaken => Problem::conflict("slug_taken", detail).field("slug", "is taken"),
            CatalogError::SkuTaken(sku) => {
                Problem::conflict("sku_taken", detail).field("sku", format!("{sku:?} is taken"))
            }
            CatalogError::CategoryClosing => {
                Problem::conflict("category_closing", detail.clone()).field("category", detail)
            }
            CatalogError::CategoryNotEmpty => Problem::conflict("not_empty", detail),
            CatalogError::IllegalTransition { .. } => Problem::conflict("illegal_transition", detail),
        }
    }
}
