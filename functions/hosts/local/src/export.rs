//! Exports products as NDJSON, in the format that `import` reads.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use souk_catalog::formats::Record;
use souk_catalog::{NewOption, NewVariant};
use souk_core::documents::MAX_LIMIT;
use souk_core::{Kind, Query, check};
use souk_imports::ids_named;
use souk_kit::{Context, Failure};
use souk_model::catalog::CATEGORY;
use souk_model::catalog::category::{Category, NAMED};
use souk_model::catalog::lists::{List, Sort};
use souk_model::catalog::product::Product;
use souk_model::catalog::status::Status;
use souk_model::vendors::{VENDOR, VENDORS_NAMED};

use crate::data;

/// Writes every product to `path` or the standard output; returns their number.
pub(crate) async fn export(cx: &Context, path: Option<&Path>) -> Result<u64, String> {
    let failed = |e: std::io::Error| e.to_string();
    let mut out: Box<dyn Write> = match path {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|e| format!("{}: {e}", path.display()))?,
        )),
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let mut names: HashMap<String, String> = HashMap::new();
    let mut paths: HashMap<String, Vec<String>> = HashMap::new();
    let bar = data::bar(0);
    let mut count = 0;
    for status in Status::ALL {
        let mut query = Query {
            prefix: Sort::Newest.prefix().to_owned(),
            ..Query::index(List::All.index(status), MAX_LIMIT)
        };
        loop {
            let page = cx.query(&query).await.map_err(|e| e.to_string())?;
            for item in &page.items {
                let product: Product = item.document.parse().map_err(|e| e.to_string())?;
                let line = line(cx, product, &mut names, &mut paths)
                    .await
                    .map_err(|e| e.to_string())?;
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

async fn line(
    cx: &Context,
    product: Product,
    names: &mut HashMap<String, String>,
    paths: &mut HashMap<String, Vec<String>>,
) -> Result<Record, Failure> {
    let category_path = path(cx, &product.category, paths).await?;
    let category = if category_path.is_empty() {
        name(cx, CATEGORY, NAMED, &product.category, names).await?
    } else {
        String::new()
    };
    let vendor = match &product.vendor {
        Some(id) => Some(name(cx, VENDOR, VENDORS_NAMED, id, names).await?),
        None => None,
    };
    Ok(Record {
        sku: product.sku,
        gtin: product.gtin,
        slug: Some(product.slug),
        title: product.title,
        description: product.description,
        category,
        category_path,
        vendor,
        tags: product.tags,
        url: product.url,
        price_minor: product.price.amount,
        currency: product.price.currency,
        compare_at_price_minor: product.compare_at_price.map(|price| price.amount),
        weight: product.weight,
        options: product.options.iter().map(NewOption::from).collect(),
        // Another market has other ids.
        variants: product
            .variants
            .iter()
            .map(|variant| {
                let mut variant = NewVariant::from(variant);
                variant.id = None;
                variant
            })
            .collect(),
        condition: product.condition,
        cover: product.cover,
        gallery: product.gallery,
        attributes: product.attributes,
        location: product.location,
        status: product.status,
        ..Record::default()
    })
}

/// The names of a category and those above it, from the root; empty if its name alone says which it is, or if names do not tell
/// it from others in the same place.
async fn path(cx: &Context, id: &str, paths: &mut HashMap<String, Vec<String>>) -> Result<Vec<String>, Failure> {
    if let Some(path) = paths.get(id) {
        return Ok(path.clone());
    }
    let mut path = Vec::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next.take() {
        let Some(category) = cx.read::<Category>(CATEGORY.key(&id)).await? else {
            break;
        };
        if !is_alone(cx, &category).await? {
            path.clear();
            break;
        }
        path.push(category.value.name);
        next = category.document.parse::<Category>()?.parent;
    }
    if let [only] = path.as_slice()
        && ids_named(cx, NAMED, only, 2).await?.len() < 2
    {
        path.clear();
    }
    path.reverse();
    paths.insert(id.to_owned(), path.clone());
    Ok(path)
}

/// Whether no other category has its name in the same place.
async fn is_alone(cx: &Context, category: &Category) -> Result<bool, Failure> {
    for id in ids_named(cx, NAMED, &category.name, MAX_LIMIT).await? {
        let other = cx.read::<Category>(CATEGORY.key(&id)).await?;
        if id != category.id && other.is_some_and(|other| other.parent == category.parent) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn name(
    cx: &Context,
    kind: Kind,
    index: &str,
    id: &str,
    names: &mut HashMap<String, String>,
) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Named {
        slug: String,
        name: String,
    }
    if let Some(name) = names.get(id) {
        return Ok(name.clone());
    }
    let named = cx.read::<Named>(kind.key(id)).await?;
    let name = match named.map(|named| named.value) {
        Some(named) => {
            let is_its_own = match ids_named(cx, index, &named.name, 2).await?.len() {
                1 => true,
                // It is from before there was an index by name.
                0 => check::slugify(&named.name, "") == named.slug,
                _ => false,
            };
            match is_its_own {
                true => named.name,
                false if ids_named(cx, index, &named.slug, 2).await?.is_empty() => named.slug,
                // Something else has this slug as its name.
                false => id.to_owned(),
            }
        }
        None => id.to_owned(),
    };
    names.insert(id.to_owned(), name.clone());
    Ok(name)
}

#[cfg(test)]
mod tests {
    use souk_model::catalog::PRODUCT;

    use super::*;
    use crate::data::Market;
    use crate::import::{How, import};

    const LINES: &str = r#"{"slug":"oil-lamp","title":"Oil lamp","category":"灯具","vendor":"Zinc & Co","price_minor":1,"currency":"EUR","status":"draft"}"#;

    async fn exported(market: &Market, path: &Path) -> String {
        export(&market.context(), Some(path)).await.unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    async fn product(market: &Market) -> Product {
        let document = market.context().find(PRODUCT, "oil-lamp").await.unwrap();
        document.unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn what_was_exported_is_imported_with_its_names() {
        let folder = std::env::temp_dir().join(format!("souk-export-{}", std::process::id()));
        let [one, other] = ["one", "other"].map(|name| data::open(&folder.join(name)).unwrap());
        let [lines, first, second] = ["lines", "first", "second"].map(|name| folder.join(name));
        std::fs::write(&lines, LINES).unwrap();
        import(&one.context(), &lines, &How::default()).await.unwrap();
        let text = exported(&one, &first).await;
        assert!(text.contains("灯具") && text.contains("Zinc & Co"), "{text}");
        import(&other.context(), &first, &How::default()).await.unwrap();
        assert_eq!(exported(&other, &second).await, text);
        // An import with the status `published` publishes an existing draft.
        let draft = product(&one).await;
        std::fs::write(&lines, LINES.replace("draft", "published")).unwrap();
        import(&one.context(), &lines, &How::default()).await.unwrap();
        let published = product(&one).await;
        assert_eq!(
            (draft.published_at, published.published_at),
            (None, Some(published.updated_at))
        );
        drop((one, other));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
