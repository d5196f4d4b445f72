//! A Google Merchant feed: RSS 2.0, in which each variant of a published product is an item.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;
use souk_model::catalog::product::ItemCondition;
use souk_model::catalog::status::Status;
use souk_model::catalog::variant::option_key;

use super::{Notes, amount, category, decimal, has_own_order, html, value, variants};
use crate::formats::google::{ATTRIBUTES, OPTIONS};
use crate::formats::{Record, text};
use crate::variant::{NewOption, NewVariant};

/// The longest id, in characters.
const MAX_ID: usize = 50;
/// The most pictures of an item: the first, and ten more.
const MAX_PICTURES: usize = 11;

pub(super) struct Feed<W: Write> {
    xml: Writer<W>,
    /// The URL that those of products begin with.
    pages: String,
}

impl<W: Write> Feed<W> {
    pub(super) fn begin(out: W, pages: &str) -> io::Result<Self> {
        let mut feed = Self {
            xml: Writer::new_with_indent(out, b' ', 1),
            pages: pages.trim_end_matches('/').to_owned(),
        };
        feed.xml
            .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let root = BytesStart::new("rss").with_attributes([
            ("version", "2.0"),
            ("xmlns:g", "http://base.google.com/ns/1.0"),
            // What Google leaves alone.
            ("xmlns:c", "http://base.google.com/cns/1.0"),
        ]);
        feed.xml.write_event(Event::Start(root))?;
        feed.start("channel")?;
        feed.element("title", "Products")?;
        feed.element("link", pages)?;
        feed.element("description", "All products for sale")?;
        Ok(feed)
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.close("channel")?;
        self.close("rss")?;
        let out = self.xml.get_mut();
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Whether the record has a place in the feed.
    pub(super) fn write(&mut self, record: &Record, notes: &mut Notes) -> io::Result<bool> {
        if record.status != Status::Published {
            notes.add("products left out, not published");
            return Ok(false);
        }
        let Some(slug) = &record.slug else {
            notes.add("products left out, without a slug");
            return Ok(false);
        };
        let variants = variants(record);
        let counts: Vec<usize> = variants.iter().map(|variant| pictures(record, variant).len()).collect();
        for (is_so, what) in [
            (
                record.description.is_empty(),
                "products without a description, which Google requires",
            ),
            (counts.contains(&0), "products without a picture, which Google requires"),
            (
                record.price.amount == 0,
                "products with a price of 0, which Google refuses",
            ),
            (
                counts.iter().any(|count| *count > MAX_PICTURES),
                "products without some of their pictures, of which an item has at most eleven",
            ),
            (!record.tags.is_empty(), "products without their tags"),
            (record.location.is_some(), "products without their location"),
            (
                !matches!(record.condition, ItemCondition::New | ItemCondition::Good),
                "products that are used, without their exact condition",
            ),
            (has_own_order(record), "products without their order of option values"),
            (
                record.options.iter().any(|option| known_option(option).is_none()),
                "products with options that are none of Google's, written into titles",
            ),
        ] {
            notes.add_if(is_so, what);
        }
        let category = category(record, notes);
        for variant in variants.iter() {
            self.item(record, slug, variant, &category)?;
        }
        Ok(true)
    }

    fn item(&mut self, record: &Record, slug: &str, variant: &NewVariant, category: &str) -> io::Result<()> {
        let values: Vec<(&NewOption, &str)> = record
            .options
            .iter()
            .filter_map(|option| Some((option, value(variant, option)?)))
            .collect();
        let mut title = record.title.clone();
        for (_, value) in values.iter().filter(|(option, _)| known_option(option).is_none()) {
            title = format!("{title}, {value}");
        }
        let is_group = !record.variants.is_empty();
        let parts: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
        self.start("item")?;
        self.element("g:id", &id(slug, if is_group { Some(&parts) } else { None }))?;
        if is_group {
            self.element("g:item_group_id", &id(slug, None))?;
        }
        // The ids of Google are unique in the feed, and SKUs only for a vendor.
        self.optional("c:sku", variant.sku.as_deref())?;
        self.element("g:title", &title)?;
        // A text that could be taken for HTML is written as HTML.
        let plain = text::tidy(&record.description);
        let is_plain = text::plain_text(&plain) == plain;
        self.element("g:description", &if is_plain { plain } else { html(&plain) })?;
        let page = || {
            let page = format!("{}/{slug}", self.pages);
            text::address(&page).unwrap_or(page)
        };
        let link = record.url.clone().unwrap_or_else(page);
        self.element("g:link", &link)?;
        for (n, picture) in pictures(record, variant).into_iter().take(MAX_PICTURES).enumerate() {
            let more = if n == 0 { "" } else { "additional_" };
            self.element(&format!("g:{more}image_link"), picture)?;
        }
        self.element("g:availability", "in_stock")?;
        let price = |amount| format!("{} {}", decimal(amount, &record.price.currency), record.price.currency);
        let now = price(amount(record, variant));
        match &variant.compare_at_price {
            Some(before) => {
                self.element("g:price", &price(before.amount))?;
                self.element("g:sale_price", &now)?;
            }
            None => self.element("g:price", &now)?,
        }
        let is_new = record.condition == ItemCondition::New;
        self.element("g:condition", if is_new { "new" } else { "used" })?;
        self.element("g:product_type", category)?;
        let weight = variant.weight.map(|weight| format!("{weight} g"));
        self.optional("g:shipping_weight", weight.as_deref())?;
        self.optional("g:gtin", variant.gtin.as_deref())?;
        self.details(record, variant, &values)?;
        self.close("item")
    }

    /// The attributes and options: those that Google knows as elements, and the others as details with their names.
    fn details(&mut self, record: &Record, variant: &NewVariant, options: &[(&NewOption, &str)]) -> io::Result<()> {
        let own = |(option, value): &(&NewOption, &str)| match known_option(option) {
            Some(known) => (known.to_owned(), (*value).to_owned()),
            None => (option.name.clone(), (*value).to_owned()),
        };
        let mut all: Vec<(String, String)> = options.iter().map(own).collect();
        let vendor = record.vendor.iter().map(|vendor| ("brand".to_owned(), vendor.clone()));
        let attributes = record
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), plain(value)));
        for (name, value) in attributes.chain(vendor) {
            if !value.is_empty() && !all.iter().any(|(known, _)| *known == name) {
                all.push((name, value));
            }
        }
        let has = |name: &str| all.iter().any(|(known, _)| known == name);
        if variant.gtin.is_none() && !(has("brand") && has("mpn")) {
            self.element("g:identifier_exists", "no")?;
        }
        for (name, value) in &all {
            if ATTRIBUTES.contains(&name.as_str()) {
                self.element(&format!("g:{name}"), value)?;
            } else {
                self.start("g:product_detail")?;
                self.element("g:attribute_name", name)?;
                self.element("g:attribute_value", value)?;
                self.close("g:product_detail")?;
            }
        }
        Ok(())
    }

    fn start(&mut self, name: &str) -> io::Result<()> {
        self.xml.write_event(Event::Start(BytesStart::new(name)))
    }

    fn close(&mut self, name: &str) -> io::Result<()> {
        self.xml.write_event(Event::End(BytesEnd::new(name)))
    }

    fn optional(&mut self, name: &str, text: Option<&str>) -> io::Result<()> {
        text.map_or(Ok(()), |text| self.element(name, text))
    }

    /// An element; none without a text. Characters that XML cannot have are dropped.
    fn element(&mut self, name: &str, text: &str) -> io::Result<()> {
        let is_held = |c: &char| matches!(c, '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
        let text: String = text.chars().filter(is_held).collect();
        if !text.is_empty() {
            self.xml
                .create_element(name)
                .write_text_content(BytesText::new(&text))?;
        }
        Ok(())
    }
}

/// The pictures of a variant: its own, and then those of the product.
fn pictures<'a>(record: &'a Record, variant: &'a NewVariant) -> Vec<&'a String> {
    let mut all: Vec<&String> = Vec::new();
    for picture in variant.picture.iter().chain(&record.cover).chain(&record.gallery) {
        if !all.contains(&picture) {
            all.push(picture);
        }
    }
    all
}

/// Which of Google's an option is.
fn known_option(option: &NewOption) -> Option<&'static str> {
    let key = option_key(&option.name);
    let key = if key == "colour" { "color" } else { &key };
    OPTIONS.into_iter().find(|known| *known == key)
}

/// The id of a product, or of the variant with these values. It is made from what does not change, and is unique in the market.
pub(super) fn id(slug: &str, values: Option<&[&str]>) -> String {
    if values.is_none() && slug.chars().count() <= MAX_ID {
        return slug.to_owned();
    }
    // FNV-1a; no text has the separator.
    let parts = std::iter::once(&slug).chain(values.unwrap_or_default());
    let bytes = parts.flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let start: String = slug.chars().take(MAX_ID - 17).collect();
    format!("{start}-{hash:016x}")
}

/// The value of an attribute as a text.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
