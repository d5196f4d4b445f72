//! Products in and out as NDJSON: one JSON object per line.
//!
//! A line is known by its vendor and SKU, or, without them, by the slug of its title. What is there already and the same
//! is left alone; what differs is rewritten; so an import can be interrupted and run again, and run twice changes
//! nothing. Categories and vendors are made on the way, each line is one commit, and a bad line is left out and named.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, stream};
use garde::Validate as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use souk_catalog::category::Category;
use souk_catalog::product::{ItemCondition, List, Location, NewProduct, Origin, Product, Sort, Status, sku_key};
use souk_catalog::routes::{creation, unique_slug};
use souk_core::documents::{MAX_LIMIT, get_one};
use souk_core::kind::{ACCOUNT, CATEGORY, PRODUCT, VENDOR, resolve};
use souk_core::{Change, Commit, Condition, Document, Kind, Money, Query, StoreError};
use souk_http::{Platform, Problem, check};
use souk_vendors::Vendor;

use crate::data;

/// How many lines are written at once.
const AT_ONCE: usize = 64;
/// How often a line that lost a race is tried anew.
const ATTEMPTS: usize = 5;
/// Whom imported products belong to.
const IMPORTER: &str = "importer";

/// One line. All but the first few may be left out.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    sku: Option<String>,
    title: String,
    #[serde(default)]
    description: String,
    /// The name of the category.
    category: String,
    /// The name of the vendor.
    #[serde(default)]
    vendor: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    url: Option<String>,
    price_minor: i64,
    currency: String,
    #[serde(default)]
    condition: ItemCondition,
    #[serde(default)]
    cover: Option<String>,
    #[serde(default)]
    gallery: Vec<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    location: Option<Location>,
    #[serde(default = "published")]
    status: Status,
}

fn published() -> Status {
    Status::Published
}

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

enum Outcome {
    Added,
    Changed,
    Same,
}

/// What is wrong, in one line that names the fields.
fn explain(problem: &Problem) -> String {
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
    let lines: Vec<String> = BufReader::new(File::open(path).map_err(failed)?)
        .lines()
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let bar = data::bar(lines.len() as u64);
    let mut report = Report::default();
    let mut importer = Importer {
        platform,
        owner: importer(platform).await?,
        names: HashMap::new(),
    };
    let mut ready = Vec::with_capacity(lines.len());
    for (number, text) in (1..).zip(&lines) {
        if text.trim().is_empty() {
            bar.inc(1);
            continue;
        }
        match importer.prepare(text).await {
            Ok(prepared) => ready.push((number, prepared)),
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
        .map(async |(number, (new, status))| {
            let outcome = importer.write(new, status).await;
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
}

impl Importer<'_> {
    /// Checks a line, and makes sure that its category and vendor are there. Lines come one by one here.
    async fn prepare(&mut self, text: &str) -> Result<(NewProduct, Status), Problem> {
        let line: Line =
            serde_json::from_str(text).map_err(|e| Problem::bad_request("").field("line", e.to_string()))?;
        let mut new = NewProduct {
            title: line.title,
            description: line.description,
            category: check::slugify(&line.category, "category"),
            vendor: line.vendor.as_deref().map(|vendor| check::slugify(vendor, "vendor")),
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
                problem.field(path.to_string(), error.message())
            })
        })?;
        new.category = self.named(CATEGORY, &new.category, &line.category).await?;
        if let (Some(slug), Some(name)) = (&new.vendor, &line.vendor) {
            new.vendor = Some(self.named(VENDOR, &slug.clone(), name).await?);
        }
        Ok((new, line.status))
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
        let (id, slug, name) = (id.to_owned(), slug.to_owned(), name.chars().take(80).collect());
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
        let category = Category {
            id,
            slug,
            name,
            description: String::new(),
            icon: None,
            colour: None,
            parent: None,
            attributes: Vec::new(),
            created_at: now,
            updated_at: now,
            closing: false,
            version: 1,
        };
        Ok((serde_json::to_string(&category).map_err(failed)?, category.entries()))
    }

    /// The product that a line stands for, if there is one.
    async fn existing(&self, new: &NewProduct) -> Result<Option<Document>, Problem> {
        let store = &*self.platform.documents;
        let Some((vendor, sku)) = new.vendor.as_ref().zip(new.sku.as_ref()) else {
            return Ok(PRODUCT.find(store, &check::slugify(&new.title, "product")).await?);
        };
        #[derive(Deserialize)]
        struct Claim {
            id: String,
        }
        match get_one(store, sku_key(vendor, sku)).await? {
            Some(claim) => Ok(get_one(store, PRODUCT.key(&claim.parse::<Claim>()?.id)).await?),
            None => Ok(None),
        }
    }

    /// Writes one line.
    async fn write(&self, new: NewProduct, status: Status) -> Result<Outcome, Problem> {
        let store = &*self.platform.documents;
        let category_key = CATEGORY.key(&new.category);
        let mut slug = check::slugify(&new.title, "product");
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
            let (mut changes, outcome) = match self.existing(&new).await? {
                Some(document) => {
                    let old: Product = document.parse()?;
                    let fresh = old.rewritten(new.clone(), category, vendor, old.updated_at);
                    let fresh = if old.status == status {
                        fresh
                    } else {
                        fresh.moved(status, old.updated_at)
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
                    (
                        vec![Change::replace(document.key, document.version, body, &before, after)],
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
                    (creation(&product)?.0, Outcome::Added)
                }
            };
            changes.push(require);
            match store.commit(Commit::new(changes)).await {
                Ok(()) => return Ok(outcome),
                // A slug that is taken, or a race: look again.
                Err(StoreError::Conflict(_)) => slug = unique_slug(self.platform, &new.title),
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(0).into())
    }
}

/// Writes every product to `path` or the standard output; says how many.
pub(crate) async fn export(platform: &Platform, path: Option<&Path>) -> Result<u64, String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut out: Box<dyn Write> = match path {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|e| format!("{}: {e}", path.display()))?,
        )),
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let mut names: HashMap<String, String> = HashMap::new();
    let bar = data::bar(0);
    let mut count = 0;
    for status in Status::ALL {
        let mut query = Query {
            prefix: Sort::Newest.prefix().to_owned(),
            ..Query::index(List::All.index(status), MAX_LIMIT)
        };
        loop {
            let page = platform.documents.query(&query).await.map_err(|e| e.to_string())?;
            for item in &page.items {
                let product: Product = item.document.parse().map_err(|e| e.to_string())?;
                let line = line(platform, product, &mut names)
                    .await
                    .map_err(|problem| explain(&problem))?;
                serde_json::to_writer(&mut out, &line).map_err(|e| e.to_string())?;
                out.write_all(b"\n").map_err(failed)?;
                count += 1;
            }
            bar.inc_length(page.items.len() as u64);
            bar.inc(page.items.len() as u64);
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
    }
    bar.finish_and_clear();
    out.flush().map_err(failed)?;
    Ok(count)
}

async fn line(platform: &Platform, product: Product, names: &mut HashMap<String, String>) -> Result<Line, Problem> {
    let category = name(platform, CATEGORY, &product.category, names).await?;
    let vendor = match &product.vendor {
        Some(id) => Some(name(platform, VENDOR, id, names).await?),
        None => None,
    };
    Ok(Line {
        sku: product.sku,
        title: product.title,
        description: product.description,
        category,
        vendor,
        tags: product.tags,
        url: product.url,
        price_minor: product.price.amount,
        currency: product.price.currency,
        condition: product.condition,
        cover: product.cover,
        gallery: product.gallery,
        attributes: product.attributes,
        location: product.location,
        status: product.status,
    })
}

async fn name(
    platform: &Platform,
    kind: Kind,
    id: &str,
    names: &mut HashMap<String, String>,
) -> Result<String, Problem> {
    #[derive(Deserialize)]
    struct Named {
        slug: String,
    }
    if let Some(name) = names.get(id) {
        return Ok(name.clone());
    }
    let document = get_one(&*platform.documents, kind.key(id)).await?;
    // The slug makes itself again; a name may not.
    let name = document.map_or(Ok(id.to_owned()), |document| {
        document.parse::<Named>().map(|named| named.slug)
    })?;
    names.insert(id.to_owned(), name.clone());
    Ok(name)
}
