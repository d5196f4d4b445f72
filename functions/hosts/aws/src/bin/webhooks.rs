//! The webhooks, as a Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::serve(souk_webhooks::function()).await
}
