//! Operations on products, categories and old addresses.

mod addresses;
mod categories;
mod import;
mod list;
mod products;
mod rights;
mod skus;
mod tree;

pub use addresses::{follow_old_address, lead_on, remove_old_address, set_old_address};
pub use categories::{create_category, delete_category, edit_category, find_category, list_categories};
pub use import::{Imported, ProductImport, import_product, plan_product};
pub use list::{ProductFilter, ProductQuery, list_products};
pub use products::{
    advance_product, create_product, delete_product, edit_product, find_product, hand_over_product, product_as_of,
};
pub use tree::{CategoryNode, CategoryTree, category_tree, list_children};
