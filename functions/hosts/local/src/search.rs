//! `souk search`: the search index, from the command line. It works on the data folder, whether a server runs on it or
//! not.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use souk_kit::Context;
use souk_search::Rebuilt;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Rebuild it from the documents
    Reindex,
}

/// Runs the command with a progress bar, and returns a message about the result.
pub(crate) async fn run(cx: &Context, action: Action) -> Result<String, String> {
    match action {
        Action::Reindex => {
            // The current index has about as many products.
            let known = cx.index.state().await.map_err(|e| e.to_string())?.listings;
            let style = ProgressStyle::with_template("{bar:40} {pos} of about {len} products, {per_sec}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(known).with_style(style);
            let rebuilt = souk_search::rebuild(cx, |done| {
                bar.set_length(known.max(done));
                bar.set_position(done);
            });
            let rebuilt = tokio::select! {
                rebuilt = rebuilt => rebuilt.map_err(|e| e.to_string()),
                // Until the next rebuild, every change would also be written to the unfinished index.
                _ = tokio::signal::ctrl_c() => {
                    souk_search::request_rebuild(cx).await.map_err(|e| e.to_string())?;
                    Err("interrupted; the server will rebuild the index".into())
                }
            };
            bar.finish_and_clear();
            match rebuilt? {
                Rebuilt::Done(products) => Ok(format!("{products} products are in the search index")),
                Rebuilt::Superseded => Err("another rebuild has begun meanwhile; it does the work".into()),
            }
        }
    }
}

/// Requests a rebuild if the index is missing or empty and there are products: after an upgrade, or if it was lost.
/// Failures are only logged, because everything but search works without the index.
pub(crate) async fn ensure(cx: &Context) {
    if !cx.index.is_needed() {
        return;
    }
    match souk_search::ensure(cx).await {
        Ok(true) => tracing::info!("the search index is being rebuilt"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the search index does not answer"),
    }
}
