//! What waited in a queue or rested before an update is read after it.

use serde_json::json;
use souk_core::Message;
use souk_kit::jobs::dead_letters::DeadLetter;

#[test]
fn a_message_says_what_it_says_for_ever() {
    let message = json!({
        "id": "evt_1.community.count", "job": "community.count", "lane": "default", "body": { "n": 1 },
        "created_at": "2025-01-31T12:00:00Z",
    });
    let read: Message = serde_json::from_value(message.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), message);
    let whole = json!({
        "id": "job_1", "job": "operators.replay", "lane": "high", "body": {}, "trace": crate::TRACE,
        "created_at": "2025-01-31T12:00:00Z", "not_before": "2025-01-31T12:00:01Z",
        "expires_at": "2025-02-01T00:00:00Z", "attempts": [{ "at": "2025-01-31T12:00:00.5Z", "error": "no" }],
        "tracked": true,
    });
    let read: Message = serde_json::from_value(whole.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), whole);

    let letter = json!({
        "id": "job_1", "lane": "high", "job": "operators.replay", "error": "no",
        "attempts": [{ "at": "2025-01-31T12:00:00.5Z", "error": "no" }], "trace": null,
        "died_at": "2025-01-31T12:00:02Z", "message": whole,
    });
    let read: DeadLetter = serde_json::from_value(letter.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), letter);
}
