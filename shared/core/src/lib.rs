//! The kernel of Souk: ids, money, roles and the ports that every host implements.
//!
//! Nothing here does I/O, names a platform or knows what the market trades in. Functions (`functions/*`) use only these
//! types; adapters (`shared/adapters/*`) implement the ports; only the hosts know both.

pub mod access;
pub mod assets;
pub mod check;
pub mod clock;
pub mod compute;
pub mod documents;
pub mod edge;
pub mod event;
pub mod fault;
pub mod id;
pub mod include;
pub mod key_value;
pub mod kind;
pub mod mail;
pub mod money;
pub mod outbound;
pub mod queue;
pub mod random;
pub mod rate_limit;
pub mod search;
pub mod tenant;

pub use access::{Permission, Principal};
pub use assets::Assets;
pub use clock::{Clock, Timestamp};
pub use compute::Compute;
pub use documents::{
    Change, Commit, Condition, Consistency, Document, Documents, Entry, Item, Key, Page, Query, StoreError,
};
pub use edge::EdgeCache;
pub use event::{Event, EventData, EventType};
pub use fault::{Fault, FieldCode, FieldError};
pub use include::Include;
pub use key_value::KeyValue;
pub use kind::Kind;
pub use mail::Mail;
pub use money::Money;
pub use outbound::Outbound;
pub use queue::{Lane, Message, Queue};
pub use random::Random;
pub use rate_limit::RateLimit;
pub use search::Search;
pub use tenant::Tenant;

/// For `skip_serializing_if`: fields (counters, the version) that are stored beside the body of a document and not in it.
pub fn stored_separately<T>(_: &T) -> bool {
    true
}
