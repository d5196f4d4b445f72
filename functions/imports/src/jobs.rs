//! The job of an import: reads the file, then judges its batches, then writes them; one message each.

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use souk_catalog::operations::{Imported, import_product, plan_product};
use souk_core::outbound::{Call, OutboundError, Reply};
use souk_core::queue::Payload;
use souk_core::{FieldError, Message, Principal, Role};
use souk_kit::jobs::{Job, JobError, JobOutput, JobTransaction, tracked};
use souk_kit::{Context, Stored};

use crate::file::{Batch, Divided, divide, report, said, shown};
use crate::import::{Import, Line, MAX_FILE, Outcome, Status};
use crate::operations::{batch_key, expiry, keep_batches, lines_key, uploaded};
use crate::record::{Importer, RecordError};

/// How many products are compared or written concurrently: a Worker may have six connections.
const AT_ONCE: usize = 6;
/// How long a server may take to send a file, in milliseconds.
const FETCH_MS: u32 = 30_000;
/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// A stage of the work on an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Read,
    Judge,
    Write,
}

impl Stage {
    /// The status of an import at this stage.
    pub(crate) fn status(self) -> Status {
        match self {
            Stage::Read => Status::Reading,
            Stage::Judge => Status::Judging,
            Stage::Write => Status::Writing,
        }
    }
}

impl Status {
    /// The stage of a running import.
    pub(crate) fn stage(self) -> Option<Stage> {
        [Stage::Read, Stage::Judge, Stage::Write]
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

pub(crate) fn jobs() -> Vec<Job> {
    vec![Job::single(
        "Reads a file, or judges or writes a batch of its records.",
        work,
    )]
}

async fn work(tx: JobTransaction, step: Step, message: Message) -> Result<JobOutput, JobError> {
    let Some(mut import) = tx.read::<Import>(Import::key(&step.account, &step.import)).await? else {
        // It was deleted.
        return Ok(JobOutput::default());
    };
    if import.status != step.stage.status() || import.next_batch != step.batch {
        return Ok(JobOutput::default());
    }
    let cx = Context::system((*tx).platform().clone()).traced(tx.trace());
    let cx = &cx.acting_as(Principal {
        account: import.author.clone(),
        session: String::new(),
        role: Role::Member,
    });
    import.value.updated_at = tx.now();
    let next = match step.stage {
        Stage::Read => read(cx, &mut import.value).await?,
        Stage::Judge => judge(cx, &tx, &mut import.value, step.batch).await?,
        Stage::Write => write(cx, &tx, &mut import.value, step.batch).await?,
    };
    if let Some((stage, batch)) = next {
        (import.value.status, import.value.next_batch) = (stage.status(), batch);
        let next = Step { stage, batch, ..step };
        tracked::next(&tx, &message, &next)?;
    }
    let Stored { value, document } = import;
    tx.update(&document, value).or_retry();
    Ok(JobOutput {
        result: None,
        unfinished: next.is_some(),
    })
}

type Next = Option<(Stage, u32)>;

/// Reads the file, and divides it into batches.
async fn read(cx: &Context, import: &mut Import) -> Result<Next, JobError> {
    let file = match import.options.url.clone() {
        Some(url) => match fetch(cx, url).await? {
            Ok(file) => file,
            Err(why) => return Ok(fail(import, why)),
        },
        None => uploaded(cx, &import.id).await?,
    };
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

/// The file at a URL, or why there is none.
async fn fetch(cx: &Context, mut url: String) -> Result<Result<Vec<u8>, String>, JobError> {
    for _ in 0..=MAX_REDIRECTS {
        let call = Call {
            method: "GET".into(),
            url: url.clone(),
            headers: vec![("user-agent".into(), "Souk-Imports/1".into())],
            body: String::new(),
            timeout_ms: FETCH_MS,
            max_reply: MAX_FILE,
        };
        let owner = cx.principal().map_or("", |principal| &principal.account);
        let reply = match cx.outbound.call_for(owner, "imports", call).await {
            Ok(reply) => reply,
            Err(error @ OutboundError::Refused(_)) => return Ok(Err(format!("{url}: {error}"))),
            Err(error) => return Err(JobError::Retry(format!("{url}: {error}"))),
        };
        match (reply.status, location(&reply)) {
            (200, _) if reply.truncated => {
                return Ok(Err(format!("the file is larger than {} MB", MAX_FILE / 1024 / 1024)));
            }
            (200, _) => return Ok(Ok(reply.body)),
            (301 | 302 | 303 | 307 | 308, Some(location)) => url = location.to_owned(),
            (status @ (429 | 500..), _) => return Err(JobError::Retry(format!("{url}: the status is {status}"))),
            (status, _) => return Ok(Err(format!("{url}: the status is {status}"))),
        }
    }
    Ok(Err("there are too many redirects".into()))
}

fn location(reply: &Reply) -> Option<&str> {
    let header = reply.headers.iter().find(|(name, _)| name == "location");
    header.map(|(_, value)| value.as_str())
}

/// Compares the records of a batch with the market.
async fn judge(cx: &Context, tx: &JobTransaction, import: &mut Import, batch: u32) -> Result<Next, JobError> {
    let Batch { entries, attributes } = batch_of(cx, import, batch).await?;
    let mut importer = Importer::new(cx, &import.author, import.rules(true), attributes);
    let (mut lines, mut ready) = (Vec::with_capacity(entries.len()), Vec::new());
    for entry in entries {
        let mut line = Line {
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
                line.notes.extend(said(notes));
                ready.push((line, product));
            }
            Err(error) => {
                line.errors = faults(error)?;
                lines.push(line);
            }
        }
    }
    let planned = stream::iter(ready).map(async |(line, product)| (line, plan_product(cx, &product).await));
    let planned: Vec<_> = planned.buffer_unordered(AT_ONCE).collect().await;
    for (mut line, outcome) in planned {
        match outcome {
            Ok(outcome) => line.outcome = outcome.into(),
            Err(error) => line.errors = faults(error.into())?,
        }
        lines.push(line);
    }
    import.planned.count(&lines);
    import.judged = import.judged.saturating_add(lines.len() as u64);
    keep_lines(tx, import, batch, lines)?;
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
    let lines = cx.read::<Vec<Line>>(key).await?.ok_or_else(gone)?.value;
    let mut importer = Importer::new(cx, &import.author, import.rules(false), attributes);
    let (mut done, mut ready) = (Vec::with_capacity(lines.len()), Vec::new());
    for (mut line, entry) in lines.into_iter().zip(entries) {
        let is_wanted = matches!(line.outcome, Outcome::Added | Outcome::Changed);
        let Ok(found) = entry.what else {
            done.push(line);
            continue;
        };
        if !is_wanted {
            done.push(line);
            continue;
        }
        let prepared = match found.checked() {
            Ok(checked) => importer.prepare(checked).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok((product, _)) => ready.push((line, product)),
            Err(error) => {
                (line.outcome, line.errors) = (Outcome::LeftOut, faults(error)?);
                done.push(line);
            }
        }
    }
    let written = stream::iter(ready).map(async |(line, product)| (line, import_product(cx, &product).await));
    let written: Vec<_> = written.buffer_unordered(AT_ONCE).collect().await;
    for (mut line, outcome) in written {
        match outcome {
            // What a run of this message before an interruption wrote is the same now.
            Ok(Imported::Unchanged) => {}
            Ok(outcome) => line.outcome = outcome.into(),
            Err(error) => (line.outcome, line.errors) = (Outcome::LeftOut, faults(error.into())?),
        }
        done.push(line);
    }
    import.result.count(&done);
    import.written = import.written.saturating_add(done.len() as u64);
    keep_lines(tx, import, batch, done)?;
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

fn keep_lines(tx: &JobTransaction, import: &Import, batch: u32, lines: Vec<Line>) -> Result<(), JobError> {
    let lines = report(lines).map_err(JobError::Fatal)?;
    let put = tx.put(lines_key(&import.id, batch), lines);
    put.expires_at(expiry(import.created_at)).always();
    Ok(())
}
