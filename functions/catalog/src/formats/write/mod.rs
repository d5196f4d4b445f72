//! Writes [`Record`]s in the formats that other systems read.
//!
//! Records are written one by one, and none is kept. Texts are written as they are: an apostrophe before `=1+1`, which keeps a
//! spreadsheet from running it, would be part of the text for every other reader. What a format has no place for is left out, and the
//! number of products that lost it is told at the end.

mod google;
mod shopify;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use iso_currency::Currency;
use souk_model::catalog::variant::option_key;

use super::{Format, Record};
use crate::variant::{NewOption, NewVariant};

/// How records are to be written.
#[derive(Clone, Debug, Default)]
pub struct Writing {
    /// The only currency whose products are written. A format without a place for it takes that of the first product if absent.
    pub currency: Option<String>,
    /// The URL of the pages of products, which end with their slugs: the links of products without a `url` in a feed.
    pub pages: String,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of products.
    pub products: u64,
    /// What was left out or is missing: a line for each kind, with the number of products.
    pub notes: Vec<String>,
}

/// Writes records in one format.
pub struct Writer<W: Write> {
    target: Target<W>,
    currency: Option<String>,
    products: u64,
    notes: Notes,
}

enum Target<W: Write> {
    NdJson(W),
    Shopify(Box<csv::Writer<W>>),
    Google(google::Feed<W>),
}

/// The numbers of products by what they lost or lack.
#[derive(Default)]
struct Notes(BTreeMap<String, u64>);

impl Notes {
    fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn add_if(&mut self, is_so: bool, what: &str) {
        if is_so {
            self.add(what);
        }
    }
}

impl<W: Write> Writer<W> {
    /// Begins a file of one of the formats that [can be written](Format::WRITTEN).
    pub fn new(format: Format, out: W, how: &Writing) -> io::Result<Self> {
        let target = match format {
            Format::NdJson => Target::NdJson(out),
            Format::Shopify => Target::Shopify(Box::new(shopify::begin(out)?)),
            Format::Google => Target::Google(google::Feed::begin(out, &how.pages)?),
            Format::Plain | Format::WooCommerce | Format::Vendure => {
                let why = format!("the format {} is only read", format.name());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        };
        Ok(Self {
            target,
            currency: how.currency.as_ref().map(|code| code.to_uppercase()),
            products: 0,
            notes: Notes::default(),
        })
    }

    /// Writes a record, or notes why it is left out.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        if matches!(self.target, Target::Shopify(_)) {
            self.currency.get_or_insert_with(|| record.price.currency.clone());
        }
        if let Some(code) = self.currency.as_ref().filter(|code| **code != record.price.currency) {
            self.notes.add(format!(
                "products left out, with prices in another currency than {code}"
            ));
            return Ok(());
        }
        let is_written = match &mut self.target {
            Target::NdJson(out) => {
                serde_json::to_writer(&mut *out, record)?;
                out.write_all(b"\n")?;
                true
            }
            Target::Shopify(out) => shopify::write(out, record, &mut self.notes)?,
            Target::Google(feed) => feed.write(record, &mut self.notes)?,
        };
        self.products += u64::from(is_written);
        Ok(())
    }

    /// Ends the file.
    pub fn finish(self) -> io::Result<Written> {
        match self.target {
            Target::NdJson(mut out) => out.flush()?,
            Target::Shopify(mut out) => out.flush()?,
            Target::Google(feed) => feed.end()?,
        }
        let notes = self.notes.0.into_iter();
        Ok(Written {
            products: self.products,
            notes: notes.map(|(what, count)| format!("{what}: {count}")).collect(),
        })
    }
}

/// The variants of a product; one that is the product itself if it has none.
fn variants(record: &Record) -> Cow<'_, [NewVariant]> {
    if !record.variants.is_empty() {
        return Cow::Borrowed(&record.variants);
    }
    Cow::Owned(vec![NewVariant {
        sku: record.sku.clone(),
        gtin: record.gtin.clone(),
        compare_at_price: record.compare_at_price.clone(),
        weight: record.weight,
        ..NewVariant::default()
    }])
}

/// The amount of a variant, in minor units.
fn amount(record: &Record, variant: &NewVariant) -> i64 {
    variant.price.as_ref().map_or(record.price.amount, |price| price.amount)
}

/// The value that a variant has of an option, by its key or name.
fn value<'a>(variant: &'a NewVariant, option: &NewOption) -> Option<&'a str> {
    let key = option_key(&option.name);
    let is_it = |(name, _): &(&String, &String)| **name == key || option_key(name) == key;
    variant.options.iter().find(is_it).map(|(_, value)| value.as_str())
}

/// Whether the values of an option have another order than its variants, from which readers take it.
fn has_own_order(record: &Record) -> bool {
    record.options.iter().any(|option| {
        let mut order: Vec<&str> = Vec::new();
        for value in record.variants.iter().filter_map(|variant| value(variant, option)) {
            if !order.contains(&value) {
                order.push(value);
            }
        }
        !option.values.is_empty() && option.values != order
    })
}

/// An amount of minor units as a decimal number, such as `19.99`.
fn decimal(amount: i64, currency: &str) -> String {
    let places = Currency::from_code(currency).and_then(|currency| currency.exponent());
    let places = places.unwrap_or(2);
    match (10_i64.pow(u32::from(places)), usize::from(places)) {
        (_, 0) => amount.to_string(),
        (scale, places) => format!("{}.{:0places$}", amount / scale, amount % scale),
    }
}

/// Plain text as HTML that shows its lines: a paragraph for each block of them.
fn html(text: &str) -> String {
    let (mut html, mut is_open) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        match (line.is_empty(), is_open) {
            (true, true) => html.push_str("</p>"),
            (true, false) => {}
            (false, true) => html.push_str("<br>"),
            (false, false) => html.push_str("<p>"),
        }
        html.push_str(&quick_xml::escape::partial_escape(line));
        is_open = !line.is_empty();
    }
    if is_open {
        html.push_str("</p>");
    }
    html
}

/// The name of the category and those above it, such as `Clothing > Shirts`.
fn category(record: &Record, notes: &mut Notes) -> String {
    let path = record.path();
    notes.add_if(
        path.iter().any(|name| name.contains('>')),
        "products with a > in the name of a category, which separates names there",
    );
    path.join(" > ")
}

#[cfg(test)]
mod tests;
