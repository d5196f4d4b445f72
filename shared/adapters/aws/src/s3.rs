//! The few calls to S3 that the search index takes: to read an object unless it is the one that we have, to write it unless
//! somebody else has, to list names.

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

/// How long it may take to write an object.
const WRITING: Duration = Duration::from_secs(20);
/// How many names one call lists.
const NAMES: usize = 1000;

/// A bucket.
pub(crate) struct Bucket {
    /// Without a slash at the end.
    url: String,
    /// How long an answer may take to begin.
    timeout: Duration,
    signer: Signer,
    wire: Wire,
}

/// What is at a name.
pub(crate) enum Got {
    /// What we have.
    Same,
    /// Nothing, and whether there was something once.
    Nothing { once: bool },
    /// This, and its tag.
    Object(String, ByteStream),
}

/// Under which condition an object is written.
pub(crate) enum Only<'a> {
    /// None.
    Always,
    /// There is none of this name.
    New,
    /// It takes the place of the one with this tag.
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

    /// Reads an object, unless `known` is its tag.
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
                    // Not that there is no such bucket.
                    Failure::Lasting(StoreError::Unavailable(why)) if why.starts_with("NoSuchKey") => {
                        Ok(Got::Nothing { once })
                    }
                    failure => Err(failure),
                }
            }
            _ => Err(failed(answer).await),
        }
    }

    /// Writes an object and gives its new tag; `None` if the condition does not hold.
    pub(crate) async fn put(&self, name: &str, body: Bytes, only: Only<'_>) -> Result<Option<String>, Failure> {
        let headers: &[_] = match only {
            Only::Always => &[],
            Only::New => &[("if-none-match", "*")],
            Only::After(tag) => &[("if-match", tag)],
        };
        let answer = self.call("PUT", &format!("/{name}"), headers, body, WRITING).await?;
        match (answer.status().as_u16(), only) {
            (200, _) => tag(&answer).map(Some),
            // Somebody has written it, is writing it just now, or has removed it.
            (409 | 412, Only::New | Only::After(_)) | (404, Only::After(_)) => match failed(answer).await {
                Failure::Lasting(StoreError::Unavailable(why)) if why.starts_with("NoSuchBucket") => {
                    Err(Failure::Lasting(StoreError::Unavailable(why)))
                }
                _ => Ok(None),
            },
            _ => Err(failed(answer).await),
        }
    }

    /// The names that begin with `prefix` and come after `after`, in order. None of them may need to be escaped.
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

    /// One call, until the answer begins.
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
