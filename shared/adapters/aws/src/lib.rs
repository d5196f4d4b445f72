//! Adapters for AWS: documents in one DynamoDB table, one SQS queue per lane, the search index as a file in
//! S3 or in OpenSearch, and the machine's own clock and randomness.
//!
//! The public API of this crate contains no type of the AWS SDK, so an SDK upgrade changes nothing outside it.

mod answer;
mod call;
mod cloudfront;
mod documents;
mod item;
mod key_value;
mod opensearch;
mod queue;
mod rate_limit;
mod s3;
mod search;
mod ses;
mod settings;
mod sign;
mod system;
mod transaction;

pub use cloudfront::CloudFront;
pub use documents::DynamoDocuments;
pub use item::{cell_partition, document_partition, entry_partition, value_partition};
pub use key_value::DynamoKeyValue;
pub use opensearch::OpenSearch;
pub use queue::SqsQueue;
pub use rate_limit::DynamoRateLimit;
pub use search::S3Search;
pub use ses::Ses;
pub use settings::Settings;
pub use system::{SystemClock, SystemRandom};
