//! Imports products from [files](souk_catalog::formats).
//!
//! The identity of a record is what it is in the system that it comes from, or its vendor and SKU, or its slug, or else its
//! vendor and title among the imported products. If the product exists, it is updated if it differs. So an interrupted import
//! can run again, and a second run changes nothing. The file is read twice: first it is judged, so that what is wrong is known
//! before anything is written, then it is applied record by record. Missing categories and vendors are created, and categories get the
//! attributes that their records have. A record that is not valid is skipped and reported.

use std::fmt;
use std::fs::File;
use std::path::Path;

use futures_util::{StreamExt as _, stream};
use souk_catalog::formats::{self, Encoding, Format, Reading, Records};
use souk_catalog::operations::{Imported, import_product, plan_product};
use souk_core::Principal;
use souk_identity::operations::ensure_passive_account;
use souk_imports::{Attributes, Checked, Importer, RecordError, Rules, SeenRecords};
use souk_kit::Context;
use souk_model::identity::ACCOUNT;

use crate::data;

/// How many records are read at a time.
const BATCH: usize = 1_000;
/// How many records that were left out, and how many notes, are reported.
const MAX_REPORTED: usize = 1_000;
/// How many records are written concurrently.
const AT_ONCE: usize = 512;
/// The username of the account that is the author of imported products, unless another is named.
const IMPORTER: &str = "importer";

/// How products are imported.
#[derive(Clone, Debug, Default)]
pub(crate) struct How {
    pub(crate) reading: Reading,
    /// Also add and change products of vendors that belong to other accounts.
    pub(crate) adopt: bool,
    /// Write nothing, and say what would be.
    pub(crate) dry_run: bool,
    /// The username of the author of new products, who owns new vendors.
    pub(crate) author: Option<String>,
}

/// The result of an import.
#[derive(Debug, Default)]
pub(crate) struct Report {
    format: Option<(Format, Encoding)>,
    is_dry: bool,
    added: u64,
    changed: u64,
    same: u64,
    /// The number of records that were left out.
    pub(crate) left_out: usize,
    /// The first of them, with their lines.
    bad: Vec<(u64, String)>,
    /// What of records was left out.
    notes: Vec<(u64, String)>,
    noted: usize,
}

impl Report {
    fn leave_out(&mut self, line: u64, why: String) {
        self.left_out += 1;
        if self.bad.len() < MAX_REPORTED {
            self.bad.push((line, why));
        }
    }

    fn note(&mut self, line: u64, notes: Vec<String>) {
        self.noted += notes.len();
        let room = MAX_REPORTED.saturating_sub(self.notes.len());
        self.notes.extend(notes.into_iter().take(room).map(|note| (line, note)));
    }

    fn count(&mut self, outcome: Imported) {
        match outcome {
            Imported::Added => self.added += 1,
            Imported::Changed => self.changed += 1,
            Imported::Unchanged => self.same += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((format, encoding)) = self.format.filter(|(format, _)| *format != Format::NdJson) {
            writeln!(f, "read as {}, {}", format.name(), encoding.name())?;
        }
        for (line, note) in &self.notes {
            writeln!(f, "line {line}: note: {note}")?;
        }
        if self.noted > self.notes.len() {
            writeln!(f, "and {} more notes", self.noted - self.notes.len())?;
        }
        for (line, why) in &self.bad {
            writeln!(f, "line {line}: {why}")?;
        }
        if self.left_out > self.bad.len() {
            writeln!(f, "and {} more lines", self.left_out - self.bad.len())?;
        }
        let would = if self.is_dry { "would be: " } else { "" };
        write!(
            f,
            "{would}{} added, {} changed, {} unchanged, {} left out",
            self.added, self.changed, self.same, self.left_out
        )
    }
}

/// Imports a file.
pub(crate) async fn import(cx: &Context, path: &Path, how: &How) -> Result<Report, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: is not a file; an import reads it twice", path.display()));
    }
    let encoding = Encoding::detect(File::open(path).map_err(failed)?).map_err(failed)?;
    let open = || -> Result<(Format, Records), String> {
        let file = File::open(path).map_err(failed)?;
        formats::read(file, encoding, &how.reading).map_err(|why| format!("{}: {why}", path.display()))
    };
    let author = match &how.author {
        Some(name) => {
            let found = cx
                .resolve(&[(ACCOUNT, name)])
                .await
                .map_err(|e| e.to_string())?
                .pop()
                .flatten();
            found.ok_or_else(|| format!("there is no account {name:?}"))?
        }
        None if how.dry_run => {
            let found = cx.resolve(&[(ACCOUNT, IMPORTER)]).await.map_err(|e| e.to_string())?;
            found.into_iter().flatten().next().unwrap_or_default()
        }
        None => ensure_passive_account(cx, IMPORTER, "Importer")
            .await
            .map_err(|e| e.to_string())?,
    };
    let (mut count, mut attributes) = (0, Attributes::default());
    let (format, records) = open()?;
    for record in records {
        count += 1;
        if let Ok(mut record) = record {
            attributes.note(&mut record);
        }
    }
    if count == 0 {
        return Err(format!("{}: there is no product in it", path.display()));
    }
    let cx = &cx.clone().acting_as(Principal::member(author.clone()));
    let rules = Rules {
        adopt: how.adopt,
        changes_categories: true,
        dry_run: how.dry_run,
    };
    let mut importer = Importer::new(cx, &author, rules, attributes);
    let mut report = Report {
        format: Some((format, encoding)),
        is_dry: how.dry_run,
        ..Report::default()
    };
    let bar = data::bar(count);
    let mut seen = SeenRecords::default();
    let (_, mut records) = open()?;
    loop {
        let mut ready = Vec::with_capacity(BATCH);
        let mut taken = 0;
        for record in records.by_ref().take(BATCH) {
            taken += 1;
            let (line, checked) = match record {
                Ok(record) => (record.line, Checked::new(record)),
                Err(fault) => (fault.line, Err(fault.into())),
            };
            let checked = checked.and_then(|mut checked| seen.note(&mut checked, line).map(|()| checked));
            let prepared = match checked {
                Ok(checked) => importer.prepare(checked).await,
                Err(error) => Err(error),
            };
            match prepared {
                Ok((import, notes)) => {
                    report.note(line, notes);
                    ready.push((line, import));
                }
                Err(error @ RecordError::Failed(_)) => return Err(error.to_string()),
                Err(error) => report.leave_out(line, error.to_string()),
            }
        }
        if taken == 0 {
            break;
        }
        let mut outcomes = stream::iter(ready)
            .map(async |(line, import)| {
                let outcome = if how.dry_run {
                    plan_product(cx, &import).await
                } else {
                    import_product(cx, &import).await
                };
                (line, outcome)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((line, outcome)) = outcomes.next().await {
            match outcome.map_err(RecordError::from) {
                Ok(outcome) => report.count(outcome),
                Err(error @ RecordError::Failed(_)) => return Err(error.to_string()),
                Err(error) => report.leave_out(line, error.to_string()),
            }
        }
        bar.inc(taken);
    }
    bar.finish_and_clear();
    report.bad.sort();
    report.notes.sort();
    Ok(report)
}

#[cfg(test)]
mod tests;
