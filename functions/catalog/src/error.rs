//! Why an operation on products or categories failed.

use souk_kit::http::Problem;
use souk_kit::{Failure, Fault};
use souk_model::catalog::status::Status;

/// The types of problems that only this function has.
pub(crate) mod problems {
    souk_kit::problem_types! {
        /// Another product of the vendor has this SKU; `errors` names the field.
        SKU_TAKEN: CONFLICT "sku_taken";
        /// The category is being removed, and takes nothing new.
        CATEGORY_CLOSING: CONFLICT "category_closing";
        /// There are products in the category or categories below it. Move them first.
        NOT_EMPTY: CONFLICT "not_empty";
        /// The product cannot go from its status to this one.
        ILLEGAL_TRANSITION: CONFLICT "illegal_transition";
    }
}

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
            CatalogError::SlugTaken => Problem::taken("slug", detail),
            CatalogError::SkuTaken(sku) => {
                let fault = Fault::taken().because(format!("{sku:?} is taken"));
                Problem::new(problems::SKU_TAKEN, detail).field("sku", fault)
            }
            CatalogError::CategoryClosing => {
                let fault = Fault::not_found("category").because("is being removed");
                Problem::new(problems::CATEGORY_CLOSING, detail).field("category", fault)
            }
            CatalogError::CategoryNotEmpty => Problem::new(problems::NOT_EMPTY, detail),
            CatalogError::IllegalTransition { .. } => Problem::new(problems::ILLEGAL_TRANSITION, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No client can cause it at will.
    #[test]
    fn what_is_rare_has_its_code() {
        assert_eq!(
            Problem::from(CatalogError::CategoryClosing).kind.code,
            "category_closing"
        );
    }
}
