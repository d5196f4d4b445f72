//! Products in as NDJSON: one JSON object per line.
//!
//! A line is known by its vendor and SKU, or by its slug, or, without either, by its vendor and title among what was
//! imported. What is there already and the same is left alone; what differs is rewritten; so an import can be interrupted
//! and run again, and run twice changes nothing. Categories (with the attributes that their lines have) and vendors are
//! made on the way, each line is one commit, and a bad line is left out and named.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, stream};
use garde::Validate as _;
use serde::Deserialize;
use serde_json::{Value, json};
use souk_catalog::category::{Attribute, AttributeType, Category};
use souk_catalog::product::{NewProduct, Origin, Product, sku_key};
use souk_catalog::routes::{creation, unique_slug};
use souk_catalog::status::Status;
use souk_core::documents::get_one;
use souk_core::kind::{ACCOUNT, CATEGORY, PRODUCT, VENDOR, resolve};
use souk_core::{Change, Commit, Condition, Document, Key, Kind, Money, StoreError};
use souk_kit::{Platform, Problem, check};
use souk_vendors::Vendor;

use crate::data;
use crate::line::{Line, parse};

/// How many lines are written at once.
const AT_ONCE: usize = 64;
/// How often a line that lost a race is tried anew.
const ATTEMPTS: usize = 5;
/// Whom imported products belong to.
const IMPORTER: &str = "importer";
/// Where it is kept which product a line without SKU and slug is.
const IMPORTED: &str = "imported";

/// What an import did.
#[derive(Debug, Default)]
pub(crate) struct Report {
    added: u64,
    changed: u64,
    same: u64,
    /// The bad lines: (number, what is wrong).
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

/// A line that is fit to be written.
struct Ready {
    new: NewProduct,
    status: Status,
    slug: Option<String>,
    /// The claim that says which product it is.
    identity: Key,
}

enum Outcome {
    Added,
    Changed,
    Same,
}

/// What is wrong, in one line that names the fields.
pub(crate) fn explain(problem: &Problem) -> String {
    if problem.errors.is_empty() {
        return problem.cause.clone().unwrap_or_else(|| problem.detail.clone());
    }
    problem
        .errors
        .iter()
        .map(|e| format!("{}: {}", e.field, e.detail))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Reads the file and writes what it says.
pub(crate) async fn import(platform: &Platform, path: &Path) -> Result<Report, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(failed)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let lines: Vec<Result<Line, String>> = bytes.split(|byte| *byte == b'\n').map(parse).collect();
    let bar = data::bar(lines.len() as u64);
    let mut report = Report::default();
    let mut importer = Importer {
        platform,
        owner: importer(platform).await?,
        names: HashMap::new(),
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
            Ok(prepared) => match seen.insert(prepared.identity.clone(), number) {
                None => ready.push((number, prepared)),
                Some(first) => {
                    seen.insert(prepared.identity, first);
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
    let importer = &importer;
    let done = AtomicU64::new(0);
    let mut outcomes = stream::iter(ready)
        .map(async |(number, line)| {
            let outcome = importer.write(line).await;
            bar.inc(1);
            done.fetch_add(1, Ordering::Relaxed);
            (number, outcome)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((number, outcome)) = outcomes.next().await {
        match outcome {
            Ok(Outcome::Added) => report.added += 1,
            Ok(Outcome::Changed) => report.changed += 1,
            Ok(Outcome::Same) => report.same += 1,
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

/// The account that imported products belong to; nobody can sign in as it.
async fn importer(platform: &Platform) -> Result<String, String> {
    let id = ACCOUNT.new_id(&*platform.clock, &*platform.random);
    let now = platform.now();
    let body = json!({ "id": id, "username": IMPORTER, "name": "Importer", "bio": "", "avatar": null, "created_at": now,
                       "email": "importer@souk.example", "role": "member", "active": true, "updated_at": now });
    let changes = vec![
        Change::claim(ACCOUNT.name_key(IMPORTER), &id),
        Change::create(ACCOUNT.key(&id), body.to_string(), Vec::new()),
    ];
    match platform.documents.commit(Commit::new(changes)).await {
        Ok(()) | Err(StoreError::Conflict(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    let found = resolve(&*platform.documents, &[(ACCOUNT, IMPORTER)])
        .await
        .map_err(|e| e.to_string())?;
    found
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| "the importing account is missing".into())
}

struct Importer<'a> {
    platform: &'a Platform,
    owner: String,
    /// Categories and vendors met so far: (kind, slug) to id.
    names: HashMap<(&'static str, String), String>,
    /// For the categories that are made on the way.
    attributes: HashMap<String, BTreeMap<String, AttributeType>>,
}

impl Importer<'_> {
    /// Checks a line, and makes sure that its category and vendor are there. Lines come one by one here.
    async fn prepare(&mut self, line: Line) -> Result<Ready, Problem> {
        let mut new = NewProduct {
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
        new.validate().map_err(|report| {
            report.iter().fold(Problem::invalid(), |problem, (path, error)| {
                // As the line has it.
                let field = match path.to_string().as_str() {
                    "price.amount" => "price_minor".to_owned(),
                    "price.currency" => "currency".to_owned(),
                    other => other.to_owned(),
                };
                problem.field(field, error.message())
            })
        })?;
        new.category = self.named(CATEGORY, &new.category, &line.category).await?;
        if let (Some(slug), Some(name)) = (&new.vendor, &line.vendor) {
            new.vendor = Some(self.named(VENDOR, &slug.clone(), name).await?);
        }
        let identity = match (&new.vendor, &new.sku, &line.slug) {
            (Some(vendor), Some(sku), _) => sku_key(vendor, sku),
            (_, _, Some(slug)) => PRODUCT.name_key(slug),
            (vendor, _, None) => Key::new(
                IMPORTED,
                format!("{}/{}", vendor.as_deref().unwrap_or(""), new.title.trim()),
            ),
        };
        let slug = line.slug;
        if slug.as_ref().is_some_and(|slug| check::slug(slug, &()).is_err()) {
            return Err(Problem::invalid().field("slug", "must be lower-case letters and digits with single hyphens"));
        }
        Ok(Ready {
            new,
            status: line.status,
            slug,
            identity,
        })
    }

    /// The id of the category or vendor of this slug, which is made if there is none.
    async fn named(&mut self, kind: Kind, slug: &str, name: &str) -> Result<String, Problem> {
        let place = (kind.name, slug.to_owned());
        if let Some(id) = self.names.get(&place) {
            return Ok(id.clone());
        }
        let store = &*self.platform.documents;
        let found = resolve(store, &[(kind, slug)]).await?.into_iter().next().flatten();
        let id = match found {
            Some(id) => id,
            None => {
                let id = kind.new_id(&*self.platform.clock, &*self.platform.random);
                let (body, entries) = self.make(kind, &id, slug, name)?;
                let changes = vec![
                    Change::claim(kind.name_key(slug), &id),
                    Change::create(kind.key(&id), body, entries),
                ];
                store.commit(Commit::new(changes)).await?;
                id
            }
        };
        self.names.insert(place, id.clone());
        Ok(id)
    }

    fn make(&self, kind: Kind, id: &str, slug: &str, name: &str) -> Result<(String, Vec<souk_core::Entry>), Problem> {
        let now = self.platform.now();
        let failed = |e: serde_json::Error| Problem::internal(e.to_string());
        let field = kind.name;
        check::line::<()>(1, 80)(&name.to_owned(), &()).map_err(|e| Problem::invalid().field(field, e.message()))?;
        let (id, slug, name) = (id.to_owned(), slug.to_owned(), name.trim().to_owned());
        if kind == VENDOR {
            let vendor = Vendor {
                id,
                slug,
                name,
                description: String::new(),
                owner: self.owner.clone(),
                created_at: now,
                updated_at: now,
                version: 1,
            };
            return Ok((serde_json::to_string(&vendor).map_err(failed)?, vendor.entries()));
        }
        let attribute = |(name, r#type): (&String, &AttributeType)| Attribute {
            name: name.clone(),
            label: None,
            r#type: *r#type,
            required: false,
            filterable: true,
            choices: Vec::new(),
        };
        let attributes: Vec<_> = self
            .attributes
            .get(&slug)
            .into_iter()
            .flatten()
            .map(attribute)
            .take(30)
            .collect();
        if attributes.iter().any(|attribute| attribute.validate().is_err()) {
            return Err(Problem::invalid().field("attributes", "have names that no attribute can have"));
        }
        let category = Category {
            id,
            slug,
            name,
            description: String::new(),
            icon: None,
            colour: None,
            parent: None,
            attributes,
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        Ok((serde_json::to_string(&category).map_err(failed)?, category.entries()))
    }

    /// The product that a line stands for, if there is one.
    async fn existing(&self, identity: &Key) -> Result<Option<Document>, Problem> {
        #[derive(Deserialize)]
        struct Claim {
            id: String,
        }
        let store = &*self.platform.documents;
        match get_one(store, identity.clone()).await? {
            Some(claim) => Ok(get_one(store, PRODUCT.key(&claim.parse::<Claim>()?.id)).await?),
            None => Ok(None),
        }
    }

    /// Writes one line.
    async fn write(&self, line: Ready) -> Result<Outcome, Problem> {
        let Ready {
            new,
            status,
            slug,
            identity,
        } = line;
        let store = &*self.platform.documents;
        let category_key = CATEGORY.key(&new.category);
        let mut slug = slug.unwrap_or_else(|| check::slugify(&new.title, "product"));
        for _ in 0..ATTEMPTS {
            let document = get_one(store, category_key.clone())
                .await?
                .ok_or_else(|| Problem::not_found("category"))?;
            let faults = document.parse::<Category>()?.faults(&new.attributes);
            if !faults.is_empty() {
                return Err(faults
                    .into_iter()
                    .fold(Problem::invalid(), |p, fault| p.field(fault.field, fault.detail)));
            }
            let require = Change::Require {
                key: category_key.clone(),
                condition: Condition::Version(document.version),
            };
            let now = self.platform.now();
            let (category, vendor) = (new.category.clone(), new.vendor.clone());
            let (mut changes, events, outcome) = match self.existing(&identity).await? {
                Some(document) => {
                    let old: Product = document.parse()?;
                    let fresh = old.rewritten(new.clone(), category, vendor, old.updated_at);
                    let fresh = if old.status == status {
                        fresh
                    } else {
                        fresh.moved(status, now)
                    };
                    if fresh == old {
                        return Ok(Outcome::Same);
                    }
                    let fresh = Product {
                        updated_at: now,
                        ..fresh
                    };
                    let body = serde_json::to_string(&fresh).map_err(|e| Problem::internal(e.to_string()))?;
                    let (before, after) = (old.entries(), fresh.entries());
                    let events = data::news(self.platform, &fresh, document.version + 1, Some(old.status))?;
                    (
                        vec![Change::replace(document.key, document.version, body, &before, after)],
                        events,
                        Outcome::Changed,
                    )
                }
                None => {
                    let id = PRODUCT.new_id(&*self.platform.clock, &*self.platform.random);
                    let origin = Origin {
                        id,
                        slug: slug.clone(),
                        author: self.owner.clone(),
                        now,
                    };
                    let product = Product::draft(new.clone(), category, vendor, origin);
                    let product = if status == Status::Draft {
                        product
                    } else {
                        product.moved(status, now)
                    };
                    let mut changes = creation(&product)?.0;
                    let events = data::news(self.platform, &product, 1, None)?;
                    if identity.pk == IMPORTED {
                        changes.push(Change::Put {
                            key: identity.clone(),
                            body: json!({ "id": product.id }).to_string(),
                            counters: Vec::new(),
                            expires_at: None,
                            // The product that it named before may have been removed.
                            condition: Condition::Any,
                            entries: Vec::new(),
                            stale: Vec::new(),
                        });
                    }
                    (changes, events, Outcome::Added)
                }
            };
            changes.push(require);
            match self.platform.commit(changes, events, Vec::new()).await {
                Ok(()) => return Ok(outcome),
                // A slug that is taken, or a race: look again.
                Err(StoreError::Conflict(_)) => slug = unique_slug(self.platform, &new.title),
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(0).into())
    }
}
