//! From a record of a file to a product: its fields are checked, its category and its vendor are found.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use garde::Validate as _;
use sha2::{Digest as _, Sha256};
use souk_catalog::formats::{self, Record};
use souk_catalog::operations::ProductImport;
use souk_catalog::{CatalogError, NewProduct, normal_address};
use souk_core::fault::field_errors;
use souk_core::{Fault, FieldError, StoreError, check};
use souk_kit::{Context, Failure};
use souk_model::catalog::status::Status;
use souk_vendors::VendorError;

use crate::places::{Attributes, Places};

/// The longest id of a record in the system that it comes from, in bytes.
const MAX_SOURCE: usize = 500;

/// The longest name of a category or vendor, in characters.
const MAX_NAME: usize = 80;

/// How many old addresses of a product lead on to it.
const MAX_ADDRESSES: usize = 10;

/// What an import may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// Also add and change products of vendors that belong to other accounts.
    pub adopt: bool,
    /// Make categories that are not there, and give them the attributes that records have.
    pub changes_categories: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// Why a record is not imported.
#[derive(Debug)]
pub enum RecordError {
    /// The record has a field that is not valid, or that does not fit the categories, vendors and products there are.
    Invalid(Vec<FieldError>),
    /// The store failed: the import can go on later.
    Failed(Failure),
}

impl RecordError {
    pub(crate) fn of(field: &str, fault: Fault) -> Self {
        RecordError::Invalid(vec![FieldError::new(field, fault)])
    }
}

impl From<Failure> for RecordError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(errors) => RecordError::Invalid(errors),
            Failure::Forbidden { errors, .. } if !errors.is_empty() => RecordError::Invalid(errors),
            // Such as a key that is too long.
            Failure::Store(StoreError::Refused(why)) => RecordError::of("", Fault::invalid(why)),
            Failure::Store(_) | Failure::Contention | Failure::Busy | Failure::Internal(_) => {
                RecordError::Failed(failure)
            }
            other => RecordError::of("", Fault::invalid(other.to_string())),
        }
    }
}

impl From<CatalogError> for RecordError {
    fn from(error: CatalogError) -> Self {
        let detail = error.to_string();
        match error {
            CatalogError::Failure(failure) => failure.into(),
            CatalogError::IllegalTransition { .. } => RecordError::of("", Fault::invalid(detail)),
            CatalogError::SlugTaken => RecordError::of("slug", Fault::taken().because(detail)),
            CatalogError::SkuTaken(_) => RecordError::of("sku", Fault::taken().because(detail)),
            CatalogError::CategoryClosing | CatalogError::CategoryNotEmpty => {
                RecordError::of("category", Fault::invalid(detail))
            }
        }
    }
}

impl From<VendorError> for RecordError {
    fn from(error: VendorError) -> Self {
        match error {
            VendorError::Failure(failure) => failure.into(),
            error => RecordError::of("vendor", Fault::invalid(error.to_string())),
        }
    }
}

impl From<formats::Fault> for RecordError {
    fn from(fault: formats::Fault) -> Self {
        let detail = match &fault.value {
            // A long one is cut.
            Some(value) => format!("{:?} {}", value.chars().take(60).collect::<String>(), fault.rule),
            None => fault.rule,
        };
        RecordError::of(fault.column.as_deref().unwrap_or(""), Fault::format(detail))
    }
}

impl fmt::Display for RecordError {
    /// One line that names the fields.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = match self {
            RecordError::Failed(failure) => return failure.fmt(f),
            RecordError::Invalid(errors) => errors,
        };
        let shown = errors.iter().map(|error| match &*error.field {
            "" => error.detail.clone(),
            field => format!("{field}: {}", error.detail),
        });
        f.write_str(&shown.collect::<Vec<_>>().join("; "))
    }
}

/// A record whose fields are valid by themselves.
#[derive(Debug)]
pub struct Checked {
    /// The product; its category and vendor are names yet.
    product: NewProduct,
    path: Vec<String>,
    is_rooted: bool,
    slug: Option<String>,
    source: Option<String>,
    status: Status,
    pub(crate) old_addresses: Vec<String>,
    /// What of the record is left out.
    pub notes: Vec<String>,
}

impl Checked {
    /// Checks what can be checked without the market.
    pub fn new(mut record: Record) -> Result<Self, RecordError> {
        let (path, is_rooted) = (record.path().to_vec(), !record.category_path.is_empty());
        let (values, _) = record.take_attributes();
        let product = NewProduct {
            title: record.title,
            slug: None,
            description: record.description,
            category: path.last().cloned().unwrap_or_default(),
            vendor: record.vendor,
            sku: record.sku,
            gtin: record.gtin,
            compare_at_price: record.compare_at_price,
            price: Some(record.price),
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
            let faults = field_errors(&report).map(|mut error| {
                if error.field == "sku" && product.vendor.is_none() {
                    error.detail = "needs a vendor: name one for products without (the option `vendor`)".into();
                }
                error
            });
            RecordError::Invalid(faults.collect())
        })?;
        for (field, name) in path
            .iter()
            .map(|name| ("category", name))
            .chain(product.vendor.iter().map(|name| ("vendor", name)))
        {
            if !name.is_empty() {
                let is_name = check::line::<()>(1, MAX_NAME)(name, &());
                is_name.map_err(|error| RecordError::of(field, Fault::from(&error)))?;
            }
        }
        let slug = record.slug;
        if let Some(Err(error)) = slug.as_ref().map(|slug| check::slug(slug, &())) {
            return Err(RecordError::of("slug", Fault::from(&error)));
        }
        if record.source.as_ref().is_some_and(|source| source.len() > MAX_SOURCE) {
            return Err(RecordError::of("id", Fault::too_long(MAX_SOURCE)));
        }
        let mut notes = record.notes;
        let mut old_addresses = Vec::new();
        for address in record.old_addresses {
            match normal_address(&address) {
                Some(normal) if old_addresses.len() < MAX_ADDRESSES => old_addresses.push(normal),
                Some(_) => notes.push(format!(
                    "old address left out: {address:?} is more than {MAX_ADDRESSES}"
                )),
                None => notes.push(format!(
                    "old address left out: {address:?} is none, such as /products/shirt"
                )),
            }
        }
        Ok(Self {
            product,
            path,
            is_rooted,
            slug,
            source: record.source,
            status: record.status,
            old_addresses,
            notes,
        })
    }

    /// What the record is, as far as its file says.
    fn identity(&self) -> Digest {
        let NewProduct { vendor, sku, title, .. } = &self.product;
        let vendor = vendor.as_deref().map(check::name_key).unwrap_or_default();
        match (&self.source, &self.slug, sku) {
            (Some(source), ..) => digest(&["source", &vendor, source]),
            (None, _, Some(sku)) if !vendor.is_empty() => digest(&["sku", &vendor, sku]),
            (None, Some(slug), _) => digest(&["slug", slug]),
            (None, None, _) => digest(&["title", &vendor, title.trim()]),
        }
    }

    fn skus(&self) -> Vec<(Digest, String)> {
        let NewProduct {
            vendor, sku, variants, ..
        } = &self.product;
        let Some(vendor) = vendor else { return Vec::new() };
        let vendor = check::name_key(vendor);
        let skus = sku
            .iter()
            .chain(variants.iter().filter_map(|variant| variant.sku.as_ref()));
        skus.map(|sku| (digest(&[&vendor, sku]), sku.clone())).collect()
    }
}

type Digest = [u8; 32];

fn digest(parts: &[&str]) -> Digest {
    Sha256::digest(parts.join("\n").as_bytes()).into()
}

/// What the records of a file so far were, with their lines.
#[derive(Default)]
pub struct SeenRecords {
    products: HashMap<Digest, u64>,
    skus: HashMap<Digest, u64>,
    addresses: HashMap<Digest, u64>,
}

impl SeenRecords {
    /// Fails if the record is one that was there already; else it is one of them from now on.
    pub fn note(&mut self, record: &mut Checked, line: u64) -> Result<(), RecordError> {
        let place = match self.products.entry(record.identity()) {
            Entry::Occupied(first) => {
                let detail = format!("is the same product as line {}", first.get());
                return Err(RecordError::of("", Fault::duplicate().because(detail)));
            }
            Entry::Vacant(place) => place,
        };
        let skus = record.skus();
        let taken = skus
            .iter()
            .find_map(|(digest, sku)| Some((self.skus.get(digest)?, sku)));
        if let Some((first, sku)) = taken {
            let fault = Fault::duplicate().because(format!("{sku:?} is the SKU of line {first}"));
            return Err(RecordError::of("sku", fault));
        }
        place.insert(line);
        self.skus.extend(skus.into_iter().map(|(digest, _)| (digest, line)));
        let notes = &mut record.notes;
        // An address leads to one product.
        record
            .old_addresses
            .retain(|address| match self.addresses.entry(digest(&[address])) {
                Entry::Occupied(first) => {
                    notes.push(format!(
                        "old address left out: {address:?} is that of line {}",
                        first.get()
                    ));
                    false
                }
                Entry::Vacant(place) => {
                    place.insert(line);
                    true
                }
            });
        Ok(())
    }
}

/// Finds the categories and vendors of records, and makes those that are not there.
pub struct Importer<'a> {
    places: Places<'a>,
    author: &'a str,
    rules: Rules,
}

impl<'a> Importer<'a> {
    /// An importer for products of the account `author`, which `cx` acts as; `attributes` are those of all records.
    #[must_use]
    pub fn new(cx: &'a Context, author: &'a str, rules: Rules, attributes: Attributes) -> Self {
        Self {
            places: Places::new(cx, rules, attributes),
            author,
            rules,
        }
    }

    /// The product of a record, and what of the record is left out. Records are prepared one by one, so that each category is
    /// made once.
    pub async fn prepare(&mut self, record: Checked) -> Result<(ProductImport, Vec<String>), RecordError> {
        let Checked {
            mut product, mut notes, ..
        } = record;
        let category = self.places.category(&record.path, record.is_rooted).await?;
        notes.extend(category.adapt(&mut product.attributes, self.rules)?);
        product.category.clone_from(&category.id);
        if let Some(name) = &product.vendor {
            product.vendor = Some(self.places.vendor(name).await?);
        }
        if !record.old_addresses.is_empty() && !self.rules.changes_categories {
            notes.push("old addresses left out: they take the permission imports:market".into());
        }
        let import = ProductImport {
            source: record.source,
            product,
            slug: record.slug,
            status: record.status,
            author: self.author.to_owned(),
            adopt: self.rules.adopt,
            old_addresses: match self.rules.changes_categories {
                true => record.old_addresses,
                false => Vec::new(),
            },
        };
        Ok((import, notes))
    }
}
