//! The consumer of every lane's queue and dead-letter queue.
//!
//! The app works on a whole batch, then each message is acknowledged or retried by its own outcome. If the instance dies
//! before that, Cloudflare redelivers the batch; the inbox recognizes the messages whose effects were committed.
//! A lane's dead-letter queue holds the messages that kept killing their consumers; its consumer stores them as dead
//! letters, which operators see.

use souk_cloudflare::received;
use souk_core::Lane;
use souk_core::queue::Outcome;
use souk_kit::App;
use worker::worker_sys::MessageBatch;

const DEAD_LETTER_SUFFIX: &str = "-dead";
/// For a deployment that is not configured. With the `max_retries` of the lane and then of its dead-letter queue,
/// a message survives for most of a day, in which a better version can be deployed.
const RETRY_LATER: Outcome = Outcome::Retry(600);

/// Processes a batch. Without an app, whose absence was logged, every message is retried later.
pub(crate) async fn consume(app: Option<&App>, batch: &MessageBatch) {
    let queue = batch.queue().map(String::from).unwrap_or_default();
    let is_dead_letter_queue = queue.ends_with(DEAD_LETTER_SUFFIX);
    let lane = queue
        .strip_suffix(DEAD_LETTER_SUFFIX)
        .unwrap_or(&queue)
        .rsplit('-')
        .next();
    let lane = lane.and_then(Lane::parse).unwrap_or(Lane::Default);
    let (mut messages, mut deliveries) = (Vec::new(), Vec::new());
    for message in received(batch) {
        let delivery = message.read(lane);
        #[cfg(feature = "testing")]
        if !is_dead_letter_queue && crate::testing::act(&queue, &message, &delivery) {
            continue;
        }
        messages.push(message);
        deliveries.push(delivery);
    }
    let outcomes = match app {
        _ if deliveries.is_empty() => return,
        Some(app) if is_dead_letter_queue => app.dead_letter(deliveries).await,
        Some(app) => app.work(deliveries).await,
        None => vec![RETRY_LATER; deliveries.len()],
    };
    for (message, outcome) in messages.iter().zip(outcomes) {
        message.ack_or_retry(outcome);
    }
}
