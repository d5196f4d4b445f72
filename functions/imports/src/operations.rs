//! What can be done with imports.
//!
//! A file is kept in parts until it is read; the job then divides it into batches, and each batch is one message. So an import that
//! is interrupted goes on where it was, and a file of any host's limits is imported in bounded time and memory.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use souk_core::outbound::target;
use souk_core::{Document, Fault, FieldError, Key, Query, Timestamp, clock};
use souk_kit::jobs::tracked::{self, Progress, Tracked};
use souk_kit::{Context, Failure, PageRequest, SortedPage, Stored, Transaction};
use souk_model::identity::{ACCOUNT, active_account, no_recipient};

use crate::import::{IMPORT, Import, ImportLine, MAX_PART, MAX_PARTS, NewImport, Outcome, Status};
use crate::jobs::{Fetch, Remains, Stage, Step};
use crate::permissions::IMPORTS_MARKET;
use crate::{Counts, ImportError};

/// How long an import is kept, in seconds.
const KEEP_SECONDS: i64 = 14 * 24 * 3600;
/// How many imports an account may have.
const MAX_IMPORTS: usize = 20;
/// How much of a part is in one document, in bytes. Base64 makes it a third longer.
const CHUNK: usize = 72 * 1024;
/// How many chunks of files, and how many batches of lines, are read at a time.
const AT_ONCE: usize = 10;
/// How many batches of lines a page is made of at most.
const MAX_READ: usize = 30;

const NOT_FOUND: Failure = Failure::NotFound("import");

/// Makes an import. With a URL it starts at once, else when its parts are there.
pub async fn create_import(cx: &Context, new: NewImport) -> Result<Stored<Import>, ImportError> {
    let principal = cx.signed_in()?;
    check(cx, &new)?;
    let new = &new;
    cx.commit(|tx| async move {
        let query = Query::partition(Import::partition(&principal.account), MAX_IMPORTS);
        if tx.query(&query).await?.items.len() >= MAX_IMPORTS {
            return Err(ImportError::TooMany(MAX_IMPORTS));
        }
        let author = match &new.author {
            None => principal.account.clone(),
            Some(name) => {
                let found = tx.find(ACCOUNT, name).await?;
                let active = active_account(found.as_ref()).map_err(Failure::from)?;
                active.ok_or_else(|| Failure::invalid("author", no_recipient()))?
            }
        };
        let now = tx.now();
        let mut import = Import {
            id: tx.new_id(IMPORT),
            owner: principal.account.clone(),
            author,
            changes_categories: principal.may(&IMPORTS_MARKET),
            options: new.clone(),
            status: Status::Uploading,
            error: None,
            parts: Default::default(),
            read_as: None,
            records: None,
            judged: 0,
            written: 0,
            planned: Counts::default(),
            result: Counts::default(),
            batches: 0,
            next_batch: 0,
            job: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        if new.url.is_some() {
            run(&tx, &mut import, Stage::Fetch)?;
        }
        let put = tx.create(Import::key(&import.owner, &import.id), import);
        Ok(put.expires_at(clock::after(now, KEEP_SECONDS)).or_retry())
    })
    .await
}

fn check(cx: &Context, new: &NewImport) -> Result<(), Failure> {
    if let Some(url) = &new.url {
        target(url, &cx.settings.outbound_allow)
            .map_err(|why| Failure::invalid("url", Fault::format(why.to_string())))?;
    }
    let errors: Vec<FieldError> = new
        .for_staff()
        .into_iter()
        .map(|field| FieldError::new(field, Fault::not_permitted("takes the permission imports:market")))
        .collect();
    if errors.is_empty() || cx.signed_in()?.may_for_others(&IMPORTS_MARKET) {
        return Ok(());
    }
    let detail = "these options take the permission imports:market".to_owned();
    Err(Failure::Forbidden { detail, errors })
}

/// Sends the message of a stage of the import, and notes it.
fn run(tx: &Transaction<ImportError>, import: &mut Import, stage: Stage) -> Result<(), Failure> {
    let step = Step {
        account: import.owner.clone(),
        import: import.id.clone(),
        stage,
        batch: import.next_batch,
    };
    let job = match stage {
        Stage::Fetch => tracked::start(tx, &Fetch(step), &import.owner)?,
        _ => tracked::start(tx, &step, &import.owner)?,
    };
    import.job = Some(job.id);
    import.status = stage.status();
    import.error = None;
    Ok(())
}

/// A page of the imports of the principal, newest first.
pub async fn list_imports(cx: &Context, page: &PageRequest) -> Result<SortedPage<Document>, Failure> {
    let partition = Import::partition(&cx.signed_in()?.account);
    let query = Query {
        descending: true,
        ..Query::partition(partition.clone(), page.limit)
    };
    cx.list(query, page, &partition).await
}

/// The import of the principal with this id.
pub async fn find_import(cx: &Context, id: &str) -> Result<Stored<Import>, Failure> {
    let mut import = own_import(cx, id).await?;
    if let Some(failed) = stopped(cx, &import).await? {
        import.value.error = Some(failed);
    }
    Ok(import)
}

async fn own_import(cx: &Context, id: &str) -> Result<Stored<Import>, Failure> {
    let principal = cx.signed_in()?;
    if !IMPORT.is_id(id) {
        return Err(NOT_FOUND);
    }
    let key = Import::key(&principal.account, id);
    cx.read(key).await?.ok_or(NOT_FOUND)
}

/// Why a running import does not go on, if its job has ended.
async fn stopped(cx: &Context, import: &Import) -> Result<Option<String>, Failure> {
    let Some(job) = import.job.as_ref().filter(|_| import.is_running()) else {
        return Ok(None);
    };
    let job = cx.read::<Tracked>(tracked::key(job)).await?.map(|job| job.value);
    Ok(match job {
        Some(job) if job.status == Progress::Queued => None,
        Some(Tracked { error: Some(error), .. }) => Some(error),
        _ => Some("the job has ended".into()),
    })
}

/// The partition of the parts of an import.
pub(crate) fn parts_of(id: &str) -> String {
    format!("import-parts/{id}")
}

/// The key of what becomes of a batch.
pub(crate) fn lines_key(id: &str, batch: u32) -> Key {
    Key::new(format!("import-lines/{id}"), number(batch))
}

/// The key of a batch of records.
pub(crate) fn batch_key(id: &str, batch: u32) -> Key {
    Key::new(format!("import-batches/{id}"), number(batch))
}

/// A sort key that sorts by the number.
fn number(n: u32) -> String {
    format!("{n:06}")
}

/// Keeps a part of the file. The same part again replaces the one before.
pub async fn put_part(cx: &Context, id: &str, part: u32, bytes: &[u8]) -> Result<Stored<Import>, ImportError> {
    if !(1..=MAX_PARTS).contains(&(part as usize)) {
        return Err(Failure::bad_parameter("part", Fault::out_of_range(1, MAX_PARTS)).into());
    }
    if bytes.is_empty() {
        return Err(Failure::invalid("", Fault::required().because("a part is not empty")).into());
    }
    cx.commit(|tx| async move {
        let mut import = own_import(&tx, id).await?;
        if import.status != Status::Uploading {
            return Err(ImportError::NotNow(
                "the import has started: make another for another file",
            ));
        }
        keep_part(&tx, &import, part, bytes);
        import.value.parts.insert(part, bytes.len());
        import.value.updated_at = tx.now();
        Ok(tx.update(&import.document, import.value).or_retry())
    })
    .await
}

fn keep_part<E>(tx: &Transaction<E>, import: &Import, part: u32, bytes: &[u8]) {
    let mut chunks = bytes.chunks(CHUNK);
    for n in 0..MAX_PART.div_ceil(CHUNK) {
        let key = Key::new(parts_of(&import.id), format!("{part:02}/{n:02}"));
        match chunks.next() {
            Some(chunk) => {
                let put = tx.put(key, STANDARD.encode(chunk));
                put.expires_at(expiry(import.created_at)).always();
            }
            None => tx.remove(key),
        }
    }
}

/// Keeps a whole file in parts; returns their sizes.
pub(crate) async fn keep_file(cx: &Context, import: &Import, file: &[u8]) -> Result<BTreeMap<u32, usize>, Failure> {
    let mut sizes = BTreeMap::new();
    let parts = file.chunks(MAX_PART).map(Some).chain(std::iter::repeat(None));
    for (part, bytes) in (1..).zip(parts).take(MAX_PARTS) {
        cx.commit(|tx: Transaction<Failure>| async move {
            // What an attempt before kept of a larger file goes.
            keep_part(&tx, import, part, bytes.unwrap_or_default());
            Ok(())
        })
        .await?;
        sizes.extend(bytes.map(|bytes| (part, bytes.len())));
    }
    Ok(sizes)
}

/// The file that was uploaded.
pub(crate) async fn uploaded(cx: &Context, id: &str) -> Result<Vec<u8>, Failure> {
    let mut query = Query::partition(parts_of(id), AT_ONCE);
    let mut file = Vec::new();
    loop {
        let page = cx.query(&query).await?;
        for item in &page.items {
            let text: String = item.document.parse()?;
            let chunk = STANDARD.decode(text);
            file.extend(chunk.map_err(|error| Failure::Internal(error.to_string()))?);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(file),
        }
    }
}

/// Starts an import whose parts are there, writes what a dry run found, or lets an import go on that has stopped.
pub async fn start_import(cx: &Context, id: &str) -> Result<Stored<Import>, ImportError> {
    cx.commit(|tx| async move {
        let mut import = own_import(&tx, id).await?;
        check(&tx, &import.options)?;
        import.value.changes_categories = tx.may(&IMPORTS_MARKET);
        let stage = match import.status {
            Status::Uploading => {
                let parts = import.parts.len();
                if parts == 0 {
                    return Err(ImportError::NotNow("there is no part of a file yet"));
                }
                let last = import.parts.last_key_value().map_or(0, |(part, _)| *part as usize);
                if last != parts {
                    return Err(ImportError::NotNow("a part before the last one is missing"));
                }
                Stage::Read
            }
            Status::Judged => Stage::Write,
            Status::Done | Status::Failed => return Err(ImportError::NotNow("the import has ended")),
            running => match running.stage() {
                Some(stage) if stopped(&tx, &import).await?.is_some() => stage,
                _ => return Err(ImportError::NotNow("the import is running")),
            },
        };
        if import.status != stage.status() {
            import.value.next_batch = 0;
        }
        import.value.updated_at = tx.now();
        run(&tx, &mut import.value, stage)?;
        Ok(tx.update(&import.document, import.value).or_retry())
    })
    .await
}

/// Deletes an import with its file. One that is running ends after its current batch; what it has written stays.
pub async fn delete_import(cx: &Context, id: &str) -> Result<(), ImportError> {
    cx.commit(|tx| async move {
        let import = own_import(&tx, id).await?;
        let remains = Remains { import: id.to_owned() };
        tx.send(tx.message(&remains)?);
        tx.delete(&import.document, Vec::new()).or_retry();
        Ok(())
    })
    .await
}

/// A page of the records of an import and what becomes of them, in the order of the file.
pub async fn list_lines(
    cx: &Context,
    id: &str,
    outcome: Option<Outcome>,
    page: &PageRequest,
) -> Result<SortedPage<ImportLine>, Failure> {
    let import = own_import(cx, id).await?;
    let paging = page.of_list(&format!("lines of {} {outcome:?}", import.id))?;
    // The cursor is the batch and how many of its lines have been shown.
    let place = paging.after.as_deref().and_then(|place| place.split_once('/'));
    let place = place.and_then(|(batch, shown)| Some((batch.parse::<u32>().ok()?, shown.parse::<usize>().ok()?)));
    let (first, mut shown) = place.unwrap_or((0, 0));
    let mut query = Query {
        after: first.checked_sub(1).map(number),
        ..Query::partition(lines_key(&import.id, 0).pk, AT_ONCE)
    };
    let (mut items, mut next) = (Vec::new(), first);
    for _ in 0..MAX_READ / AT_ONCE {
        let batches = cx.query(&query).await?;
        for batch in &batches.items {
            let lines: Vec<ImportLine> = batch.document.parse()?;
            for (n, line) in lines.into_iter().enumerate().skip(shown) {
                if outcome.is_some_and(|outcome| outcome != line.outcome) {
                    continue;
                }
                if items.len() == paging.limit {
                    let next_cursor = Some(paging.cursor(&format!("{next}/{n}")));
                    return Ok(paging.forward(items, next_cursor));
                }
                items.push(line);
            }
            shown = 0;
            next = next.saturating_add(1);
        }
        match batches.next {
            Some(after) => query.after = Some(after),
            None => {
                return Ok(paging.forward(items, None));
            }
        }
    }
    Ok(paging.forward(items, Some(paging.cursor(&format!("{next}/0")))))
}

/// When the documents of an import expire.
pub(crate) fn expiry(created_at: Timestamp) -> Timestamp {
    clock::after(created_at, KEEP_SECONDS)
}

/// Keeps the batches of a file.
pub(crate) async fn keep_batches(cx: &Context, import: &Import, batches: &[String]) -> Result<(), Failure> {
    const IN_A_COMMIT: usize = 25;
    let (id, until) = (&import.id, expiry(import.created_at));
    for (n, some) in (0_u32..).zip(batches.chunks(IN_A_COMMIT)) {
        cx.commit(|tx: Transaction<Failure>| async move {
            for (batch, body) in (n * IN_A_COMMIT as u32..).zip(some) {
                let body = RawValue::from_string(body.clone())?;
                tx.put(batch_key(id, batch), body).expires_at(until).always();
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}
