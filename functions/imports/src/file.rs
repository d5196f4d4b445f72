//! The file of an import, divided into batches of records.

use std::io::Cursor;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use souk_catalog::formats::{self, Encoding, Reading, Record};
use souk_core::{Fault, FieldError};

use crate::ImportLine;
use crate::places::Attributes;
use crate::record::{Checked, RecordError, SeenRecords};

/// How many records a batch has at most: a Worker may make a thousand queries in an invocation.
const BATCH: usize = 25;
/// How many records a file has at most, and how large its batches are in all, in bytes.
const MAX_RECORDS: u64 = 20_000;
const MAX_BATCHES_BYTES: usize = 16 * 1024 * 1024;
/// How large a batch is at most, in bytes: it is one document.
const BATCH_BYTES: usize = 96 * 1024;
/// How many faults and notes a record keeps, and the longest of them, in characters: the report of a batch is one document too.
const MAX_SAID: usize = 5;
const MAX_TEXT: usize = 100;

/// A part of the records of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// The attributes that all records of the file have in the categories of these.
    pub(crate) attributes: Attributes,
}

/// A record, or why there is none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) line: u64,
    pub(crate) title: Option<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) what: Result<Found, Vec<FieldError>>,
}

/// A record as it is kept, with what its own form leaves out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    source: Option<String>,
    record: Record,
}

impl Found {
    /// Whether old addresses lead to the product.
    pub(crate) fn leads_on(&self) -> bool {
        !self.record.old_addresses.is_empty()
    }

    /// The record, checked as it was when the file was read.
    pub(crate) fn checked(self) -> Result<Checked, RecordError> {
        Checked::new(Record {
            source: self.source,
            ..self.record
        })
    }
}

/// A file that has been read.
#[derive(Debug)]
pub(crate) struct Divided {
    pub(crate) read_as: String,
    pub(crate) records: u64,
    /// The batches, as JSON.
    pub(crate) batches: Vec<String>,
}

/// Divides a file. Fails if it cannot be read at all.
pub(crate) fn divide(file: Vec<u8>, how: &Reading) -> Result<Divided, String> {
    let file = Shared(Arc::new(file));
    let encoding = Encoding::detect(&**file.0).map_err(|error| error.to_string())?;
    let open = || formats::read(Cursor::new(file.clone()), encoding, how);
    let mut attributes = Attributes::default();
    let mut count: u64 = 0;
    for record in open()?.1 {
        count = count.saturating_add(1);
        if count > MAX_RECORDS {
            return Err(format!("there are more than {MAX_RECORDS} products in it: divide it"));
        }
        if let Ok(mut record) = record {
            attributes.note(&mut record);
        }
    }
    let (format, records) = open()?;
    let mut divided = Divided {
        read_as: format!("{}, {}", format.name(), encoding.name()),
        records: 0,
        batches: Vec::new(),
    };
    let (mut batch, mut seen, mut size, mut total) = (Batch::default(), SeenRecords::default(), 0, 0);
    for record in records {
        let (entry, of_category) = entry(record, &attributes, &mut seen)?;
        let own = json(&entry)?.len();
        let mut more = own + batch.attributes.growth(&of_category)?;
        if batch.entries.len() == BATCH || (size + more > BATCH_BYTES && !batch.entries.is_empty()) {
            divided.batches.push(json(&std::mem::take(&mut batch))?);
            more = own + batch.attributes.growth(&of_category)?;
            size = 0;
        }
        size += more;
        total += more;
        if total > MAX_BATCHES_BYTES {
            let limit = MAX_BATCHES_BYTES / 1024 / 1024;
            return Err(format!("its products are larger than {limit} MB in all: divide it"));
        }
        batch.attributes.merge(of_category);
        batch.entries.push(entry);
        divided.records = divided.records.saturating_add(1);
    }
    if !batch.entries.is_empty() {
        divided.batches.push(json(&batch)?);
    }
    if divided.records == 0 {
        return Err("there is no product in it".into());
    }
    Ok(divided)
}

/// What is kept of a record, with the attributes of its category.
fn entry(
    record: Result<Record, formats::Fault>,
    all: &Attributes,
    seen: &mut SeenRecords,
) -> Result<(Entry, Attributes), String> {
    let record = match record {
        Ok(record) => record,
        Err(fault) => {
            let (line, error) = (fault.line, RecordError::from(fault));
            let entry = Entry {
                line,
                title: None,
                notes: Vec::new(),
                what: Err(shown(error).unwrap_or_default()),
            };
            return Ok((entry, Attributes::default()));
        }
    };
    let attributes = all.of(&record);
    let (line, title) = (record.line, Some(cut(&record.title)));
    let checked = Checked::new(record.clone());
    let checked = checked.and_then(|mut checked| seen.note(&mut checked, line).map(|()| checked));
    let mut found = Found {
        source: record.source.clone(),
        record,
    };
    let checked = checked.map(|checked| {
        found.record.old_addresses = checked.old_addresses;
        checked.notes
    });
    let (what, notes) = match checked {
        Ok(_) if json(&found)?.len() + json(&attributes)?.len() > BATCH_BYTES => {
            let detail = format!("is larger than {} KB", BATCH_BYTES / 1024);
            (Err(vec![FieldError::new("", Fault::invalid(detail))]), Vec::new())
        }
        Ok(notes) => (Ok(found), said(notes)),
        Err(error) => (Err(shown(error)?), Vec::new()),
    };
    let attributes = if what.is_ok() {
        attributes
    } else {
        Attributes::default()
    };
    let entry = Entry {
        line,
        title,
        notes,
        what,
    };
    Ok((entry, attributes))
}

/// The faults of a record, as its report keeps them; the failure if it is not the record's.
pub(crate) fn shown(error: RecordError) -> Result<Vec<FieldError>, String> {
    match error {
        RecordError::Failed(failure) => Err(failure.to_string()),
        RecordError::Invalid(errors) => Ok(errors
            .into_iter()
            .take(MAX_SAID)
            .map(|mut error| {
                error.field = cut(&error.field);
                error.detail = cut(&error.detail);
                // Such as many choices.
                if json(&error.params).is_ok_and(|text| text.len() > MAX_TEXT) {
                    error.params.clear();
                }
                error
            })
            .collect()),
    }
}

/// Notes, as the report of a record keeps them.
pub(crate) fn said(notes: impl IntoIterator<Item = String>) -> Vec<String> {
    notes.into_iter().take(MAX_SAID).map(|note| cut(&note)).collect()
}

/// The report of a batch, by the place of its records in the batch: of one that is too large for a document only what is most
/// important.
pub(crate) fn report(mut lines: Vec<(usize, ImportLine)>) -> Result<Vec<ImportLine>, String> {
    lines.sort_by_key(|(place, _)| *place);
    let mut lines: Vec<ImportLine> = lines.into_iter().map(|(_, line)| line).collect();
    if json(&lines)?.len() > BATCH_BYTES {
        for line in &mut lines {
            line.notes.clear();
            line.errors.truncate(1);
            line.title = None;
        }
    }
    Ok(lines)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn json(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// Bytes that several readers read.
#[derive(Clone)]
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn batches(file: &str) -> Vec<Batch> {
        let divided = divide(file.as_bytes().to_vec(), &Reading::default()).unwrap();
        let batches = divided
            .batches
            .iter()
            .map(|text| serde_json::from_str::<Batch>(text).unwrap());
        let batches: Vec<Batch> = batches.collect();
        let records: usize = batches.iter().map(|batch| batch.entries.len()).sum();
        assert_eq!(records as u64, divided.records);
        assert!(divided.batches.iter().all(|text| text.len() <= BATCH_BYTES + 1024));
        batches
    }

    fn line(sku: usize, category: &str, more: serde_json::Value) -> String {
        let mut line = json!({ "sku": sku.to_string(), "vendor": "V", "title": "t", "category": category, "price": { "amount": 1, "currency": "EUR" } });
        for (name, value) in more.as_object().unwrap() {
            line[name] = value.clone();
        }
        line.to_string()
    }

    #[test]
    fn each_batch_has_the_attributes_of_its_records_and_fits_a_document() {
        let file: Vec<String> = (0..300)
            .map(|n| {
                let long = "x".repeat(if n % 10 == 0 { 9_000 } else { 5 });
                let watts = if n == 99 { json!("much") } else { json!(n) };
                let attributes = json!({ format!("a{}", n % 25): n, "watts": watts });
                line(
                    n,
                    &format!("c{}", n % 3),
                    json!({ "description": long, "attributes": attributes }),
                )
            })
            .collect();
        for batch in batches(&file.join("\n")) {
            assert!(batch.entries.len() <= BATCH);
            for entry in batch.entries {
                let found = entry.what.unwrap();
                let attributes = serde_json::to_string(&batch.attributes.of(&found.record)).unwrap();
                assert!(attributes.contains("watts"), "{attributes}");
                found.checked().unwrap();
            }
        }
    }

    #[test]
    fn what_is_too_much_is_refused_or_left_out() {
        let refused = |file: String| divide(file.into_bytes(), &Reading::default()).unwrap_err();
        let many = "a\n".repeat(MAX_RECORDS as usize + 1);
        assert!(refused(format!("title,price\n{many}")).contains("20000"));
        for nothing in ["", "title,price\n", "x"] {
            refused(nothing.into());
        }
        let wide: Vec<String> = (0..3_000)
            .map(|n| {
                line(
                    n,
                    "c",
                    json!({ "attributes": { format!("attribute number {n}"): "v" } }),
                )
            })
            .collect();
        let first = batches(&wide.join("\n")).remove(0);
        assert!(serde_json::to_string(&first.attributes).unwrap().len() < 4_000);
    }

    #[test]
    fn the_same_product_is_taken_once() {
        let (first, again) = (line(1, "c", json!({})), line(1, "c", json!({ "vendor": " v" })));
        let entries = batches(&format!("{first}\n{again}")).remove(0).entries;
        assert!(entries[0].what.is_ok() && entries[1].what.is_err());
    }
}
