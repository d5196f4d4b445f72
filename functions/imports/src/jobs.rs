//! The jobs of imports: one fetches files, one reads a file, judges its batches and writes them, one message each; and one removes
//! what a deleted import leaves.
//!
//! Each message checks that the import is where the message takes it on. So a message that comes twice, or one of a run that
//! was given up, does nothing.

use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use souk_catalog::operations::{Imported, import_product, plan_product};
use souk_core::queue::Payload;
use souk_core::{Document, FieldError, Key, Lane, Message, Principal, Query, StoreError};
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, tracked};
use souk_kit::{Context, Stored};
use souk_model::identity::{ACCOUNT, AccountView};

use crate::fetch::{NoFile, file_at};
use crate::file::{Batch, Divided, divide, report, said, shown};
use crate::import::{Import, ImportLine, Outcome, Status};
use crate::operations::{batch_key, expiry, keep_batches, keep_file, lines_key, parts_of, uploaded};
use crate::permissions::IMPORTS_MARKET;
use crate::record::{Importer, RecordError};

/// How many products are compared or written concurrently: a Worker may have six connections.
const AT_ONCE: usize = 6;
/// How often a file is fetched, until the import fails.
const FETCHES: usize = 4;
/// How long an import waits for its turn to be read, in milliseconds.
const TURN_MS: i64 = 1_000;
/// How many documents of a deleted import are removed by one message.
const REMOVED: usize = 90;

/// A stage of the work on an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Fetch,
    Read,
    Judge,
    Write,
}

impl Stage {
    /// The status of an import at this stage.
    pub(crate) fn status(self) -> Status {
        match self {
            Stage::Fetch => Status::Fetching,
            Stage::Read => Status::Reading,
            Stage::Judge => Status::Judging,
            Stage::Write => Status::Writing,
        }
    }
}

impl Status {
    /// The stage of a running import.
    pub(crate) fn stage(self) -> Option<Stage> {
        [Stage::Fetch, Stage::Read, Stage::Judge, Stage::Write]
            .into_iter()
            .find(|stage| stage.status() == self)
    }
}

/// The next batch of an import.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) account: String,
    pub(crate) import: String,
    pub(crate) stage: Stage,
    pub(crate) batch: u32,
}

impl Payload for Step {
    const JOB: &'static str = "imports.step";
}

/// The step that fetches the file. It waits for somebody else's server, so it has the lane of outbound calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fetch(pub(crate) Step);

impl Payload for Fetch {
    const JOB: &'static str = "imports.fetch";
    const LANE: Lane = Lane::Notifications;
}

/// A deleted import.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remains {
    pub(crate) import: String,
}

impl Payload for Remains {
    const JOB: &'static str = "imports.remove";
}

pub(crate) fn jobs() -> Vec<Job> {
    vec![
        Job::single("Fetches the file of an import.", async |tx, Fetch(step), message| {
            work(tx, step, message).await
        }),
        Job::single("Reads a file, or judges or writes a batch of its records.", work),
        Job::single("Removes what a deleted import leaves.", remove),
    ]
}

async fn work(tx: JobTransaction, step: Step, message: Message) -> Result<JobOutput, JobError> {
    let Some(mut import) = tx.read::<Import>(Import::key(&step.account, &step.import)).await? else {
        // It was deleted.
        return Ok(JobOutput::default());
    };
    let job = message.id.split('.').next();
    if import.status != step.stage.status() || import.next_batch != step.batch || import.job.as_deref() != job {
        return Ok(JobOutput::default());
    }
    let cx = Context::system((*tx).platform().clone()).traced(tx.trace());
    let cx = &cx.acting_as(Principal::member(import.author.clone()));
    import.value.updated_at = tx.now();
    let next = if may_go_on(cx, &import).await? {
        match step.stage {
            Stage::Fetch => fetch(cx, &mut import.value, &message).await?,
            Stage::Read => read(cx, &mut import.value).await?,
            Stage::Judge => judge(cx, &tx, &mut import.value, step.batch).await?,
            Stage::Write => write(cx, &tx, &mut import.value, step.batch).await?,
        }
    } else {
        fail(
            &mut import.value,
            "an account of the import may no longer do this".into(),
        )
    };
    if let Some((stage, batch)) = next {
        (import.value.status, import.value.next_batch) = (stage.status(), batch);
        // The same stage again is one whose turn has not come.
        let wait = if stage == Stage::Read && step.stage == stage {
            TURN_MS
        } else {
            0
        };
        let next = Step {
            stage,
            batch,
            ..step.clone()
        };
        tracked::next_after(&tx, &message, &next, wait)?;
    }
    let Stored { value, document } = import;
    tx.update(&document, value).or_retry();
    Ok(JobOutput {
        result: Some(json!({ "import": step.import })),
        unfinished: next.is_some(),
    })
}

/// Whether the accounts of the import are active, and the one that made it has the permission that its options need.
async fn may_go_on(cx: &Context, import: &Import) -> Result<bool, JobError> {
    let mut keys = vec![ACCOUNT.key(&import.owner), ACCOUNT.key(&import.author)];
    keys.dedup();
    let mut views = Vec::new();
    for found in cx.get_all(&keys).await? {
        let view = found.map(|document| document.parse::<AccountView>()).transpose()?;
        views.extend(view.filter(|view| view.active));
    }
    if views.len() < keys.len() {
        return Ok(false);
    }
    if !import.needs_permission() {
        return Ok(true);
    }
    let owner = views.swap_remove(0);
    let keys: Vec<Key> = owner.role_keys().collect();
    let roles: Vec<Document> = cx.get_all(&keys).await?.into_iter().flatten().collect();
    Ok(owner.principal(&import.owner, &roles)?.may(&IMPORTS_MARKET))
}

type Next = Option<(Stage, u32)>;

/// Fetches the file, and keeps it in parts as if it had been uploaded.
async fn fetch(cx: &Context, import: &mut Import, message: &Message) -> Result<Next, JobError> {
    let Some(url) = import.options.url.clone() else {
        return Ok(fail(import, "there is no URL".into()));
    };
    let file = match file_at(cx, import, url).await {
        Ok(file) => file,
        // What may be otherwise in a moment is tried again.
        Err(NoFile::Failed(why)) if message.attempts.len() + 1 < FETCHES => return Err(JobError::Retry(why)),
        Err(NoFile::NotNow(why)) => return Err(StoreError::Unavailable(why).into()),
        Err(NoFile::Failed(why) | NoFile::Never(why)) => return Ok(fail(import, why)),
    };
    import.parts = keep_file(cx, import, &file).await?;
    Ok(Some((Stage::Read, 0)))
}

/// When the file that is being read was begun, in milliseconds, or 0: one at a time, because of the memory that it takes.
static READING_SINCE: AtomicI64 = AtomicI64::new(0);
/// How long reading a file may take at most, in milliseconds. What takes longer has been given up by its host.
const READING_MS: i64 = 60_000;

struct Turn;

impl Turn {
    fn take(now: i64) -> Option<Self> {
        let since = READING_SINCE.load(Ordering::Acquire);
        let is_free = since == 0 || !(since..since.saturating_add(READING_MS)).contains(&now);
        let take = || READING_SINCE.compare_exchange(since, now, Ordering::AcqRel, Ordering::Acquire);
        (is_free && take().is_ok()).then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        READING_SINCE.store(0, Ordering::Release);
    }
}

/// Reads the file, and divides it into batches.
async fn read(cx: &Context, import: &mut Import) -> Result<Next, JobError> {
    let Some(_turn) = Turn::take(cx.now().as_millisecond()) else {
        return Ok(Some((Stage::Read, 0)));
    };
    let file = uploaded(cx, &import.id).await?;
    if file.len() != import.parts.values().sum::<usize>() {
        return Ok(fail(
            import,
            "parts of the file are missing: make another import".into(),
        ));
    }
    let how = import.reading();
    let divided: Result<Divided, String> = cx.compute(move || divide(file, &how)).await?;
    let divided = match divided {
        Ok(divided) => divided,
        Err(why) => return Ok(fail(import, why)),
    };
    keep_batches(cx, import, &divided.batches).await?;
    import.read_as = Some(divided.read_as);
    import.records = Some(divided.records);
    import.batches = u32::try_from(divided.batches.len()).unwrap_or(u32::MAX);
    Ok(Some((Stage::Judge, 0)))
}

fn fail(import: &mut Import, why: String) -> Next {
    (import.status, import.error) = (Status::Failed, Some(why));
    None
}

/// Removes documents of a deleted import, page by page.
async fn remove(tx: JobTransaction, remains: Remains, message: Message) -> Result<JobOutput, JobError> {
    let id = &remains.import;
    for partition in [parts_of(id), batch_key(id, 0).pk, lines_key(id, 0).pk] {
        let page = tx.query(&Query::partition(partition, REMOVED)).await?;
        if page.items.is_empty() {
            continue;
        }
        for item in page.items {
            tx.remove(item.document.key);
        }
        tracked::next(&tx, &message, &remains)?;
        break;
    }
    Ok(JobOutput::default())
}

/// Compares the records of a batch with the market.
async fn judge(cx: &Context, tx: &JobTransaction, import: &mut Import, batch: u32) -> Result<Next, JobError> {
    let Batch { entries, attributes } = batch_of(cx, import, batch).await?;
    let mut importer = Importer::new(cx, &import.author, import.rules(true), attributes);
    let (mut lines, mut ready) = (Vec::with_capacity(entries.len()), Vec::new());
    for (place, entry) in entries.into_iter().enumerate() {
        let mut line = ImportLine {
            line: entry.line,
            title: entry.title,
            outcome: Outcome::LeftOut,
            errors: Vec::new(),
            notes: entry.notes,
        };
        let prepared = match entry.what {
            Ok(found) => match found.checked() {
                Ok(checked) => importer.prepare(checked).await,
                Err(error) => Err(error),
            },
            Err(errors) => Err(RecordError::Invalid(errors)),
        };
        match prepared {
            Ok((product, notes)) => {
                line.notes = said(line.notes.into_iter().chain(notes));
                ready.push((place, line, product));
            }
            Err(error) => {
                line.errors = faults(error)?;
                lines.push((place, line));
            }
        }
    }
    let planned =
        stream::iter(ready).map(async |(place, line, product)| (place, line, plan_product(cx, &product).await));
    let planned: Vec<_> = planned.buffer_unordered(AT_ONCE).collect().await;
    for (place, mut line, outcome) in planned {
        match outcome {
            Ok(outcome) => line.outcome = outcome.into(),
            Err(error) => line.errors = faults(error.into())?,
        }
        lines.push((place, line));
    }
    import.judged = import.judged.saturating_add(lines.len() as u64);
    let lines = keep_lines(tx, import, batch, lines)?;
    import.planned.count(&lines.value);
    Ok(match batch.saturating_add(1) {
        next if next < import.batches => Some((Stage::Judge, next)),
        _ if import.options.dry_run => {
            import.status = Status::Judged;
            None
        }
        _ => Some((Stage::Write, 0)),
    })
}

/// Writes the records of a batch that are to be added or changed.
async fn write(cx: &Context, tx: &JobTransaction, import: &mut Import, batch: u32) -> Result<Next, JobError> {
    let Batch { entries, attributes } = batch_of(cx, import, batch).await?;
    let key = lines_key(&import.id, batch);
    let lines = cx.read::<Vec<ImportLine>>(key).await?.ok_or_else(gone)?.value;
    let mut importer = Importer::new(cx, &import.author, import.rules(false), attributes);
    let (mut done, mut ready) = (Vec::with_capacity(lines.len()), Vec::new());
    for (place, (mut line, entry)) in lines.into_iter().zip(entries).enumerate() {
        let Ok(found) = entry.what else {
            done.push((place, line));
            continue;
        };
        let leads_on = found.leads_on() && line.outcome != Outcome::LeftOut;
        let is_wanted = leads_on || matches!(line.outcome, Outcome::Added | Outcome::Changed);
        if !is_wanted {
            done.push((place, line));
            continue;
        }
        let prepared = match found.checked() {
            Ok(checked) => importer.prepare(checked).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok((product, _)) => ready.push((place, line, product)),
            Err(error) => {
                (line.outcome, line.errors) = (Outcome::LeftOut, faults(error)?);
                done.push((place, line));
            }
        }
    }
    let written =
        stream::iter(ready).map(async |(place, line, product)| (place, line, import_product(cx, &product).await));
    let written: Vec<_> = written.buffer_unordered(AT_ONCE).collect().await;
    for (place, mut line, outcome) in written {
        match outcome {
            // What a run of this message before an interruption wrote is the same now.
            Ok(Imported::Unchanged) => {}
            Ok(outcome) => line.outcome = outcome.into(),
            Err(error) => (line.outcome, line.errors) = (Outcome::LeftOut, faults(error.into())?),
        }
        done.push((place, line));
    }
    import.written = import.written.saturating_add(done.len() as u64);
    let done = keep_lines(tx, import, batch, done)?;
    import.result.count(&done.value);
    Ok(match batch.saturating_add(1) {
        next if next < import.batches => Some((Stage::Write, next)),
        _ => {
            import.status = Status::Done;
            None
        }
    })
}

impl From<Imported> for Outcome {
    fn from(imported: Imported) -> Self {
        match imported {
            Imported::Added => Outcome::Added,
            Imported::Changed => Outcome::Changed,
            Imported::Unchanged => Outcome::Unchanged,
        }
    }
}

fn gone() -> JobError {
    JobError::Fatal("a part of the import is gone".into())
}

async fn batch_of(cx: &Context, import: &Import, batch: u32) -> Result<Batch, JobError> {
    let found = cx.read::<Batch>(batch_key(&import.id, batch)).await?;
    Ok(found.ok_or_else(gone)?.value)
}

/// The faults of a record; if it is the store that failed, the message is tried again.
fn faults(error: RecordError) -> Result<Vec<FieldError>, JobError> {
    match error {
        RecordError::Failed(failure) => Err(failure.into()),
        error => shown(error).map_err(JobError::Retry),
    }
}

fn keep_lines(
    tx: &JobTransaction,
    import: &Import,
    batch: u32,
    lines: Vec<(usize, ImportLine)>,
) -> Result<Stored<Vec<ImportLine>>, JobError> {
    let lines = report(lines).map_err(JobError::Fatal)?;
    let put = tx.put(lines_key(&import.id, batch), lines);
    Ok(put.expires_at(expiry(import.created_at)).always())
}
