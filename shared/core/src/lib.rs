//! The kernel of Souk: ids, money, roles and the ports that every host fills in.
//!
//! Nothing here does I/O or names a platform. Functions (`functions/*`) are written against these types; adapters
//! (`shared/adapters/sqlite`, `shared/adapters/cloudflare`, `shared/adapters/aws`) implement the ports; only the hosts see both.

pub mod access;
pub mod clock;
pub mod documents;
pub mod edge;
pub mod event;
pub mod fact;
pub mod freshness;
pub mod id;
pub mod key_value;
pub mod kind;
pub mod money;
pub mod outbound;
pub mod queue;
pub mod random;
pub mod search;

pub use access::{Principal, Role};
pub use clock::{Clock, Timestamp};
pub use documents::{Change, Commit, Condition, Document, Documents, Entry, Item, Key, Page, Query, StoreError};
pub use edge::EdgeCache;
pub use event::Event;
pub use key_value::KeyValue;
pub use kind::Kind;
pub use money::Money;
pub use outbound::Outbound;
pub use queue::{Lane, Message, Queue};
pub use random::Random;
pub use search::Search;
