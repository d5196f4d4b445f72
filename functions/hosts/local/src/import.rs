//! Imports products from NDJSON: one JSON object per line.
//!
//! The identity of a line is its vendor and SKU, or its slug, or else its vendor and title among the imported products.
//! If the product exists, it is updated if it differs. So an interrupted import can run again, and a second run changes
//! nothing. Missing categories (with the attributes of their lines) and vendors are created. Each line is one commit;
//! an invalid line is skipped and reported.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use garde::Validate as _;
use serde_json::Value;
use souk_catalog::operations::{Imported, ProductImport, create_category, import_product};
use souk_catalog::{NewCategory, NewProduct};
use souk_core::{FieldError, Key, Kind, Money, Principal, Role, check};
use souk_identity::operations::ensure_passive_account;
use souk_kit::http::Problem;
use souk_kit::{Context, Failure};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Attribute, AttributeType};
use souk_model::vendors::{VENDOR, VendorView};
use souk_vendors::NewVendor;
use souk_vendors::operations::open_vendor;

use crate::data;
use crate::line::{Line, parse};

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
    /// The invalid lines: (number, error).
    pub(crate) bad: Vec<(usize, String)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, why) in &self.bad {
            writeln!(f, "line {number}: {why}")?;
        }
        let bad = self.bad.len();
        write!(
            f,
            "{} added, {} changed, {} unchanged, {bad} left out",
            self.added, self.changed, self.same
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
///
/// A vendor that belongs to another account gets products only with `adopt`.
pub(crate) async fn import(cx: &Context, path: &Path, adopt: bool) -> Result<Report, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(failed)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let lines: Vec<Result<Line, String>> = bytes.split(|byte| *byte == b'\n').map(parse).collect();
    let bar = data::bar(lines.len() as u64);
    let mut report = Report::default();
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
        attributes: attributes(&lines),
    };
    let mut seen: HashMap<Key, usize> = HashMap::new();
    let mut ready = Vec::with_capacity(lines.len());
    for (number, line) in (1..).zip(lines) {
        let line = match line {
            Ok(line) => line,
            Err(why) => {
                bar.inc(1);
                if !why.is_empty() {
                    report.bad.push((number, why));
                }
                continue;
            }
        };
        match importer.prepare(line).await {
            Ok(import) => match seen.get(&import.identity()) {
                None => {
                    seen.insert(import.identity(), number);
                    ready.push((number, import));
                }
                Some(first) => {
                    bar.inc(1);
                    report
                        .bad
                        .push((number, format!("is the same product as line {first}")));
                }
            },
            Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
            Err(problem) => {
                bar.inc(1);
                report.bad.push((number, explain(&problem)));
            }
        }
    }
    let mut outcomes = stream::iter(ready)
        .map(async |(number, line)| {
            let outcome = import_product(cx, &line).await;
            bar.inc(1);
            (number, outcome.map_err(Problem::from))
        })
        .buffer_unordered(AT_ONCE);
    while let Some((number, outcome)) = outcomes.next().await {
        match outcome {
            Ok(Imported::Added) => report.added += 1,
            Ok(Imported::Changed) => report.changed += 1,
            Ok(Imported::Unchanged) => report.same += 1,
            Err(problem) if problem.status.is_server_error() => return Err(explain(&problem)),
            Err(problem) => report.bad.push((number, explain(&problem))),
        }
    }
    drop(outcomes);
    bar.finish_and_clear();
    report.bad.sort();
    Ok(report)
}

/// The attributes that the lines of each category have, by the category's slug.
fn attributes(lines: &[Result<Line, String>]) -> HashMap<String, BTreeMap<String, AttributeType>> {
    let mut found: HashMap<String, BTreeMap<String, AttributeType>> = HashMap::new();
    for line in lines.iter().flatten() {
        let known = found.entry(check::slugify(&line.category, "")).or_default();
        for (name, value) in &line.attributes {
            let r#type = match value {
                Value::Bool(_) => AttributeType::Boolean,
                Value::Number(_) => AttributeType::Number,
                _ => AttributeType::Text,
            };
            known.entry(name.clone()).or_insert(r#type);
        }
    }
    found
}

struct Importer {
    /// The context of the importing account.
    cx: Context,
    owner: String,
    adopt: bool,
    /// The ids of the categories and vendors so far, by kind and slug.
    ids: HashMap<(&'static str, String), String>,
    /// The attributes of categories to create, by slug.
    attributes: HashMap<String, BTreeMap<String, AttributeType>>,
}

impl Importer {
    /// Validates a line, and creates its category and its vendor if they do not exist. Lines are prepared one by one.
    async fn prepare(&mut self, line: Line) -> Result<ProductImport, Problem> {
        let mut product = NewProduct {
            title: line.title,
            description: line.description,
            category: check::slugify(&line.category, ""),
            vendor: line.vendor.as_deref().map(|vendor| check::slugify(vendor, "")),
            sku: line.sku,
            price: Some(Money {
                amount: line.price_minor,
                currency: line.currency,
            }),
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
                    "price.amount" => "price_minor".to_owned(),
                    "price.currency" => "currency".to_owned(),
                    other => other.to_owned(),
                };
                FieldError::new(field, error.message())
            });
            Failure::Invalid(faults.collect())
        })?;
        product.category = self.id_of(CATEGORY, &product.category, &line.category).await?;
        if let (Some(slug), Some(name)) = (&product.vendor, &line.vendor) {
            product.vendor = Some(self.id_of(VENDOR, &slug.clone(), name).await?);
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

    /// The id of the category or vendor with this slug, which is created if it does not exist.
    async fn id_of(&mut self, kind: Kind, slug: &str, name: &str) -> Result<String, Problem> {
        let place = (kind.name, slug.to_owned());
        if let Some(id) = self.ids.get(&place) {
            return Ok(id.clone());
        }
        let found = self.cx.resolve(&[(kind, slug)]).await?.into_iter().next().flatten();
        let id = match found {
            Some(id) => {
                if kind == VENDOR && !self.adopt {
                    self.check_owner(&id).await?;
                }
                id
            }
            None => self.add(kind, slug, name).await?,
        };
        self.ids.insert(place, id.clone());
        Ok(id)
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

    async fn add(&self, kind: Kind, slug: &str, name: &str) -> Result<String, Problem> {
        let is_line = check::line::<()>(1, 80)(&name.to_owned(), &());
        is_line.map_err(|e| Problem::invalid().field(kind.name, e.message()))?;
        let (slug, name) = (Some(slug.to_owned()), name.to_owned());
        if kind == VENDOR {
            let description = String::new();
            let new = NewVendor {
                name,
                slug,
                description,
            };
            return Ok(open_vendor(&self.cx, new).await?.value.id);
        }
        let attributes = slug.as_ref().and_then(|slug| self.attributes.get(slug));
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
            slug,
            description: String::new(),
            icon: None,
            colour: None,
            parent: None,
            attributes: attributes.into_iter().flatten().map(attribute).take(30).collect(),
        };
        if new.attributes.iter().any(|attribute| attribute.validate().is_err()) {
            let detail = "have names that no attribute can have";
            return Err(Problem::invalid().field("attributes", detail));
        }
        Ok(create_category(&self.cx, new).await?.value.id)
    }
}
