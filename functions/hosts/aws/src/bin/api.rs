//! Answers HTTP requests with the functions that `SOUK_FUNCTIONS` names.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::serve().await
}
