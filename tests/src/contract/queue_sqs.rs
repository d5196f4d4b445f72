//! [`SqsBench`]: the SQS adapter, and a consumer that pulls as the Lambda service does, in plain requests to an emulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use souk_aws::{Settings, SqsQueue, SystemClock, SystemRandom};
use souk_core::queue::{Delivery, Outcome};
use souk_core::{Lane, Queue};

use super::bench::unique;
use super::queue::{QueueBench, Seen, act, now};

/// How long a consumer has, in seconds.
const LEASE_SECONDS: u32 = 2;

/// Queues of its own in an emulator.
pub struct SqsBench {
    queue: SqsQueue,
    address: String,
    prefix: String,
    client: reqwest::Client,
}

impl SqsBench {
    /// Creates a queue for each lane in the emulator at this address.
    pub async fn create(address: String) -> Self {
        let prefix = format!("{address}/000000000000/{}-", unique());
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy();
        let bench = Self {
            queue: SqsQueue::new(&Settings::emulator(&address), &prefix, clock, random),
            address,
            prefix,
            client: client.build().unwrap(),
        };
        for lane in Lane::ALL {
            let url = bench.url(lane);
            let name = url.rsplit('/').next().unwrap();
            bench.call("CreateQueue", json!({ "QueueName": name })).await;
        }
        bench
    }

    fn url(&self, lane: Lane) -> String {
        format!("{}{}", self.prefix, lane.name())
    }

    async fn call(&self, action: &str, body: Value) -> Value {
        let request = self
            .client
            .post(&self.address)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .body(body.to_string());
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{action} answered {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[async_trait]
impl QueueBench for SqsBench {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    async fn drain(&self, lane: Lane) -> Vec<Seen> {
        let url = self.url(lane);
        let receive = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": 10,
            "VisibilityTimeout": LEASE_SECONDS,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"]
        });
        let received = self.call("ReceiveMessage", receive).await;
        let mut seen = Vec::new();
        for message in received["Messages"].as_array().into_iter().flatten() {
            let deliveries = message["Attributes"]["ApproximateReceiveCount"].as_str().unwrap();
            let delivery = Delivery {
                message: serde_json::from_str(message["Body"].as_str().unwrap()).unwrap(),
                deliveries: deliveries.parse().unwrap(),
            };
            let mut settle = json!({ "QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"] });
            match act(&delivery) {
                Some(Outcome::Done) => drop(self.call("DeleteMessage", settle).await),
                Some(Outcome::Retry(seconds)) => {
                    settle["VisibilityTimeout"] = seconds.into();
                    self.call("ChangeMessageVisibility", settle).await;
                }
                None => {}
            }
            seen.push(Seen { delivery, at: now() });
        }
        seen
    }
}
