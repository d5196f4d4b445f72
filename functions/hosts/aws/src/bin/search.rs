//! Search, as a Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::serve_search(souk_search::function()).await
}
