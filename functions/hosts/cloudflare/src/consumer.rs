//! What the queues deliver.
//!
//! A batch is worked off and each of its messages settled by its own outcome. If the instance dies before, the platform
//! delivers all of it again; what was committed until then is known by its mark in the inbox. The dead-letter queues,
//! which hold what ended its consumers again and again, are consumed as well, into the dead letters among the documents.

use souk_cloudflare::delivered;
use souk_core::queue::Outcome;
use souk_kit::App;
use worker::worker_sys::MessageBatch;

/// How the name of a dead-letter queue ends.
const DEAD: &str = "-dead";
/// When a message comes back that this deployment cannot work: time enough for a better one, and so often
/// (`max_retries`) that it is there for most of a day, in its lane and then in the dead-letter queue.
const LATER: Outcome = Outcome::Again(600);

/// Works a batch off; without an app, which is said in the log, it comes back.
pub(crate) async fn consume(app: Option<&App>, batch: &MessageBatch) {
    let queue = batch.queue().map(String::from).unwrap_or_default();
    let is_dead = queue.ends_with(DEAD);
    let (mut messages, mut deliveries) = (Vec::new(), Vec::new());
    for message in delivered(batch) {
        match message.read() {
            #[cfg(feature = "testing")]
            Ok(delivery) if !is_dead && crate::testing::act(&queue, &message, &delivery) => {}
            Ok(delivery) => {
                messages.push(message);
                deliveries.push(delivery);
            }
            Err(why) => {
                tracing::error!(queue, why, "a message of no known form");
                message.settle(LATER);
            }
        }
    }
    let outcomes = match app {
        _ if deliveries.is_empty() => return,
        Some(app) if is_dead => app.bury(deliveries).await,
        Some(app) => app.work(deliveries).await,
        None => vec![LATER; deliveries.len()],
    };
    for (message, outcome) in messages.iter().zip(outcomes) {
        message.settle(outcome);
    }
}
