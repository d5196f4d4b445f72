//! What operators see of the work in the background, as a Lambda. The work itself is the worker's.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::serve(souk_jobs::function()).await
}
