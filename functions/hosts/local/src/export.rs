//! Exports products in a format that `import` and other systems read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use souk_catalog::formats::{Format, Record, Writer, Writing, Written};
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

/// Writes the products to `path` or the standard output.
pub(crate) async fn export_as(
    cx: &Context,
    path: Option<&Path>,
    format: Format,
    how: &Writing,
) -> Result<Written, String> {
    let failed = |e: io::Error| e.to_string();
    let out: Box<dyn Write> = match path {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|e| format!("{}: {e}", path.display()))?,
        )),
        None => Box::new(BufWriter::new(io::stdout())),
    };
    let mut writer = Writer::new(format, out, how).map_err(failed)?;
    let mut names: HashMap<String, String> = HashMap::new();
    let mut paths: HashMap<String, Vec<String>> = HashMap::new();
    let bar = data::bar(0);
    for status in Status::ALL {
        let mut query = Query {
            prefix: Sort::Newest.prefix().to_owned(),
            ..Query::index(List::All.index(status), MAX_LIMIT)
        };
        loop {
            let page = cx.query(&query).await.map_err(|e| e.to_string())?;
            for item in &page.items {
                let product: Product = item.document.parse().map_err(|e| e.to_string())?;
                let record = record(cx, product, &mut names, &mut paths)
                    .await
                    .map_err(|e| e.to_string())?;
                writer.write(&record).map_err(failed)?;
            }
            bar.inc_length(page.items.len() as u64);
            bar.inc(page.items.len() as u64);
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
    }
    bar.finish_and_clear();
    writer.finish().map_err(failed)
}

/// Writes every product to `path` as NDJSON.
#[cfg(test)]
pub(crate) async fn export(cx: &Context, path: Option<&Path>) -> Result<Written, String> {
    export_as(cx, path, Format::NdJson, &Writing::default()).await
}

async fn record(
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
        price: product.price,
        compare_at_price: product.compare_at_price,
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
    use std::collections::BTreeSet;

    use souk_catalog::formats::Reading;
    use souk_model::catalog::PRODUCT;

    use super::*;
    use crate::data::Market;
    use crate::import::{How, import};

    const LINES: &str = r#"{"slug":"oil-lamp","title":"Oil lamp","category":"灯具","vendor":"Zinc & Co","price":{"amount":1,"currency":"EUR"},"status":"draft"}"#;

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

    /// A product with all that Shopify's columns hold, one with little, and some that are not for sale.
    const SHOP: &str = r#"{"slug":"shirt","title":"Shirt, \"soft\"","description":"Soft & warm.\n\n=1+1 <b>","category_path":["Clothing","Shirts"],"vendor":"Ada's","tags":["red"],"price":{"amount":1999,"currency":"EUR"},"options":[{"name":"Size","values":["S","M"]}],"variants":[{"options":{"size":"S"},"sku":"-5","gtin":"4006381333931","price":{"amount":1999,"currency":"EUR"},"compare_at_price":{"amount":2499,"currency":"EUR"},"weight":200},{"options":{"size":"M"},"sku":"RS-M","price":{"amount":2100,"currency":"EUR"},"picture":"https://cdn.example/m.jpg"}],"cover":"https://cdn.example/1.jpg","gallery":["https://cdn.example/2.jpg"]}
{"slug":"lamp","title":"灯 💡","category":"Home","price":{"amount":500,"currency":"EUR"}}
{"slug":"draft","title":"Draft","category":"Home","price":{"amount":500,"currency":"EUR"},"status":"draft"}
{"slug":"old","title":"Old","category":"Home","price":{"amount":500,"currency":"EUR"},"status":"archived"}
{"slug":"dollars","title":"Dollars","category":"Home","price":{"amount":500,"currency":"USD"}}"#;

    #[tokio::test]
    async fn products_survive_the_columns_of_shopify() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [one, other] = ["one", "other"].map(|name| data::open(&at(name)).unwrap());
        std::fs::write(at("lines"), SHOP).unwrap();
        import(&one.context(), &at("lines"), &How::default()).await.unwrap();
        let mut how = Writing {
            currency: Some("EUR".into()),
            pages: "https://souk.example/products".into(),
        };
        let (table, feed) = (at("table.csv"), at("feed.xml"));
        let written = export_as(&one.context(), Some(&table), Format::Shopify, &how)
            .await
            .unwrap();
        let left_out = "products left out, with prices in another currency than EUR: 1";
        assert_eq!((written.products, written.notes), (4, vec![left_out.to_owned()]));
        let reading = How {
            reading: Reading {
                currency: Some("EUR".into()),
                ..Reading::default()
            },
            ..How::default()
        };
        import(&other.context(), &table, &reading).await.unwrap();
        let sorted = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let mut expected = sorted(exported(&one, &at("first")).await);
        expected.retain(|line| !line.contains("USD"));
        assert_eq!(sorted(exported(&other, &at("second")).await), expected);

        how.currency = None;
        let written = export_as(&one.context(), Some(&feed), Format::Google, &how)
            .await
            .unwrap();
        assert_eq!(written.products, 3);
        let text = std::fs::read_to_string(&feed).unwrap();
        assert!(
            text.contains("<g:link>https://souk.example/products/lamp</g:link>") && text.contains("5.00 USD"),
            "{text}"
        );
    }
}
