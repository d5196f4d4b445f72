//! `souk tenants`: lists the markets of the deployment, exports one, or erases it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use souk_kit::{Context, PageRequest};
use souk_tenants::operations;

use crate::data;

/// How long a server that runs may still be at work for a market that is marked as erased.
const WAIT: Duration = Duration::from_secs(15);

/// What to do.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Action {
    /// List the markets beside the main one
    List,
    /// Write everything that a market has, secrets too, one document a line
    Export,
    /// Erase a suspended market with everything that it has
    Erase,
}

/// What to print.
#[expect(clippy::disallowed_methods, reason = "the local host owns its timers")]
pub(crate) async fn run(
    dir: &Path,
    action: Action,
    name: Option<&str>,
    output: Option<&Path>,
) -> Result<String, String> {
    let cx = &data::open_existing(dir)?.context();
    match (action, name) {
        (Action::List, _) => list(cx).await,
        (_, None) => Err("give the name of a market".into()),
        (Action::Export, Some(name)) => export(cx, name, output).await,
        (Action::Erase, Some(name)) => {
            let marked = operations::begin_erasure(cx, name).await;
            let tenant = marked.map_err(|error| error.to_string())?;
            if data::lock(dir).is_err() {
                tokio::time::sleep(WAIT).await;
            }
            operations::erase_all(cx, &tenant)
                .await
                .map_err(|error| error.to_string())?;
            Ok(format!("{name} is erased"))
        }
    }
}

async fn list(cx: &Context) -> Result<String, String> {
    let (mut lines, mut page) = (
        Vec::new(),
        PageRequest {
            limit: 100,
            cursor: None,
        },
    );
    loop {
        let found = operations::list_tenants(cx, &page)
            .await
            .map_err(|error| error.to_string())?;
        for document in &found.items {
            let tenant: souk_kit::tenancy::TenantRecord = document.parse().map_err(|error| error.to_string())?;
            let status = format!("{:?}", tenant.status).to_lowercase();
            lines.push(
                format!("{}  {status}  {}", tenant.name.name(), tenant.title)
                    .trim_end()
                    .to_owned(),
            );
        }
        match found.next_cursor {
            Some(next) => {
                page = PageRequest {
                    limit: 100,
                    cursor: Some(next),
                }
            }
            None => return Ok(lines.join("\n")),
        }
    }
}

async fn export(cx: &Context, name: &str, output: Option<&Path>) -> Result<String, String> {
    let mut to: Box<dyn Write + Send> = match output {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).map_err(|e| format!("{}: {e}", path.display()))?,
        )),
        None => Box::new(std::io::stdout()),
    };
    let (mut count, mut after) = (0_usize, None);
    loop {
        let page = operations::export_tenant(cx, name, after.as_deref()).await;
        let page = page.map_err(|error| error.to_string())?;
        for document in &page.items {
            let line = serde_json::to_string(document).map_err(|error| error.to_string())?;
            writeln!(to, "{line}").map_err(|error| error.to_string())?;
            count = count.saturating_add(1);
        }
        after = page.next_cursor;
        if after.is_none() {
            to.flush().map_err(|error| error.to_string())?;
            return Ok(if output.is_some() {
                format!("{count} documents")
            } else {
                String::new()
            });
        }
    }
}
