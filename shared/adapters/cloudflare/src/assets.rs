//! The `Assets` port over the static assets of the Worker.

use std::borrow::Cow;

use async_trait::async_trait;
use souk_core::Assets;
use souk_core::assets::AssetError;
use worker::send::SendFuture;
use worker::{Error, Fetcher};

/// The files that are uploaded with the Worker, behind a binding.
pub struct StaticAssets(pub Fetcher);

#[async_trait]
impl Assets for StaticAssets {
    async fn get(&self, file: &str) -> Result<Cow<'static, [u8]>, AssetError> {
        let read = async {
            // Only the path of the URL counts.
            let mut response = self.0.fetch(format!("https://assets.invalid/{file}"), None).await?;
            match response.status_code() {
                200 => response.bytes().await,
                status => Err(Error::RustError(format!("the status is {status}"))),
            }
        };
        let content = SendFuture::new(read).await;
        content.map(Cow::Owned).map_err(|why| AssetError {
            file: file.to_owned(),
            why: why.to_string(),
        })
    }
}
