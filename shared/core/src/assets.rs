//! The `Assets` port: the static files of pages, such as scripts and styles.
//!
//! A native binary embeds them. A Worker reads them from Cloudflare's static assets, so that they are no part of its Wasm.

use std::borrow::Cow;

use async_trait::async_trait;

/// The file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the static file {file} cannot be read: {why}")]
pub struct AssetError {
    /// The name of the file.
    pub file: String,
    /// The cause.
    pub why: String,
}

/// The static files of pages.
#[async_trait]
pub trait Assets: Send + Sync {
    /// The content of the file with this name.
    async fn get(&self, file: &str) -> Result<Cow<'static, [u8]>, AssetError>;
}

/// Files that are part of the binary: their names and contents.
#[derive(Debug, Default)]
pub struct Embedded(pub &'static [(&'static str, &'static [u8])]);

#[async_trait]
impl Assets for Embedded {
    async fn get(&self, file: &str) -> Result<Cow<'static, [u8]>, AssetError> {
        let found = self.0.iter().find(|(name, _)| *name == file);
        let (_, content) = found.ok_or_else(|| AssetError {
            file: file.to_owned(),
            why: "the binary does not have it".to_owned(),
        })?;
        Ok(Cow::Borrowed(content))
    }
}
