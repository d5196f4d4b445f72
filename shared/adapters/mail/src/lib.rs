//! Adapters of the `Mail` port: [`HttpApi`] works on every host, [`Smtp`] on those with sockets.

mod http;
#[cfg(feature = "smtp")]
mod smtp;

pub use http::HttpApi;
#[cfg(feature = "smtp")]
pub use smtp::Smtp;
