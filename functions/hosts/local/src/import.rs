//! Imports products from NDJSON: one JSON object per line.
//!
//! The identity of a line is its vendor and SKU, or its slug, or else its vendor and title among the imported products.
//! If the product exists, it is updated if it differs. So an interrupted import can run again, and a second run changes
//! nothing. Missing categories (with the attributes of their lines) and vendors are created. Each line is one commit;
//! an invalid line is skipped and reported.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use garde::Validate as _;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use souk_catalog::operations::{Imported, ProductImport, create_category, import_product};
use souk_catalog::{NewCategory, NewProduct};
use souk_core::{FieldError, Key, Kind, Money, Principal, Query, Role, check};
use souk_identity::operations::ensure_passive_account;
use souk_kit::http::Problem;
use souk_kit::{Context, Failure};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Attribute, AttributeType, NAMED};
use souk_model::vendors::{VENDOR, VENDORS_NAMED, VendorView};
use souk_vendors::NewVendor;
use souk_vendors::operations::open_vendor;

use crate::data;
use crate::line::{Line, parse};

/// How many lines are read at a time.
const BATCH: usize = 1_000;
/// The longest line, in bytes.
const MAX_LINE: u64 = 1024 * 1024;
/// How many lines that were left out are reported.
const MAX_REPORTED: usize = 1_000;
/// How many lines are written concurrently.
const AT_ONCE: usize = 64;
/// The username of the account that owns imported products.
const IMPORTER: &str = "importer";

/// The result of an import.
#[derive(Debug, Default)]
pub(crate) struct Report {
    added: u64,
    changed: u64,
    same: u64,
    /// The number of lines that were left out.
    pub(crate) left_out: usize,
    /// The first of them: (number, error).
    bad: Vec<(usize, String)>,
}

impl Report {
    fn leave_out(&mut self, number: usize, why: String) {
        self.left_out += 1;
        if self.bad.len() < MAX_REPORTED {
            self.bad.push((number, why));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, why) in &self.bad {
            writeln!(f, "line {number}: {why}")?;
        }
        if self.left_out > self.bad.len() {
            writeln!(f, "and {} more lines", self.left_out - self.bad.len())?;
        }
        write!(
            f,
            "{} added, {} changed, {} unchanged, {} left out",
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

/// Imports a file. It is read twice: first for the attributes of the categories, then batch by batch, so that the memory does
/// not grow with the file.
///
/// A vendor that belongs to another account gets products only with `adopt`.
pub(crate) async fn import(cx: &Context, path: &Path, adopt: bool) -> Result<Report, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: is not a file; an import reads it twice", path.display()));
    }
    let (mut count, mut attributes) = (0, Attributes::new());
    for line in Lines::open(path).map_err(failed)? {
        count += 1;
        if let Ok(line) = parse(&line.map_err(failed)?) {
            note(&line, &mut attributes);
        }
    }
    let owner = ensure_passive_account(cx, IMPORTER, "Importer")
        .await
        .map_err(|e| e.to_string())?;
    let mut importer = Importer {
        cx: cx.clone().acting_as(Principal {
            account: owner.clone(),
            session: String::new(),
            role: Role::Member,
        }),
        owner,
        adopt,
        ids: HashMap::new(),
        attributes,
    };
    let bar = data::bar(count);
    let mut report = Report::default();
    let mut seen: HashMap<[u8; 32], usize> = HashMap::new();
    let mut lines = (1..).zip(Lines::open(path).map_err(failed)?);
    loop {
        let mut ready = Vec::with_capacity(BATCH);
        let mut taken = 0;
        for (number, line) in lines.by_ref().take(BATCH) {
            taken += 1;
            let line = match parse(&line.map_err(failed)?) {
                Ok(line) => line,
                Err(why) if why.is_empty() => continue,
                Err(why) => {
                    report.leave_out(number, why);
                    continue;
                }
            };
            match importer.prepare(line).await {
                Ok(import) => match seen.entry(digest(&import.identity())) {
                    Entry::Vacant(place) => {
                        place.insert(number);
                        ready.push((number, import));
                    }
                    Entry::Occupied(first) => {
                        report.leave_out(number, format!("is the same product as line {}", first.get()));
                    }
                },
                Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
                Err(problem) => report.leave_out(number, explain(&problem)),
            }
        }
        if taken == 0 {
            break;
        }
        let mut outcomes = stream::iter(ready)
            .map(async |(number, line)| (number, import_product(cx, &line).await.map_err(Problem::from)))
            .buffer_unordered(AT_ONCE);
        while let Some((number, outcome)) = outcomes.next().await {
            match outcome {
                Ok(Imported::Added) => report.added += 1,
                Ok(Imported::Changed) => report.changed += 1,
                Ok(Imported::Unchanged) => report.same += 1,
                Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
                Err(problem) => report.leave_out(number, explain(&problem)),
            }
        }
        bar.inc(taken);
    }
    bar.finish_and_clear();
    report.bad.sort();
    Ok(report)
}

/// The lines of a file, without its byte order mark. A line that is too long is cut, so that it cannot be parsed.
struct Lines {
    file: BufReader<File>,
    is_first: bool,
}

impl Lines {
    fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: BufReader::new(File::open(path)?),
            is_first: true,
        })
    }

    fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = self.file.by_ref().take(MAX_LINE);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if limited.limit() == 0 && line.last() != Some(&b'\n') {
            self.file.skip_until(b'\n')?;
        }
        if std::mem::take(&mut self.is_first) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        Ok(Some(line))
    }
}

impl Iterator for Lines {
    type Item = std::io::Result<Vec<u8>>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A short form of a key, which no two keys share.
fn digest(key: &Key) -> [u8; 32] {
    Sha256::digest([key.pk.as_bytes(), b"\n", key.sk.as_bytes()].concat()).into()
}

/// The attributes that the lines of each category have, by the category's [name](check::name_key).
type Attributes = HashMap<String, BTreeMap<String, AttributeType>>;

fn note(line: &Line, attributes: &mut Attributes) {
    let known = attributes.entry(check::name_key(&line.category)).or_default();
    for (name, value) in &line.attributes {
        let r#type = match value {
            Value::Bool(_) => AttributeType::Boolean,
            Value::Number(_) => AttributeType::Number,
            _ => AttributeType::Text,
        };
        known.entry(name.clone()).or_insert(r#type);
    }
}

/// The ids of the categories or vendors with this name; of many only two.
pub(crate) async fn ids_named(cx: &Context, index: &str, name: &str) -> Result<Vec<String>, Failure> {
    let prefix = check::named(name);
    let query = Query {
        prefix: prefix.clone(),
        ..Query::index(index, 2)
    };
    let page = cx.query(&query).await?;
    let ids = page.items.iter().filter_map(|item| item.sort.strip_prefix(&prefix));
    Ok(ids.map(str::to_owned).collect())
}

struct Importer {
    /// The context of the importing account.
    cx: Context,
    owner: String,
    adopt: bool,
    /// The ids of the categories and vendors so far, by kind and [name](check::name_key).
    ids: HashMap<(&'static str, String), String>,
    /// The attributes of categories to create.
    attributes: Attributes,
}

impl Importer {
    /// Validates a line, and creates its category and its vendor if they do not exist. Lines are prepared one by one.
    async fn prepare(&mut self, line: Line) -> Result<ProductImport, Problem> {
        let mut product = NewProduct {
            title: line.title,
            description: line.description,
            category: line.category,
            vendor: line.vendor,
            sku: line.sku,
            gtin: line.gtin,
            compare_at_price: line.compare_at_price_minor.map(|amount| Money {
                amount,
                currency: line.currency.clone(),
            }),
            price: Some(Money {
                amount: line.price_minor,
                currency: line.currency,
            }),
            weight: line.weight,
            options: line.options,
            variants: line.variants,
            condition: line.condition,
            cover: line.cover,
            gallery: line.gallery,
            tags: line.tags,
            attributes: line.attributes,
            location: line.location,
            url: line.url,
        };
        product.validate().map_err(|report| {
            let faults = report.iter().map(|(path, error)| {
                // The fields of a line are not nested.
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
        product.category = self.id_of(CATEGORY, NAMED, &product.category).await?;
        if let Some(name) = &product.vendor {
            product.vendor = Some(self.id_of(VENDOR, VENDORS_NAMED, name).await?);
        }
        let slug = line.slug;
        if slug.as_ref().is_some_and(|slug| check::slug(slug, &()).is_err()) {
            let detail = "must be lower-case letters and digits with single hyphens";
            return Err(Problem::invalid().field("slug", detail));
        }
        Ok(ProductImport {
            product,
            slug,
            status: line.status,
            author: self.owner.clone(),
        })
    }

    /// The id of the category or vendor with this name, or with this slug or id if several have its name; it is created if there is none.
    async fn id_of(&mut self, kind: Kind, index: &str, name: &str) -> Result<String, Problem> {
        let place = (kind.name, check::name_key(name));
        if let Some(id) = self.ids.get(&place) {
            return Ok(id.clone());
        }
        let id = match self.find(kind, index, name).await? {
            Some(id) => {
                if kind == VENDOR && !self.adopt {
                    self.check_owner(&id).await?;
                }
                id
            }
            None => self.add(kind, name).await?,
        };
        self.ids.insert(place, id.clone());
        Ok(id)
    }

    async fn find(&self, kind: Kind, index: &str, name: &str) -> Result<Option<String>, Problem> {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        match ids_named(&self.cx, index, name).await?.as_slice() {
            [] => {}
            [id] => return Ok(Some(id.clone())),
            _ => {
                let detail = "is the name of several: give the slug of the one that you mean";
                return Err(Problem::invalid().field(kind.name, detail));
            }
        }
        if kind.is_id(name) {
            let found = self.cx.get(kind.key(name)).await?;
            return Ok(found.map(|_| name.to_owned()));
        }
        // A slug is meant where the name would not say which, as exports write it; else a name that happens to be the slug of
        // something else would be taken for it.
        let slug = check::slugify(name, "");
        let Some(document) = self.cx.find(kind, &slug).await? else {
            return Ok(None);
        };
        let found: Named = document.parse()?;
        let is_it = match ids_named(&self.cx, index, &found.name).await?.len() {
            // It is from before there was an index by name.
            0 => {
                check::name_key(&found.name) == check::name_key(name)
                    || (slug == name && check::slugify(&found.name, "") != slug)
            }
            1 => false,
            _ => slug == name,
        };
        Ok(kind.id_of(&document.key).filter(|_| is_it).map(str::to_owned))
    }

    /// Fails if the vendor belongs to another account.
    async fn check_owner(&self, vendor: &str) -> Result<(), Problem> {
        let vendor = self.cx.read::<VendorView>(VENDOR.key(vendor)).await?;
        if vendor.is_some_and(|vendor| vendor.owner != self.owner) {
            let detail = "belongs to another account; `--adopt` adds the product nevertheless";
            return Err(Problem::invalid().field("vendor", detail));
        }
        Ok(())
    }

    async fn add(&self, kind: Kind, name: &str) -> Result<String, Problem> {
        let is_line = check::line::<()>(1, 80)(&name.to_owned(), &());
        is_line.map_err(|e| Problem::invalid().field(kind.name, e.message()))?;
        let attributes = self.attributes.get(&check::name_key(name));
        let name = name.to_owned();
        if kind == VENDOR {
            let new = NewVendor {
                name,
                slug: None,
                description: String::new(),
            };
            return Ok(open_vendor(&self.cx, new).await?.value.id);
        }
        let attribute = |(name, r#type): (&String, &AttributeType)| Attribute {
            name: name.clone(),
            label: None,
            r#type: *r#type,
            required: false,
            filterable: true,
            choices: Vec::new(),
        };
        let new = NewCategory {
            name,
            slug: None,
            description: String::new(),
            icon: None,
            colour: None,
            parent: None,
            // The lines that have others are left out.
            attributes: attributes
                .into_iter()
                .flatten()
                .map(attribute)
                .filter(|attribute| attribute.validate().is_ok())
                .take(30)
                .collect(),
        };
        Ok(create_category(&self.cx, new).await?.value.id)
    }
}

#[cfg(test)]
mod tests;
