//! `souk audit`: checks the audit log, or exports it.

use std::fs;
use std::path::Path;

use souk_kit::Context;
use souk_kit::operation::audit::{Head, verify};
use souk_operators::operations::export_audit;

use crate::data;

/// What to do with the log.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Action {
    /// Check that no record was changed or removed
    Verify,
    /// Print the records, the oldest first, one a line
    Export,
}

/// What to print.
pub(crate) async fn run(action: Action, file: Option<&Path>, dir: &Path) -> Result<String, String> {
    let market = match file {
        Some(_) => None,
        None => Some(data::open_existing(dir)?),
    };
    // Before the records: while a server runs, more may come.
    let head = match &market {
        Some(market) => market
            .context()
            .read::<Head>(Head::key())
            .await
            .map_err(|error| error.to_string())?,
        None => None,
    };
    let lines = match (file, &market) {
        (Some(file), _) => fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?,
        (None, Some(market)) => exported(&market.context()).await?,
        (None, None) => Vec::new(),
    };
    if matches!(action, Action::Export) {
        return Ok(String::from_utf8_lossy(&lines).trim_end().to_owned());
    }
    let end = verify(&lines, Head::default()).map_err(|broken| broken.to_string())?;
    // Whether records are missing at the end of a file, only the market knows.
    if let Some(head) = head {
        let count = usize::try_from(head.number).unwrap_or(usize::MAX);
        let known: Vec<u8> = lines
            .split_inclusive(|byte| *byte == b'\n')
            .take(count)
            .flatten()
            .copied()
            .collect();
        if verify(&known, Head::default()).ok().as_ref() != Some(&head.value) {
            return Err(format!(
                "there are {} records, and the last one was {}",
                end.number, head.number
            ));
        }
    }
    let Head { number, hash } = end;
    Ok(format!(
        "{number} records are as they were written; the last hash is {hash}"
    ))
}

async fn exported(cx: &Context) -> Result<Vec<u8>, String> {
    let (mut lines, mut after) = (Vec::new(), 0);
    loop {
        let next = export_audit(cx, after).await.map_err(|error| error.to_string())?;
        if next.is_empty() {
            return Ok(lines);
        }
        after = after.saturating_add(u64::try_from(next.lines().count()).unwrap_or(0));
        lines.extend_from_slice(next.as_bytes());
    }
}
