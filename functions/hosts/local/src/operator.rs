//! `souk jobs`: lanes and dead letters in the terminal. It works on the data folder, whether a server runs on it or not:
//! what is replayed is in the queue then, for the server that runs or for the next one.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use souk_core::documents::MAX_LIMIT;
use souk_core::{Commit, Lane, Query, StoreError};
use souk_jobs::letters::{self, Batch, Summary};
use souk_kit::work::dead;
use souk_kit::{App, Platform};

use crate::data::Market;

/// How many dead letters of a lane are shown.
const SHOWN: usize = 10;
/// How often a view that is watched is drawn anew.
const REFRESH: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Show lanes and dead letters
    Show,
    /// Send dead letters back to their lanes, with fresh attempts
    Replay,
    /// Forget dead letters
    Discard,
}

/// The lane of this name, for the command line.
pub(crate) fn lane(name: &str) -> Result<Lane, String> {
    Lane::parse(name).ok_or_else(|| "must be high, default, notifications or low".into())
}

/// Shows or does it, for one letter, all of a lane, or all; `watch` shows it until Ctrl-C.
pub(crate) async fn run(
    market: &Market,
    action: Action,
    lane: Option<Lane>,
    id: Option<&str>,
    watch: bool,
) -> Result<(), String> {
    let failed = |e: StoreError| e.to_string();
    let platform = &*market.platform;
    let lanes = lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane]);
    if action == Action::Discard && lane.is_none() {
        return Err("name a lane: what is discarded does not come back".into());
    }
    if action != Action::Show {
        let mut done = 0;
        for lane in lanes {
            done += match id {
                Some(id) => one(platform, action, lane, id).await.map_err(failed)?,
                None => all(platform, action, lane).await.map_err(failed)?,
            };
        }
        // To the queue; a server that runs on this folder looks there.
        App::new(market.platform.clone(), []).relay().await;
        if let (0, Some(id)) = (done, id) {
            return Err(format!("there is no dead letter {id}"));
        }
        let what = if action == Action::Replay {
            "wait in their lanes"
        } else {
            "discarded"
        };
        return print(&format!("{done} dead letters: {what}\n"));
    }
    if !watch || !std::io::stdout().is_terminal() {
        return print(&view(platform, &lanes).await.map_err(failed)?);
    }
    loop {
        // From the top left corner on, and nothing of what was there before.
        let view = view(platform, &lanes).await.map_err(failed)?;
        print(&format!("\x1b[H\x1b[2J{view}\nCtrl-C ends this.\n"))?;
        pause(REFRESH).await;
    }
}

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| e.to_string())
}

async fn one(platform: &Platform, action: Action, lane: Lane, id: &str) -> Result<usize, StoreError> {
    let Some(document) = letters::find(platform, lane, id).await? else {
        return Ok(0);
    };
    let (change, message) = letters::again(&document)?;
    let messages = if action == Action::Replay {
        vec![message]
    } else {
        Vec::new()
    };
    platform.commit(vec![change], Vec::new(), messages).await?;
    Ok(1)
}

/// A page is one commit. What dies meanwhile stays.
async fn all(platform: &Platform, action: Action, lane: Lane) -> Result<usize, StoreError> {
    let (until, mut after, mut done) = (platform.now(), None, 0);
    loop {
        let Batch {
            changes,
            messages,
            next,
        } = letters::batch(platform, lane, until, after).await?;
        done += changes.len();
        if !changes.is_empty() {
            if action == Action::Replay {
                platform.commit(changes, Vec::new(), messages).await?;
            } else {
                platform.documents.commit(Commit::new(changes)).await?;
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(done),
        }
    }
}

/// A table of the lanes, then the newest dead letters of each.
async fn view(platform: &Platform, lanes: &[Lane]) -> Result<String, StoreError> {
    let mut out = String::new();
    let heads = [
        "lane", "ready", "delayed", "oldest", "done/min", "retried", "dead", "expired", "shed",
    ];
    row(&mut out, heads.map(str::to_owned));
    for state in souk_jobs::lanes(platform).await? {
        if !lanes.contains(&state.lane) {
            continue;
        }
        let backlog = state.backlog.unwrap_or_default();
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        let hour = |what: &str| number(state.last_60_minutes.get(what).copied());
        row(
            &mut out,
            [
                state.lane.name().to_owned(),
                number(backlog.ready),
                number(backlog.delayed),
                backlog
                    .oldest_seconds
                    .map_or("-".to_owned(), |seconds| format!("{seconds} s")),
                format!("{:.1}", state.done_per_minute),
                hour("retried"),
                hour("dead"),
                hour("expired"),
                hour("shed"),
            ],
        );
    }
    out.push_str("(retried, dead, expired and shed in the last hour)\n");
    for lane in lanes {
        let query = Query {
            descending: true,
            ..Query::partition(dead::partition(*lane), MAX_LIMIT)
        };
        let page = platform.documents.query(&query).await?;
        if page.items.is_empty() {
            continue;
        }
        let more = if page.next.is_some() { "more than " } else { "" };
        let _ = writeln!(out, "\ndead letters in {}: {more}{}", lane.name(), page.items.len());
        for item in page.items.iter().take(SHOWN) {
            let letter: Summary = item.document.parse()?;
            let error: String = letter.error.chars().filter(|c| !c.is_control()).take(100).collect();
            let _ = writeln!(
                out,
                "  {}  {:.19}  {}\n      {error}",
                letter.id,
                letter.died_at.to_string(),
                letter.job
            );
        }
    }
    Ok(out)
}

fn row(out: &mut String, cells: [String; 9]) {
    for (n, cell) in cells.iter().enumerate() {
        let _ = if n == 0 {
            write!(out, "{cell:<14}")
        } else {
            write!(out, "{cell:>9}")
        };
    }
    out.push('\n');
}

#[expect(clippy::disallowed_methods, reason = "the local host owns its timers")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
