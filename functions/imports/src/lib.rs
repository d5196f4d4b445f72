//! Imports of products: from files of this market and of other systems, as people have them (VN-27, X-import).
//!
//! [`Importer`] turns the records of a file into products; the command `souk import` runs it over a file of any size. The routes
//! do the same on every host, in jobs: a file is uploaded in parts, or fetched, then it is read, judged and written in batches.
//! Nothing is written before all of the file is judged.

mod error;
mod fetch;
mod file;
mod http;
mod import;
mod jobs;
pub mod operations;
mod permissions;
mod places;
mod record;

use souk_kit::Partitions::{Documents, Index};
use souk_kit::{Function, StoreUse};

pub use error::ImportError;
pub use import::{Counts, IMPORT, Import, ImportLine, NewImport, Outcome, Status};
pub use places::{Attributes, ids_named};
pub use record::{Checked, Importer, RecordError, Rules, SeenRecords};

/// The function.
#[must_use]
pub fn function() -> Function {
    Function {
        name: "imports",
        summary: "Imports of products from files.",
        problems: error::problems::ALL,
        routes: http::routes(),
        jobs: jobs::jobs(),
        kinds: &[IMPORT],
        store: StoreUse {
            reads: &[
                Documents("imports/*"),
                Documents("import-parts/*"),
                Documents("import-lines/*"),
                Documents("account/*"),
                Documents("account-named/*"),
                Documents("job/*"),
            ],
            writes: &[Documents("imports/*"), Documents("import-parts/*"), Documents("job/*")],
        },
        job_store: StoreUse {
            reads: &[
                Documents("role/*"),
                Documents("imports/*"),
                Documents("import-parts/*"),
                Documents("import-batches/*"),
                Documents("import-lines/*"),
                Documents("account/*"),
                Documents("imported"),
                Documents("old-address/*"),
                Documents("product/*"),
                Documents("product-named/*"),
                Documents("category/*"),
                Documents("category-named/*"),
                Documents("category-former/*"),
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("vendor-former/*"),
                Documents("vendor-staff/*"),
                Documents("sku/*"),
                Index("categories/*"),
                Index("vendors/named"),
            ],
            writes: &[
                Documents("imports/*"),
                Documents("import-batches/*"),
                Documents("import-lines/*"),
                Documents("import-parts/*"),
                Documents("imported"),
                Documents("old-address/*"),
                Documents("product/*"),
                Documents("product-named/*"),
                Documents("category/*"),
                Documents("category-named/*"),
                Documents("vendor/*"),
                Documents("vendor-named/*"),
                Documents("sku/*"),
                Index("products/*"),
                Index("categories"),
                Index("categories/*"),
                Index("vendors"),
                Index("vendors/named"),
                Index("vendors/owner/*"),
            ],
        },
        permissions: &[&permissions::IMPORTS_MARKET],
        ..Function::default()
    }
}
