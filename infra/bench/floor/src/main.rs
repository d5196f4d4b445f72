//! The floor of a cached read: a bare axum handler that answers these bytes, whatever is asked.
//!
//!     curl -s http://127.0.0.1:8787/v1/products > /tmp/list.json
//!     cargo run --release --manifest-path infra/bench/floor/Cargo.toml -- 127.0.0.1:8790 /tmp/list.json

use axum::Router;
use axum::http::header;
use bytes::Bytes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(file)) = (args.next(), args.next()) else {
        return Err(std::io::Error::other("floor ADDRESS FILE"));
    };
    let body = Bytes::from(std::fs::read(file)?);
    let answer = async move || ([(header::CONTENT_TYPE, "application/json")], body);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    axum::serve(listener, Router::new().fallback(answer)).await
}
