//! `souk jobs`: lanes and dead letters in the terminal. It works on the data folder, whether a server runs on it or
//! not; replayed messages wait in the queue for the server.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use souk_core::Lane;
use souk_kit::{App, Context, Failure};
use souk_operators::operations;

use crate::data::Market;

/// How many dead letters of a lane are shown.
const SHOWN: usize = 10;
/// How often `--watch` redraws the view.
const REFRESH: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Show lanes and dead letters
    Show,
    /// Send dead letters back to their lanes, with fresh attempts
    Replay,
    /// Delete dead letters
    Discard,
}

/// The lane of this name, for the command line.
pub(crate) fn lane(name: &str) -> Result<Lane, String> {
    Lane::parse(name).ok_or_else(|| "must be high, default, notifications or low".into())
}

/// Runs the command for one dead letter, for those of a lane, or for all. With `watch`, refreshes the view until
/// Ctrl-C.
pub(crate) async fn run(
    market: &Market,
    action: Action,
    lane: Option<Lane>,
    id: Option<&str>,
    watch: bool,
) -> Result<(), String> {
    let failed = |e: Failure| e.to_string();
    let cx = Context::system(market.platform.clone());
    let lanes = lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane]);
    let (discard, done) = match action {
        Action::Show => return show(&cx, &lanes, watch).await,
        Action::Replay => (false, "sent back to their lanes"),
        Action::Discard if lane.is_none() => return Err("name a lane: discarded dead letters are gone for good".into()),
        Action::Discard => (true, "discarded"),
    };
    let mut count = 0;
    for lane in lanes {
        count += match id {
            Some(id) => handle_one(&cx, discard, lane, id).await.map_err(failed)?,
            None => handle_lane(&cx, discard, lane).await.map_err(failed)?,
        };
    }
    App::new(market.platform.clone(), []).run_pending_work().await;
    if let (0, Some(id)) = (count, id) {
        return Err(format!("there is no dead letter {id}"));
    }
    print(&format!("{count} dead letters: {done}\n"))
}

async fn show(cx: &Context, lanes: &[Lane], watch: bool) -> Result<(), String> {
    let failed = |e: Failure| e.to_string();
    if !watch || !std::io::stdout().is_terminal() {
        return print(&view(cx, lanes).await.map_err(failed)?);
    }
    loop {
        let view = view(cx, lanes).await.map_err(failed)?;
        // Move the cursor to the top left corner and clear the screen.
        print(&format!("\x1b[H\x1b[2J{view}\nPress Ctrl-C to quit.\n"))?;
        pause(REFRESH).await;
    }
}

fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| e.to_string())
}

async fn handle_one(cx: &Context, discard: bool, lane: Lane, id: &str) -> Result<usize, Failure> {
    let handled = if discard {
        operations::discard_dead_letter(cx, lane, id).await
    } else {
        operations::replay_dead_letter(cx, lane, id).await
    };
    match handled {
        Ok(()) => Ok(1),
        Err(Failure::NotFound(_)) => Ok(0),
        Err(failure) => Err(failure),
    }
}

async fn handle_lane(cx: &Context, discard: bool, lane: Lane) -> Result<usize, Failure> {
    // Messages that become dead letters meanwhile are not affected.
    let (until, mut after, mut count) = (cx.now(), None, 0);
    loop {
        let page = if discard {
            operations::discard_lane_page(cx, lane, until, after.as_deref()).await?
        } else {
            operations::replay_lane_page(cx, lane, until, after.as_deref()).await?
        };
        count += page.count;
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}

/// A table of the lanes, then the newest dead letters of each.
async fn view(cx: &Context, lanes: &[Lane]) -> Result<String, Failure> {
    let mut out = String::new();
    let heads = [
        "lane", "ready", "delayed", "oldest", "done/min", "retried", "dead", "expired", "shed",
    ];
    row(&mut out, heads.map(str::to_owned));
    for state in operations::lanes(cx).await? {
        if !lanes.contains(&state.lane) {
            continue;
        }
        let backlog = state.backlog.unwrap_or_default();
        let number = |n: Option<u64>| n.map_or("?".to_owned(), |n| n.to_string());
        let hour = |outcome: &str| number(state.last_60_minutes.get(outcome).copied());
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
        let letters = operations::newest_dead_letters(cx, *lane).await?;
        if letters.items.is_empty() {
            continue;
        }
        let more = letters.next_cursor.map_or("", |_| "more than ");
        let _ = writeln!(out, "\ndead letters in {}: {more}{}", lane.name(), letters.items.len());
        for letter in letters.items.iter().take(SHOWN) {
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
