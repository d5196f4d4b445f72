//! The file of an import, divided into batches of records.

use std::io::Cursor;

use serde::{Deserialize, Serialize};
use souk_catalog::formats::{self, Encoding, Fault, Reading, Record};
use souk_core::FieldError;

use crate::Line;
use crate::places::Attributes;
use crate::record::{Checked, RecordError, Seen};

/// How many records a batch has at most.
const BATCH: usize = 100;
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
    let file = Shared(file.into());
    let encoding = Encoding::detect(&*file.0).map_err(|error| error.to_string())?;
    let open = || formats::read(Cursor::new(file.clone()), encoding, how);
    let mut attributes = Attributes::default();
    for mut record in open()?.1.flatten() {
        attributes.note(&mut record);
    }
    let (format, records) = open()?;
    let mut divided = Divided {
        read_as: format!("{}, {}", format.name(), encoding.name()),
        records: 0,
        batches: Vec::new(),
    };
    let (mut batch, mut seen, mut size) = (Batch::default(), Seen::default(), 0);
    for record in records {
        let (entry, of_category) = entry(record, &attributes, &mut seen)?;
        let more = json(&entry)?.len() + batch.attributes.growth(&of_category)?;
        if batch.entries.len() == BATCH || (size + more > BATCH_BYTES && !batch.entries.is_empty()) {
            divided.batches.push(json(&std::mem::take(&mut batch))?);
            size = 0;
        }
        size += more;
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
fn entry(record: Result<Record, Fault>, all: &Attributes, seen: &mut Seen) -> Result<(Entry, Attributes), String> {
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
    let checked = checked.and_then(|checked| seen.note(&checked, line).map(|()| checked.notes));
    let found = Found {
        source: record.source.clone(),
        record,
    };
    let (what, notes) = match checked {
        Ok(_) if json(&found)?.len() + json(&attributes)?.len() > BATCH_BYTES => {
            let detail = format!("is larger than {} KB", BATCH_BYTES / 1024);
            (Err(vec![FieldError::new("", detail)]), Vec::new())
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
            .map(|error| FieldError::new(cut(&error.field), cut(&error.detail)))
            .collect()),
    }
}

/// Notes, as the report of a record keeps them.
pub(crate) fn said(notes: Vec<String>) -> Vec<String> {
    notes.iter().take(MAX_SAID).map(|note| cut(note)).collect()
}

/// The report of a batch, in the order of the file: of one that is too large for a document only what is most important.
pub(crate) fn report(mut lines: Vec<Line>) -> Result<Vec<Line>, String> {
    lines.sort_by_key(|line| line.line);
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
struct Shared(std::sync::Arc<[u8]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
