//! `souk search`: the search index, from the command line. It works on the data folder, whether a server runs on it or not.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use souk_kit::Platform;
use souk_search::Rebuilt;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Rebuild it from the documents
    Reindex,
}

/// Does it, with a count on the terminal, and says what came of it.
pub(crate) async fn run(platform: &Platform, action: Action) -> Result<String, String> {
    match action {
        Action::Reindex => {
            // The present index has about as many.
            let known = platform.search.state().await.map_err(|e| e.to_string())?.products;
            let style = ProgressStyle::with_template("{bar:40} {pos} of about {len} products, {per_sec}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(known).with_style(style);
            let rebuilt = souk_search::rebuild(platform, |done| {
                bar.set_length(known.max(done));
                bar.set_position(done);
            });
            let rebuilt = tokio::select! {
                rebuilt = rebuilt => rebuilt,
                // What is half done would be kept up to date for nothing until the next rebuild.
                _ = tokio::signal::ctrl_c() => {
                    souk_search::request(platform).await.map_err(|e| e.to_string())?;
                    Err("interrupted; a server does it anew".into())
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

/// Leaves a message for a rebuild, if there is no index of what is in the market: after an upgrade, or if it was lost.
/// Without it search does not answer, or not all; everything else does, so this fails nothing.
pub(crate) async fn ensure(platform: &Platform) {
    if !platform.search.is_needed() {
        return;
    }
    match souk_search::ensure(platform).await {
        Ok(true) => tracing::info!("the search index is being rebuilt"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the search index does not answer"),
    }
}
