//! Operations on webhooks and their deliveries.

mod deliveries;
mod health;
mod verification;
mod webhooks;

use serde::de::DeserializeOwned;
use souk_core::{Document, Key};
use souk_kit::{Context, Failure, Stored};

pub(crate) use deliveries::{begin_round, start_delivery};
pub use deliveries::{find_delivery, list_deliveries, replay_deliveries, replay_delivery};
pub(crate) use health::{disable, note_outcome, reserve_slot};
pub(crate) use verification::TESTS;
pub(crate) use verification::note_verified;
pub use verification::{send_test, verify_webhook};
pub use webhooks::{Listed, create_webhook, delete_webhook, edit_webhook, find_webhook, list_webhooks, rotate_secret};

/// The body at this key, or the default if there is no document.
async fn read_or_default<T: DeserializeOwned + Default>(
    cx: &Context,
    key: Key,
) -> Result<(T, Option<Document>), Failure> {
    let found: Option<Stored<T>> = cx.read(key).await?;
    Ok(found
        .map(|found| (found.value, Some(found.document)))
        .unwrap_or_default())
}
