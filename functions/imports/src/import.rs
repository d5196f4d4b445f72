//! The import: its fields and its rules.
//!
//! The import is `imports/{account}` + id, as documents that expire have no index entries. It also has the documents
//! `import-parts/{id}` + part (the file, in base64), `import-batches/{id}` + number (its records), and `import-lines/{id}` + number
//! (what becomes of them).

use std::collections::BTreeMap;

use garde::Validate;
use serde::{Deserialize, Serialize};
use souk_catalog::formats::{Format, Reading};
use souk_core::{Fault, FieldError, Key, Kind, Timestamp, check};
use utoipa::ToSchema;

use crate::Rules;

/// Imports; they have no names.
pub const IMPORT: Kind = Kind::new("import", "imp");

/// The number of parts of a file.
pub(crate) const MAX_PARTS: usize = 16;
/// The largest part of a file, in bytes.
pub(crate) const MAX_PART: usize = 256 * 1024;
/// The largest file, in bytes. A Worker holds it in memory, with its records.
pub(crate) const MAX_FILE: usize = MAX_PARTS * MAX_PART;
/// How many columns may be renamed.
const MAX_COLUMNS: usize = 100;

/// How a file is to be imported.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewImport {
    /// The URL of the file; it may redirect three times. Without it the file is uploaded in parts.
    #[garde(inner(custom(check::text(1, 2000))))]
    #[schema(min_length = 1, max_length = 2000)]
    #[serde(default)]
    pub url: Option<String>,
    /// `ndjson`, `plain`, `shopify`, `woocommerce`, `google` or `vendure`, if the header of the file does not tell.
    #[garde(custom(is_format))]
    #[schema(pattern = "^(ndjson|plain|shopify|woocommerce|google|vendure)$")]
    #[serde(default)]
    pub format: Option<String>,
    /// Columns that have another name than the format's, with the names that they stand for.
    #[garde(custom(are_columns))]
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// The ISO 4217 code of prices that name none.
    #[garde(custom(is_currency))]
    #[schema(pattern = "^[A-Za-z]{3}$")]
    #[serde(default)]
    pub currency: Option<String>,
    /// Whether prices are written as 1.234,56.
    #[garde(skip)]
    #[serde(default)]
    pub decimal_comma: bool,
    /// The name of the category of products without one; its slug or id, if several have the name.
    #[garde(inner(custom(check::line(1, 80))))]
    #[schema(min_length = 1, max_length = 80)]
    #[serde(default, deserialize_with = "check::optional_line")]
    pub category: Option<String>,
    /// The name of the vendor of products without one; its slug or id, if several have the name.
    #[garde(inner(custom(check::line(1, 80))))]
    #[schema(min_length = 1, max_length = 80)]
    #[serde(default, deserialize_with = "check::optional_line")]
    pub vendor: Option<String>,
    /// Judge the file, but write nothing until the import is started again.
    #[garde(skip)]
    #[serde(default)]
    pub dry_run: bool,
    /// The author of new products, who owns new vendors: the username of an account; takes the permission `imports:market`.
    #[garde(inner(custom(check::line(1, 80))))]
    #[schema(min_length = 1, max_length = 80)]
    #[serde(default, deserialize_with = "check::optional_line")]
    pub author: Option<String>,
    /// The URL of each product in the old shop, which from then on leads to the product here: a column that has it, or a rule such as
    /// `/products/{handle}` with the names of columns in braces; takes the permission `imports:market`.
    #[garde(inner(custom(check::line(1, 200))))]
    #[schema(min_length = 1, max_length = 200)]
    #[serde(default, deserialize_with = "check::optional_line")]
    pub redirects: Option<String>,
    /// Whether products of vendors that belong to other accounts are added and changed too; takes the permission `imports:market`.
    #[garde(skip)]
    #[serde(default)]
    pub adopt: bool,
}

impl NewImport {
    /// The fields that take the permission `imports:market`, if they are set.
    pub(crate) fn for_staff(&self) -> Vec<&'static str> {
        let fields = [
            ("author", self.author.is_some()),
            ("adopt", self.adopt),
            ("redirects", self.redirects.is_some()),
        ];
        fields
            .into_iter()
            .filter(|(_, is_set)| *is_set)
            .map(|(field, _)| field)
            .collect()
    }
}

fn is_format(name: &Option<String>, _: &()) -> garde::Result {
    match name {
        Some(name) if Format::parse(name).is_none() => Err(Fault::not_one_of(&Format::ALL.map(Format::name)).into()),
        _ => Ok(()),
    }
}

fn is_currency(code: &Option<String>, _: &()) -> garde::Result {
    let is_one = |code: &String| code.len() == 3 && code.bytes().all(|b| b.is_ascii_alphabetic());
    if code.as_ref().is_none_or(is_one) {
        return Ok(());
    }
    Err(Fault::format("must be an ISO 4217 code, such as EUR").into())
}

fn are_columns(columns: &BTreeMap<String, String>, _: &()) -> garde::Result {
    if columns.len() > MAX_COLUMNS {
        return Err(Fault::too_many(MAX_COLUMNS).into());
    }
    let is_long = |text: &String| text.len() > 200;
    if columns.iter().any(|(column, field)| is_long(column) || is_long(field)) {
        return Err(Fault::too_long(200)
            .because("has a name that is longer than 200 bytes")
            .into());
    }
    Ok(())
}

/// The stage of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportStatus)]
pub enum Status {
    /// Parts of the file are uploaded.
    Uploading,
    /// The file is fetched from its URL.
    Fetching,
    /// The file is read.
    Reading,
    /// Each record is compared with the market; nothing is written yet.
    Judging,
    /// A dry run is done. Starting the import writes what it found.
    Judged,
    /// The records are written.
    Writing,
    /// The import is done.
    Done,
    /// The file cannot be imported; `error` says why.
    Failed,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ImportOutcome)]
pub enum Outcome {
    /// A product is added.
    Added,
    /// A product exists and is changed.
    Changed,
    /// A product exists and is the same.
    Unchanged,
    /// The record is left out; `errors` say why.
    LeftOut,
}

impl Outcome {
    /// The outcome of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }
}

/// How many records have each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImportCounts)]
pub struct Counts {
    /// Products that are added.
    pub added: u64,
    /// Products that are changed.
    pub changed: u64,
    /// Products that are the same.
    pub unchanged: u64,
    /// Records that are left out.
    pub left_out: u64,
}

impl Counts {
    /// Counts these lines too.
    pub(crate) fn count(&mut self, lines: &[ImportLine]) {
        for line in lines {
            let count = match line.outcome {
                Outcome::Added => &mut self.added,
                Outcome::Changed => &mut self.changed,
                Outcome::Unchanged => &mut self.unchanged,
                Outcome::LeftOut => &mut self.left_out,
            };
            *count = count.saturating_add(1);
        }
    }
}

/// A record of the file, and what becomes of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportLine {
    /// The line of the file in which the record begins; of XML, the number of the item.
    pub line: u64,
    /// The title, if the record has one.
    #[schema(required = true)]
    pub title: Option<String>,
    /// What becomes of the record, or became of it.
    pub outcome: Outcome,
    /// Why it is left out. A field is a column of the file, or a field of a product.
    #[schema(value_type = Vec<FieldError>)]
    pub errors: Vec<FieldError>,
    /// What of the record is left out.
    pub notes: Vec<String>,
}

/// An import.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// The id, `imp_…`.
    #[schema(pattern = "^imp_[0-9a-f]{32}$")]
    pub id: String,
    /// The id of the account that made the import. Only this account sees it.
    // It was stored as `account` before.
    #[serde(alias = "account")]
    pub owner: String,
    /// The id of the account that is the author of new products and owns new vendors.
    pub author: String,
    /// Whether missing categories are made, because its maker has the permission `imports:market`.
    pub changes_categories: bool,
    /// How the file is imported.
    pub options: NewImport,
    /// The stage.
    pub status: Status,
    /// Why the import failed or stopped. One that stopped goes on when it is started again.
    #[schema(required = true)]
    pub error: Option<String>,
    /// The sizes of the parts that are there, by number, in bytes.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub parts: BTreeMap<u32, usize>,
    /// What the file was read as, such as `shopify, UTF-8`.
    #[schema(required = true)]
    pub read_as: Option<String>,
    /// The number of records in the file, once it is read.
    #[schema(required = true)]
    pub records: Option<u64>,
    /// How many of them are judged.
    pub judged: u64,
    /// How many of them are written.
    pub written: u64,
    /// What the import would do, or would have done; final when all records are judged.
    pub planned: Counts,
    /// What the import did; final when all records are written.
    pub result: Counts,
    /// The number of batches that the records are divided into.
    pub(crate) batches: u32,
    /// The batch that the current stage comes to next.
    pub(crate) next_batch: u32,
    /// The job that runs the import.
    #[schema(required = true)]
    pub(crate) job: Option<String>,
    /// When the import was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the import last went on.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Version of the document; it increases by one with every change.
    #[serde(default, skip_serializing_if = "souk_core::stored_separately")]
    #[schema(required = true, minimum = 1)]
    pub version: u64,
}

impl Import {
    /// The partition of the imports of an account.
    pub(crate) fn partition(account: &str) -> String {
        format!("imports/{account}")
    }

    /// The key of an import of this account.
    pub(crate) fn key(account: &str, id: &str) -> Key {
        Key::new(Self::partition(account), id)
    }

    /// Whether it takes the permission `imports:market`.
    pub(crate) fn needs_permission(&self) -> bool {
        self.changes_categories || !self.options.for_staff().is_empty()
    }

    /// Whether a job works on it.
    pub(crate) fn is_running(&self) -> bool {
        matches!(
            self.status,
            Status::Fetching | Status::Reading | Status::Judging | Status::Writing
        )
    }

    /// How the file is to be read.
    pub(crate) fn reading(&self) -> Reading {
        let options = self.options.clone();
        Reading {
            format: options.format.as_deref().and_then(Format::parse),
            columns: options.columns.into_iter().collect(),
            currency: options.currency.map(|code| code.to_ascii_uppercase()),
            decimal_comma: options.decimal_comma,
            category: options.category,
            vendor: options.vendor,
            redirects: options.redirects,
        }
    }

    /// What the import may do.
    pub(crate) fn rules(&self, dry_run: bool) -> Rules {
        Rules {
            adopt: self.options.adopt,
            changes_categories: self.changes_categories,
            dry_run,
        }
    }
}
