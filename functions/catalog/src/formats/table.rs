//! Tables: comma-, semicolon- or tab-separated rows under a header.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use csv::{Reader, ReaderBuilder, StringRecord, StringRecordsIntoIter, Trim};
use souk_core::Money;

use super::record::Fault;
use super::{Reading, text};

/// The most columns; exports of shops have up to a few hundred.
const MAX_COLUMNS: usize = 2_000;

/// A table.
pub(super) struct Table {
    /// Whether there was an odd number of quotes so far, and whether the file has ended.
    quotes: Rc<Cell<(bool, bool)>>,
    columns: Rc<Columns>,
    /// The reader counts the second half of a line break, if there is one, to the line that it begins.
    offset: u64,
    rows: StringRecordsIntoIter<Box<dyn Read>>,
}

struct Columns {
    /// The names as in the header.
    names: Vec<String>,
    /// Their places, by name in lower case.
    places: HashMap<String, usize>,
}

/// A row of a table.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) line: u64,
    columns: Rc<Columns>,
    cells: StringRecord,
}

impl Table {
    /// `start` is the start of the text; `renamed` are columns with the names that they stand for.
    pub(super) fn new(file: impl Read + 'static, start: &str, renamed: &[(String, String)]) -> Result<Self, String> {
        let quotes = Rc::default();
        let file: Box<dyn Read> = Box::new(Counted {
            file,
            quotes: Rc::clone(&quotes),
        });
        let mut reader: Reader<Box<dyn Read>> = ReaderBuilder::new()
            .delimiter(separator(start))
            .flexible(true)
            .trim(Trim::All)
            .from_reader(file);
        let header = reader.headers().map_err(|error| error.to_string())?;
        if header.len() > MAX_COLUMNS {
            return Err(format!("there are more than {MAX_COLUMNS} columns"));
        }
        let mut names: Vec<String> = header.iter().map(str::to_owned).collect();
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            // `g:price` of feeds is `price`.
            let name = name.to_lowercase();
            let name = name.strip_prefix("g:").unwrap_or(&name);
            places.entry(name.to_owned()).or_insert(place);
        }
        for (column, field) in renamed {
            let place = places.get(&column.to_lowercase());
            let place =
                *place.ok_or_else(|| format!("there is no column {column:?}; there are {}", names.join(", ")))?;
            places.insert(field.to_lowercase(), place);
            if let Some(name) = names.get_mut(place) {
                name.clone_from(field);
            }
        }
        Ok(Self {
            quotes,
            columns: Rc::new(Columns { names, places }),
            offset: u64::from(
                start
                    .lines()
                    .next()
                    .is_some_and(|line| start.get(line.len()..).is_some_and(|rest| rest.starts_with("\r\n"))),
            ),
            rows: reader.into_records(),
        })
    }

    /// Fails if a rule names a column that is not there.
    pub(super) fn check_rule(&self, rule: &str) -> Result<(), String> {
        for name in text::names_of(rule) {
            if !self.has(&name.to_lowercase()) {
                let names = self.columns.names.join(", ");
                return Err(format!(
                    "there is no column {name:?} for the old addresses; there are {names}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.columns.places.contains_key(name)
    }
}

impl Iterator for Table {
    type Item = Result<Row, Fault>;
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.rows.reader().position().line() + self.offset;
        Some(match self.rows.next()? {
            Ok(cells) => {
                let line = cells.position().map_or(line, |position| position.line() + self.offset);
                let columns = self.columns.names.len();
                if self.quotes.get() == (true, true) && cells.iter().any(|cell| cell.contains('\n')) {
                    return Some(Err(Fault::of_line(
                        line,
                        "a quote is never closed, so all that follows is one cell",
                    )));
                }
                if cells.iter().skip(columns).any(|cell| !cell.is_empty()) {
                    let rule = format!("has {} cells, and the header {columns}", cells.len());
                    return Some(Err(Fault::of_line(line, rule)));
                }
                Ok(Row {
                    line,
                    columns: self.columns.clone(),
                    cells,
                })
            }
            Err(error) => Err(Fault::of_line(line, error.to_string())),
        })
    }
}

/// The rows of each product: the first, and those below it that belong to it. Empty rows are left out.
pub(super) fn in_groups(
    table: Table,
    belongs: impl Fn(&Row, &Row) -> bool,
) -> impl Iterator<Item = Result<Vec<Row>, Fault>> {
    let mut rows = table
        .filter(|row| !matches!(row, Ok(row) if row.has_nothing()))
        .peekable();
    std::iter::from_fn(move || {
        let first = match rows.next()? {
            Ok(row) => row,
            Err(fault) => return Some(Err(fault)),
        };
        let mut all = vec![first.clone()];
        while let Some(Ok(row)) = rows.next_if(|row| row.as_ref().is_ok_and(|row| belongs(&first, row))) {
            all.push(row);
        }
        Some(Ok(all))
    })
}

/// A file whose quotes are counted.
struct Counted<R> {
    file: R,
    quotes: Rc<Cell<(bool, bool)>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        let (mut is_odd, _) = self.quotes.get();
        for byte in buffer.iter().take(count) {
            is_odd ^= *byte == b'"';
        }
        self.quotes.set((is_odd, count == 0));
        Ok(count)
    }
}

/// The separator that the header has most of.
fn separator(start: &str) -> u8 {
    let header = start.lines().next().unwrap_or("");
    let mut is_quoted = false;
    let mut counts = [(b'\t', 0), (b';', 0), (b'|', 0), (b',', 0)];
    for byte in header.bytes() {
        is_quoted ^= byte == b'"';
        if let Some((_, count)) = counts
            .iter_mut()
            .find(|(separator, _)| *separator == byte && !is_quoted)
        {
            *count += 1;
        }
    }
    counts
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |(separator, _)| separator)
}

impl Row {
    /// A row that is not of a table, from names in lower case and values.
    pub(super) fn of(line: u64, cells: Vec<(String, String)>) -> Self {
        let (names, values): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
        let places = names.iter().cloned().zip(0..).collect();
        Self {
            line,
            columns: Rc::new(Columns { names, places }),
            cells: values.into(),
        }
    }

    /// What a column has; `None` if it is empty or not there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let place = *self.columns.places.get(name)?;
        self.cells.get(place).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The first of these columns that has something.
    pub(super) fn any(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// All columns whose names begin so, with the rest of their names as in the header.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let columns = self.columns.names.iter().zip(self.cells.iter());
        columns.filter_map(move |(name, value)| {
            let start = name.get(..prefix.len())?;
            let is_it = start.eq_ignore_ascii_case(prefix) && !value.trim().is_empty();
            is_it.then(|| Some((name.get(prefix.len()..)?, value.trim())))?
        })
    }

    /// The columns that are none of these, and no attributes or options.
    pub(super) fn unknown<'a>(&'a self, known: &'a [&str]) -> impl Iterator<Item = &'a str> {
        self.columns.names.iter().map(String::as_str).filter(|name| {
            let lower = name.to_lowercase();
            !known.contains(&&*lower) && !lower.starts_with("attr.") && !lower.starts_with("option.")
        })
    }

    pub(super) fn has_nothing(&self) -> bool {
        self.cells.iter().all(|cell| cell.trim().is_empty())
    }

    /// Without the apostrophes that keep spreadsheets from taking cells for formulas.
    pub(super) fn unescaped(mut self) -> Self {
        let plain = |cell: &str| match cell.strip_prefix('\'') {
            Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest.to_owned(),
            _ => cell.to_owned(),
        };
        let position = self.cells.position().cloned();
        self.cells = self.cells.iter().map(plain).collect::<Vec<_>>().into();
        self.cells.set_position(position);
        self
    }

    /// A fault of a column.
    pub(super) fn fault(&self, name: &str, rule: impl Into<String>) -> Fault {
        let place = self.columns.places.get(name);
        let column = place
            .and_then(|place| self.columns.names.get(*place))
            .map_or(name, String::as_str);
        Fault {
            line: self.line,
            column: Some(column.to_owned()),
            value: self.get(name).map(str::to_owned),
            rule: rule.into(),
        }
    }

    /// The URL of the product in the shop that it comes from.
    pub(super) fn old_address(&self, how: &Reading) -> Option<String> {
        text::by_rule(how.redirects.as_deref()?, |name| self.get(&name.to_lowercase()))
    }

    /// The price in a column.
    pub(super) fn price(&self, name: &str, how: &Reading) -> Result<Option<Money>, Fault> {
        let price = self
            .get(name)
            .map(|text| text::price(text, how.currency.as_deref(), how.decimal_comma));
        price.transpose().map_err(|rule| self.fault(name, rule))
    }

    /// The weight in a column, in grams, of which a unit has `grams`.
    pub(super) fn weight(&self, name: &str, grams: f64, how: &Reading) -> Result<Option<u32>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let text = if how.decimal_comma {
            text.replace(',', ".")
        } else {
            text.to_owned()
        };
        let weight: Option<f64> = text.parse().ok();
        match weight.map(|weight| weight * grams) {
            Some(weight) if (0.0..=1e9).contains(&weight) => {
                Ok(Some(weight.round() as u32).filter(|weight| *weight > 0))
            }
            _ => Err(self.fault(name, "is not a weight")),
        }
    }
}
