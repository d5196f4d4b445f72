//! `EdgeCache` over a CloudFront distribution that indexes cache tags (`CacheTagConfig`).
//!
//! A purge creates an invalidation with the purge's reference as `CallerReference`, so repeating it returns the
//! existing invalidation. CloudFront accepts at most 3,000 tags and paths in progress at once, and bills each beyond
//! 1,000 a month.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use souk_core::edge::{EdgeCache, EdgeError};
use souk_core::{Clock, Random, StoreError};

use crate::Settings;
use crate::answer::failed;
use crate::call::{Failure, patiently};
use crate::sign::{Signer, Wire};

/// The only region of CloudFront's API.
const REGION: &str = "us-east-1";

/// A CloudFront distribution.
pub struct CloudFront {
    url: String,
    timeout: Duration,
    signer: Signer,
    wire: Wire,
    random: Arc<dyn Random>,
}

impl CloudFront {
    /// The distribution with this id.
    #[must_use]
    pub fn new(settings: &Settings, id: &str, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let url = settings
            .cloudfront
            .as_deref()
            .unwrap_or("https://cloudfront.amazonaws.com");
        let url = url.trim_end_matches('/');
        let mut there = settings.clone();
        there.region = REGION.into();
        Self {
            url: format!("{url}/2020-05-31/distribution/{id}/invalidation"),
            timeout: settings.timeout,
            signer: Signer::new(&there, "cloudfront", clock),
            wire: Wire::new(settings),
            random,
        }
    }
}

#[async_trait]
impl EdgeCache for CloudFront {
    async fn purge(&self, reference: &str, tags: &[String]) -> Result<(), EdgeError> {
        let body = Bytes::from(batch(reference, tags));
        let headers = [("content-type", "application/xml")];
        let answer = patiently(&*self.random, || async {
            let (signer, body) = (Some(&self.signer), body.clone());
            let call = self.wire.call(signer, "POST", &self.url, &headers, body, self.timeout);
            let answer = call.await?;
            match answer.status().as_u16() {
                201 => Ok(()),
                // This includes too many invalidations in progress. The purge is retried later, together with newer
                // tags.
                _ => Err(failed(answer).await),
            }
        });
        answer.await.map_err(|failure| match failure {
            Failure::Passing(why) | Failure::Lasting(StoreError::Unavailable(why)) => EdgeError(why),
            Failure::Lasting(error) => EdgeError(error.to_string()),
            Failure::Conditions(_) => EdgeError("the answer makes no sense".into()),
        })
    }
}

/// The request body. In an invalidation, a tag is a path that begins with `#`.
fn batch(reference: &str, tags: &[String]) -> String {
    let mut items = String::new();
    for tag in tags {
        // Writing to a `String` does not fail.
        let _ = write!(items, "<Path>#{}</Path>", escaped(tag));
    }
    format!(
        "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>{}</Quantity>\
         <Items>{items}</Items></Paths><CallerReference>{}</CallerReference></InvalidationBatch>",
        tags.len(),
        escaped(reference)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
