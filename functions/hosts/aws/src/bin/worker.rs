//! Runs the jobs and the schedules of all functions.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    souk_lambda::work().await
}
