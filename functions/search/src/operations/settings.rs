//! Operations on the search settings.

use souk_core::{Document, Timestamp};
use souk_kit::{Context, Failure, IfMatch, Stored, Transaction};
use souk_model::identity::AUDIT_READ;

use crate::Memory;
use crate::settings::{NewSearchSettings, SearchSettings, key};

/// The settings; before they are first set, the defaults at version 0.
pub(crate) async fn read_settings(cx: &Context) -> Result<Stored<SearchSettings>, Failure> {
    match cx.read(key()).await? {
        Some(stored) => Ok(stored),
        None => defaults(),
    }
}

fn defaults() -> Result<Stored<SearchSettings>, Failure> {
    let value = SearchSettings::default();
    let document = Document {
        key: key(),
        version: 0,
        body: serde_json::to_string(&value)?,
        counters: "{}".into(),
        expires_at: None,
    };
    Ok(Stored { value, document })
}

/// The settings as they were at a moment, for those who may see what was.
pub(crate) async fn settings_as_of(cx: &Context, at: Timestamp) -> Result<Stored<SearchSettings>, Failure> {
    if !cx.may(&AUDIT_READ) {
        return Err(Failure::lacks(&AUDIT_READ));
    }
    match cx.as_of(key(), at, None).await? {
        Some(document) => Ok(Stored::read(document)?),
        None => defaults(),
    }
}

/// Replaces the settings. Other instances use the new settings within ten seconds.
pub(crate) async fn replace_settings(
    cx: &Context,
    memory: &Memory,
    if_match: &IfMatch,
    new: &NewSearchSettings,
) -> Result<Stored<SearchSettings>, Failure> {
    let stored = cx
        .commit(|tx: Transaction<Failure>| async move {
            let old: Option<Stored<SearchSettings>> = tx.read(key()).await?;
            let version = old.as_ref().map_or(0, Stored::version);
            if_match.check(version)?;
            let settings = SearchSettings {
                weights: new.weights.clone(),
                synonyms: new.synonyms.clone(),
                version: version + 1,
            };
            if let Some(old) = &old
                && old.changed_fields(&settings)?.is_empty()
            {
                return Ok(tx.unchanged(old.clone()));
            }
            let old = old.as_ref().map(|old| &old.document);
            Ok(tx.create_or_update(key(), old, settings).or_precondition(if_match))
        })
        .await?;
    memory.tuned.forget();
    cx.forget_searches();
    Ok(stored)
}
