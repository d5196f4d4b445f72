//! The few S3 calls that the search index needs: conditional GET, conditional PUT, DELETE and listing keys.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use souk_core::{Clock, StoreError};

use crate::Settings;
use crate::answer::{failed, text};
use crate::call::Failure;
use crate::sign::{Signer, Wire};

/// The timeout of a PUT.
const WRITING: Duration = Duration::from_secs(20);
/// How many keys one call lists.
const NAMES: usize = 1000;

/// An S3 bucket.
pub(crate) struct Bucket {
    /// The base URL, without a trailing slash.
    url: String,
    /// The timeout of GET and list calls, until the response begins.
    timeout: Duration,
    signer: Signer,
    wire: Wire,
}

/// The result of a conditional GET.
pub(crate) enum Got {
    /// The object still has the known ETag.
    Same,
    /// There is no object. `once`: S3 returned a delete marker.
    Nothing { once: bool },
    /// The ETag and body of the object.
    Object(String, ByteStream),
}

/// The condition of a PUT.
pub(crate) enum Only<'a> {
    /// Unconditional.
    Always,
    /// No object with this key exists (`If-None-Match: *`).
    New,
    /// The object still has this ETag (`If-Match`).
    After(&'a str),
}

impl Bucket {
    pub(crate) fn new(settings: &Settings, name: &str, clock: Arc<dyn Clock>) -> Self {
        let url = match &settings.s3 {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None => {
                let end = if settings.region.starts_with("cn-") { ".cn" } else { "" };
                format!("https://{name}.s3.{}.amazonaws.com{end}", settings.region)
            }
        };
        Self {
            url,
            timeout: settings.timeout,
            signer: Signer::new(settings, "s3", clock),
            wire: Wire::new(settings),
        }
    }

    /// Reads an object unless its ETag is `known`.
    pub(crate) async fn get(&self, name: &str, known: Option<&str>) -> Result<Got, Failure> {
        let headers: Vec<_> = known.map(|tag| ("if-none-match", tag)).into_iter().collect();
        let path = format!("/{name}");
        let answer = self.call("GET", &path, &headers, Bytes::new(), self.timeout).await?;
        match answer.status().as_u16() {
            200 => {
                let tag = tag(&answer)?;
                Ok(Got::Object(tag, ByteStream::new(answer.into_body())))
            }
            304 => Ok(Got::Same),
            404 => {
                let once = answer.headers().get("x-amz-delete-marker") == Some("true");
                match failed(answer).await {
                    // This excludes a missing bucket, which is an error.
                    Failure::Lasting(StoreError::Unavailable(why)) if why.starts_with("NoSuchKey") => {
                        Ok(Got::Nothing { once })
                    }
                    failure => Err(failure),
                }
            }
            _ => Err(failed(answer).await),
        }
    }

    /// Writes an object and returns its new ETag; `None` if the condition does not hold.
    pub(crate) async fn put(&self, name: &str, body: Bytes, only: Only<'_>) -> Result<Option<String>, Failure> {
        let headers: &[_] = match only {
            Only::Always => &[],
            Only::New => &[("if-none-match", "*")],
            Only::After(tag) => &[("if-match", tag)],
        };
        let answer = self.call("PUT", &format!("/{name}"), headers, body, WRITING).await?;
        match (answer.status().as_u16(), only) {
            (200, _) => tag(&answer).map(Some),
            // Another writer has written the object, is writing it just now, or has deleted it.
            (409 | 412, Only::New | Only::After(_)) | (404, Only::After(_)) => match failed(answer).await {
                Failure::Lasting(StoreError::Unavailable(why)) if why.starts_with("NoSuchBucket") => {
                    Err(Failure::Lasting(StoreError::Unavailable(why)))
                }
                _ => Ok(None),
            },
            _ => Err(failed(answer).await),
        }
    }

    /// Deletes an object, if there is one.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Failure> {
        let path = format!("/{name}");
        let answer = self.call("DELETE", &path, &[], Bytes::new(), WRITING).await?;
        match answer.status().as_u16() {
            200 | 204 => Ok(()),
            _ => match failed(answer).await {
                Failure::Lasting(StoreError::Unavailable(why)) if why.starts_with("NoSuchKey") => Ok(()),
                failure => Err(failure),
            },
        }
    }

    /// The keys that start with `prefix` and sort after `after`, in order. Keys and arguments must not need escaping,
    /// neither in a URL nor in XML.
    pub(crate) async fn names(&self, prefix: &str, after: &str) -> Result<Vec<String>, Failure> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map_or(after, String::as_str);
            let path = format!("/?list-type=2&max-keys={NAMES}&prefix={prefix}&start-after={after}");
            let answer = self.call("GET", &path, &[], Bytes::new(), self.timeout).await?;
            if answer.status().as_u16() != 200 {
                return Err(failed(answer).await);
            }
            let text = text(answer).await?;
            let before = names.len();
            names.extend(
                text.split("<Key>")
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())),
            );
            if names.len() == before || !text.contains("<IsTruncated>true") {
                return Ok(names);
            }
        }
    }

    /// Makes one call and returns when the response begins.
    async fn call(
        &self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<HttpResponse, Failure> {
        let url = format!("{}{path}", self.url);
        let call = self.wire.call(Some(&self.signer), method, &url, headers, body, timeout);
        call.await
    }
}

fn tag(answer: &HttpResponse) -> Result<String, Failure> {
    let tag = answer.headers().get("etag").map(str::to_owned);
    tag.ok_or_else(|| Failure::Passing("the answer makes no sense".into()))
}
