//! Product files of this market and of other systems, read as [`Record`]s and [written](Writer).
//!
//! A file is recognised by its header. The fields of its rows become those of a product: decimal prices become minor units, HTML
//! becomes plain text, category paths become trees, and the rows of one product become its variants. What a product cannot
//! keep is left out and noted; what makes a row useless is a [`Fault`] of this row alone, which names its line, its column and its value.

mod encoding;
mod google;
mod plain;
mod record;
mod shopify;
mod table;
mod text;
mod vendure;
mod woocommerce;
mod write;

use std::io::{BufRead, BufReader, Cursor, Read};

pub use encoding::Encoding;
pub use record::{Fault, Record, attribute_key};
use table::Table;
pub use write::{Writer, Writing, Written};

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    NdJson,
    /// A table with the names of our own fields.
    Plain,
    /// The product export of Shopify, with its columns of 2024 or those before.
    Shopify,
    /// The product export of WooCommerce.
    WooCommerce,
    /// A Google Merchant feed, as a table or as XML.
    Google,
    /// The product import of Vendure.
    Vendure,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::NdJson,
        Format::Plain,
        Format::Shopify,
        Format::WooCommerce,
        Format::Google,
        Format::Vendure,
    ];

    /// The formats that a [`Writer`] writes.
    pub const WRITTEN: [Format; 3] = [Format::NdJson, Format::Shopify, Format::Google];

    /// The name, for `--format`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::NdJson => "ndjson",
            Format::Plain => "plain",
            Format::Shopify => "shopify",
            Format::WooCommerce => "woocommerce",
            Format::Google => "google",
            Format::Vendure => "vendure",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The format; recognised by the header if absent.
    pub format: Option<Format>,
    /// Columns that have another name than the format's.
    pub columns: Vec<(String, String)>,
    /// The currency of prices that name none.
    pub currency: Option<String>,
    /// Prices are written as 1.234,56.
    pub decimal_comma: bool,
    /// The category of products without one.
    pub category: Option<String>,
    /// The vendor of products without one.
    pub vendor: Option<String>,
    /// The old address of a product: a column that has it, or a rule such as `/products/{handle}` with names of columns in braces.
    pub redirects: Option<String>,
}

/// The records of a file, or the faults of its rows.
pub type Records = Box<dyn Iterator<Item = Result<Record, Fault>>>;

/// The longest line of NDJSON, in bytes.
const MAX_LINE: u64 = 1024 * 1024;
/// How much of a file is looked at to recognise it, in bytes.
const START: u64 = 64 * 1024;

/// Reads a file whose text is of this [encoding](Encoding::detect).
pub fn read(file: impl Read + 'static, encoding: Encoding, how: &Reading) -> Result<(Format, Records), String> {
    let (start, file) = started(file).map_err(|error| error.to_string())?;
    let unmarked = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    // JSON is UTF-8: a line that is not is a fault of this line alone.
    if how.format == Some(Format::NdJson) || (how.format.is_none() && unmarked.trim_ascii_start().starts_with(b"{")) {
        let file = BufReader::new(file);
        let lines = Lines {
            file,
            number: 0,
            redirects: how.redirects.clone(),
        };
        return Ok((Format::NdJson, Box::new(lines)));
    }
    let (start, file) = started(encoding.decoded(file)).map_err(|error| error.to_string())?;
    let (start, file) = (String::from_utf8_lossy(&start), BufReader::new(file));
    let first = start.trim_start();
    let how = how.clone();
    if first.starts_with('<') && how.format.is_none_or(|format| format == Format::Google) {
        return Ok((Format::Google, google::xml(file, how)));
    }
    let table = Table::new(file, &start, &how.columns)?;
    if let Some(rule) = &how.redirects {
        table.check_rule(rule)?;
    }
    let format = how.format.or_else(|| recognised(&table)).ok_or_else(|| {
        let known = Format::ALL.map(Format::name).join(", ");
        format!("the columns are those of no known format ({known}): name it, or map the columns to ours")
    })?;
    let records = match format {
        Format::NdJson | Format::Plain => plain::records(table, how),
        Format::Shopify => shopify::records(table, how),
        Format::WooCommerce => woocommerce::records(table, how),
        Format::Google => google::records(table, how),
        Format::Vendure => vendure::records(table, how),
    };
    Ok((format, records))
}

/// The start of a file, and all of it.
fn started<R: Read>(mut file: R) -> std::io::Result<(Vec<u8>, impl Read + use<R>)> {
    let mut start = Vec::new();
    file.by_ref().take(START).read_to_end(&mut start)?;
    Ok((start.clone(), Cursor::new(start).chain(file)))
}

fn recognised(table: &Table) -> Option<Format> {
    let has = |names: &[&str]| names.iter().all(|name| table.has(name));
    if has(&["handle", "variant price"]) || has(&["url handle", "price", "sku"]) {
        Some(Format::Shopify)
    } else if has(&["type", "name", "regular price"]) {
        Some(Format::WooCommerce)
    } else if has(&["optiongroups", "optionvalues", "name"]) {
        Some(Format::Vendure)
    } else if has(&["id", "title", "image_link"])
        || has(&["id", "title", "link", "price"])
        || has(&["id", "title", "image link"])
    {
        Some(Format::Google)
    } else if ["price", "price.amount", "price_minor"]
        .iter()
        .any(|price| has(&["title", price]))
    {
        Some(Format::Plain)
    } else {
        None
    }
}

/// The lines of NDJSON.
struct Lines<F> {
    file: F,
    number: u64,
    redirects: Option<String>,
}

impl<F: BufRead> Iterator for Lines<F> {
    type Item = Result<Record, Fault>;
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number += 1;
            let fault = |rule: String| Some(Err(Fault::of_line(self.number, rule)));
            let mut line = Vec::new();
            let mut limited = self.file.by_ref().take(MAX_LINE);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return fault(error.to_string()),
            }
            if limited.limit() == 0 && line.last() != Some(&b'\n') {
                if let Err(error) = self.file.skip_until(b'\n') {
                    return fault(error.to_string());
                }
                return fault("is longer than 1 MB".into());
            }
            let line = match self.number {
                1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line),
                _ => &line,
            };
            let Ok(text) = std::str::from_utf8(line) else {
                return fault("is not UTF-8".into());
            };
            if text.trim().is_empty() {
                continue;
            }
            return match Record::of_json(self.number, text) {
                Ok(mut record) => {
                    if let Some(rule) = &self.redirects {
                        let cell = |name: &str| match name {
                            "slug" => record.slug.as_deref(),
                            "sku" => record.sku.as_deref(),
                            "url" => record.url.as_deref(),
                            _ => None,
                        };
                        let address = text::by_rule(rule, cell);
                        record.old_addresses.extend(address);
                    }
                    Some(Ok(record))
                }
                Err(fault) => Some(Err(fault)),
            };
        }
    }
}

/// Reads a text, for tests and small files.
pub fn read_text(text: &[u8], how: &Reading) -> Result<(Format, Vec<Result<Record, Fault>>), String> {
    let encoding = Encoding::detect(text).map_err(|error| error.to_string())?;
    let (format, records) = read(Cursor::new(text.to_vec()), encoding, how)?;
    Ok((format, records.collect()))
}

#[cfg(test)]
mod tests;
