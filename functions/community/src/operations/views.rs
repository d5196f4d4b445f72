//! Operations on views.
//!
//! A view is sent to the lane `low` without a commit. It is lost if the backlog is full or the queue is unavailable.
//! The job `views` counts it. Only a keyed digest of the viewer and the product is stored, so the store does not reveal
//! who has viewed which product.

use souk_core::clock;
use souk_kit::{Context, Failure};

use super::public_product;
use crate::view::View;

/// After how many seconds the message of a view expires.
const WORTH_SECONDS: i64 = 86_400;

/// Records, as best effort, that `viewer` has viewed a product. `viewer` is any value that distinguishes viewers.
pub async fn record_view(cx: &Context, product: &str, viewer: &[u8]) -> Result<(), Failure> {
    let product = public_product(cx, product).await?.value.id;
    let view = View {
        viewer: cx.keys.digest(&[b"view\n", product.as_bytes(), b"\n", viewer].concat()),
        product,
    };
    let mut message = cx.message(&view)?;
    message.expires_at = Some(clock::after(cx.now(), WORTH_SECONDS));
    cx.send_best_effort(message);
    Ok(())
}
