//! Products out as NDJSON, in the lines that `import` reads.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use souk_catalog::lists::{List, Sort};
use souk_catalog::product::Product;
use souk_catalog::status::Status;
use souk_core::documents::{MAX_LIMIT, get_one};
use souk_core::kind::{CATEGORY, VENDOR};
use souk_core::{Kind, Query};
use souk_http::{Platform, Problem};

use crate::data;
use crate::import::{Line, explain};

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
        slug: Some(product.slug),
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
