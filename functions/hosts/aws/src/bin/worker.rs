//! The work in the background, of all functions, as a Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::work().await
}
