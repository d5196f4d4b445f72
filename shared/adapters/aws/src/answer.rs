//! Reads the responses of the AWS services that speak XML.

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::byte_stream::ByteStream;
use souk_core::StoreError;

use crate::call::Failure;
use crate::sign::{lasting, within};

/// How long reading the body of a response may take.
const READING: Duration = Duration::from_secs(10);
/// The longest response that is read as text, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Passes the bytes of a response to `each` as they arrive.
pub(crate) async fn read(
    mut body: ByteStream,
    mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let broken = |_| Failure::Passing("the answer broke off".into());
    within(READING, async {
        while let Some(bytes) = body.try_next().await.map_err(broken)? {
            each(&bytes)?;
        }
        Ok(())
    })
    .await?
}

/// A response as text.
pub(crate) async fn text(answer: HttpResponse) -> Result<String, Failure> {
    let mut text = Vec::new();
    read(ByteStream::new(answer.into_body()), |bytes| {
        text.extend_from_slice(bytes);
        if text.len() > MAX_TEXT {
            Err(lasting("the answer is too long"))
        } else {
            Ok(())
        }
    })
    .await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The failure that an unsuccessful response means.
pub(crate) async fn failed(answer: HttpResponse) -> Failure {
    let status = answer.status().as_u16();
    let text = text(answer).await.unwrap_or_default();
    let part = |name: &str| Some(text.split_once(&format!("<{name}>"))?.1.split_once('<')?.0);
    let why = format!(
        "{}: {}",
        part("Code").unwrap_or("status"),
        part("Message").unwrap_or(&status.to_string())
    );
    match status {
        408 | 429 | 500.. => Failure::Passing(why),
        _ => Failure::Lasting(StoreError::Unavailable(why)),
    }
}
