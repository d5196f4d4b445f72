//! Imports products from [files](souk_catalog::formats).
//!
//! The identity of a record is what it is in the system that it comes from, or its vendor and SKU, or its slug, or else its
//! vendor and title among the imported products. If the product exists, it is updated if it differs. So an interrupted import
//! can run again, and a second run changes nothing. The file is read twice: first it is judged, so that what is wrong is known
//! before anything is written, then it is applied record by record. Missing categories and vendors are created, and categories get the
//! attributes that their records have. A record that is not valid is skipped and reported.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use garde::Validate as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use souk_catalog::NewProduct;
use souk_catalog::formats::{self, Encoding, Fault, Format, Reading, Record, Records};
use souk_catalog::operations::{Imported, ProductImport, import_product, plan_product};
use souk_core::{FieldError, Key, Money, Principal, Role, check};
use souk_identity::operations::ensure_passive_account;
use souk_kit::http::Problem;
use souk_kit::{Context, Failure};
use souk_model::catalog::category::AttributeType;
use souk_model::identity::ACCOUNT;

use crate::data;

mod places;

pub(crate) use places::ids_named;
use places::{Attributes, Places};

/// How many records are read at a time.
const BATCH: usize = 1_000;
/// How many records that were left out, and how many notes, are reported.
const MAX_REPORTED: usize = 1_000;
/// How many records are written concurrently.
const AT_ONCE: usize = 64;
/// The username of the account that owns imported products, unless another is named.
const IMPORTER: &str = "importer";
/// The longest id of a record in the system that it comes from, in bytes.
const MAX_SOURCE: usize = 500;

/// How products are imported.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) reading: Reading,
    /// Also add and change products of vendors that belong to other accounts.
    pub(crate) adopt: bool,
    /// Write nothing, and say what would be.
    pub(crate) dry_run: bool,
    /// The username of the account that new products and vendors belong to.
    pub(crate) owner: Option<String>,
}

/// The result of an import.
#[derive(Debug, Default)]
pub(crate) struct Report {
    format: Option<(Format, Encoding)>,
    is_dry: bool,
    added: u64,
    changed: u64,
    same: u64,
    /// The number of records that were left out.
    pub(crate) left_out: usize,
    /// The first of them, with their lines.
    bad: Vec<(u64, String)>,
    /// What of records was left out.
    notes: Vec<(u64, String)>,
    noted: usize,
}

impl Report {
    fn leave_out(&mut self, line: u64, why: String) {
        self.left_out += 1;
        if self.bad.len() < MAX_REPORTED {
            self.bad.push((line, why));
        }
    }

    fn note(&mut self, line: u64, notes: Vec<String>) {
        self.noted += notes.len();
        let room = MAX_REPORTED.saturating_sub(self.notes.len());
        self.notes.extend(notes.into_iter().take(room).map(|note| (line, note)));
    }

    fn count(&mut self, outcome: Imported) {
        match outcome {
            Imported::Added => self.added += 1,
            Imported::Changed => self.changed += 1,
            Imported::Unchanged => self.same += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((format, encoding)) = self.format.filter(|(format, _)| *format != Format::NdJson) {
            writeln!(f, "read as {}, {}", format.name(), encoding.name())?;
        }
        for (line, note) in &self.notes {
            writeln!(f, "line {line}: note: {note}")?;
        }
        if self.noted > self.notes.len() {
            writeln!(f, "and {} more notes", self.noted - self.notes.len())?;
        }
        for (line, why) in &self.bad {
            writeln!(f, "line {line}: {why}")?;
        }
        if self.left_out > self.bad.len() {
            writeln!(f, "and {} more lines", self.left_out - self.bad.len())?;
        }
        let would = if self.is_dry { "would be: " } else { "" };
        write!(
            f,
            "{would}{} added, {} changed, {} unchanged, {} left out",
            self.added, self.changed, self.same, self.left_out
        )
    }
}

/// The error in one line that names the fields.
pub(crate) fn explain(problem: &Problem) -> String {
    if !problem.errors.is_empty() {
        let faults: Vec<String> = problem
            .errors
            .iter()
            .map(|e| format!("{}: {}", e.field, e.detail))
            .collect();
        return faults.join("; ");
    }
    match &problem.source {
        Some(source) => source.to_string(),
        None => problem.detail.clone(),
    }
}

/// Imports a file.
pub(crate) async fn import(cx: &Context, path: &Path, how: &How) -> Result<Report, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: is not a file; an import reads it twice", path.display()));
    }
    let encoding = Encoding::detect(File::open(path).map_err(failed)?).map_err(failed)?;
    let open = || -> Result<(Format, Records), String> {
        let file = File::open(path).map_err(failed)?;
        formats::read(file, encoding, &how.reading).map_err(|why| format!("{}: {why}", path.display()))
    };
    let owner = match &how.owner {
        Some(name) => {
            let found = cx
                .resolve(&[(ACCOUNT, name)])
                .await
                .map_err(|e| e.to_string())?
                .pop()
                .flatten();
            found.ok_or_else(|| format!("there is no account {name:?}"))?
        }
        None if how.dry_run => {
            let found = cx.resolve(&[(ACCOUNT, IMPORTER)]).await.map_err(|e| e.to_string())?;
            found.into_iter().flatten().next().unwrap_or_default()
        }
        None => ensure_passive_account(cx, IMPORTER, "Importer")
            .await
            .map_err(|e| e.to_string())?,
    };
    let (mut count, mut attributes) = (0, Attributes::default());
    let (format, records) = open()?;
    for record in records {
        count += 1;
        if let Ok(mut record) = record {
            attributes.note(&mut record);
        }
    }
    if count == 0 {
        return Err(format!("{}: there is no product in it", path.display()));
    }
    let cx = &cx.clone().acting_as(Principal {
        account: owner.clone(),
        session: String::new(),
        role: Role::Member,
    });
    let mut importer = Importer {
        places: Places::new(cx, &owner, how, attributes),
        owner: &owner,
    };
    let mut report = Report {
        format: Some((format, encoding)),
        is_dry: how.dry_run,
        ..Report::default()
    };
    let bar = data::bar(count);
    let mut seen = Seen::default();
    let (_, mut records) = open()?;
    loop {
        let mut ready = Vec::with_capacity(BATCH);
        let mut taken = 0;
        for record in records.by_ref().take(BATCH) {
            taken += 1;
            let record = match record {
                Ok(record) => record,
                Err(fault) => {
                    report.leave_out(fault.line, without_line(&fault));
                    continue;
                }
            };
            let (line, notes) = (record.line, record.notes.clone());
            match importer.prepare(record).await {
                Ok(import) => match seen.find(&import, line) {
                    None => {
                        report.note(line, notes);
                        ready.push((line, import));
                    }
                    Some(why) => report.leave_out(line, why),
                },
                Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
                Err(problem) => report.leave_out(line, explain(&problem)),
            }
        }
        if taken == 0 {
            break;
        }
        let mut outcomes = stream::iter(ready)
            .map(async |(line, import)| {
                let outcome = if how.dry_run {
                    plan_product(cx, &import).await.map_err(Problem::from)
                } else {
                    import_product(cx, &import).await.map_err(Problem::from)
                };
                (line, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((line, outcome)) = outcomes.next().await {
            match outcome {
                Ok(outcome) => report.count(outcome),
                Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
                Err(problem) => report.leave_out(line, explain(&problem)),
            }
        }
        bar.inc(taken);
    }
    bar.finish_and_clear();
    report.bad.sort();
    report.notes.sort();
    Ok(report)
}

/// A fault, whose line is shown beside it.
fn without_line(fault: &Fault) -> String {
    let text = fault.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

/// What the records so far were, with their lines.
#[derive(Default)]
struct Seen {
    products: HashMap<[u8; 32], u64>,
    skus: HashMap<[u8; 32], u64>,
}

impl Seen {
    /// Why the record is one that was there already; else it is one of them from now on.
    fn find(&mut self, import: &ProductImport, line: u64) -> Option<String> {
        let place = match self.products.entry(digest(&import.identity())) {
            Entry::Occupied(first) => return Some(format!("is the same product as line {}", first.get())),
            Entry::Vacant(place) => place,
        };
        let skus: Vec<([u8; 32], Key)> = import.sku_keys().into_iter().map(|key| (digest(&key), key)).collect();
        let taken = skus
            .iter()
            .find_map(|(digest, key)| Some((self.skus.get(digest)?, key)));
        if let Some((first, key)) = taken {
            return Some(format!("has the SKU {:?} of line {first}", key.sk));
        }
        place.insert(line);
        self.skus.extend(skus.into_iter().map(|(digest, _)| (digest, line)));
        None
    }
}

/// A short form of a key, which no two keys share.
fn digest(key: &Key) -> [u8; 32] {
    Sha256::digest([key.pk.as_bytes(), b"\n", key.sk.as_bytes()].concat()).into()
}

struct Importer<'a> {
    places: Places<'a>,
    owner: &'a str,
}

impl Importer<'_> {
    /// Validates a record, and creates its category and its vendor if they do not exist. Records are prepared one by one.
    async fn prepare(&mut self, mut record: Record) -> Result<ProductImport, Problem> {
        let (path, is_rooted) = (record.path().to_vec(), !record.category_path.is_empty());
        let (values, _) = record.take_attributes();
        let mut product = NewProduct {
            title: record.title,
            description: record.description,
            category: path.last().cloned().unwrap_or_default(),
            vendor: record.vendor,
            sku: record.sku,
            gtin: record.gtin,
            compare_at_price: record.compare_at_price_minor.map(|amount| Money {
                amount,
                currency: record.currency.clone(),
            }),
            price: Some(Money {
                amount: record.price_minor,
                currency: record.currency,
            }),
            weight: record.weight,
            options: record.options,
            variants: record.variants,
            condition: record.condition,
            cover: record.cover,
            gallery: record.gallery,
            tags: record.tags,
            attributes: values,
            location: record.location,
            url: record.url,
        };
        product.validate().map_err(|report| {
            let faults = report.iter().map(|(path, error)| {
                let field = match path.to_string().as_str() {
                    "price" | "price.amount" => "price_minor".to_owned(),
                    "price.currency" => "currency".to_owned(),
                    "compare_at_price" | "compare_at_price.amount" => "compare_at_price_minor".to_owned(),
                    other => other.to_owned(),
                };
                FieldError::new(field, error.message())
            });
            Failure::Invalid(faults.collect())
        })?;
        let slug = record.slug;
        if slug.as_ref().is_some_and(|slug| check::slug(slug, &()).is_err()) {
            let detail = "must be lower-case letters and digits with single hyphens";
            return Err(Problem::invalid().field("slug", detail));
        }
        if record.source.as_ref().is_some_and(|source| source.len() > MAX_SOURCE) {
            return Err(Problem::invalid().field("id", format!("is longer than {MAX_SOURCE} bytes")));
        }
        let category = self.places.category(&path, is_rooted).await?;
        category.adapt(&mut product.attributes)?;
        product.category.clone_from(&category.id);
        if let Some(name) = &product.vendor {
            product.vendor = Some(self.places.vendor(name).await?);
        }
        Ok(ProductImport {
            source: record.source,
            product,
            slug,
            status: record.status,
            author: self.owner.to_owned(),
            adopt: self.places.adopts(),
        })
    }
}

#[cfg(test)]
mod tests;
