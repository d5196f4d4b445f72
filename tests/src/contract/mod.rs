//! The contract of the `Documents` port.
//!
//! Each case is an `async fn` over a [`Bench`]: a store, the clock it was given, and names that no other case uses, so
//! that all of them can share one database and run at once. [`documents_contract!`](crate::documents_contract) turns
//! them into tests of one adapter. [`Model`] says in the fewest words what a store must do, and passes them itself;
//! [`histories`] holds every adapter against it.

pub mod bench;
pub mod cases;
pub mod histories;
pub mod limits;
pub mod model;
pub mod queue;
#[cfg(feature = "dynamodb")]
pub mod queue_sqs;
pub mod queue_worker;
pub mod remote;
pub mod rivals;
mod steps;
pub mod values;

pub use bench::{Bench, Made, TestClock, from_env, missing, run};
pub use model::Model;
pub use remote::RemoteDocuments;
pub use rivals::two_tenants;

/// Makes tests of one adapter: `documents_contract!(name, make)`, where `make` is an
/// `async fn(Arc<TestClock>) -> Made` that opens the adapter or says why it cannot be tested here. With `of_tenants` the same is
/// tested as one of several tenants sees the adapter, who use the same names for other things.
#[macro_export]
macro_rules! documents_contract {
    ($name:ident, $make:ident) => {
        mod $name {
            $crate::documents_contract!(@each $make,
                expiry: unseen, conditions, over_expired, already_past, kept_and_lifted, pages;
                tenants: scans, erases;
            );

            /// This adapter's answers are the model's, whatever happens.
            #[test]
            fn histories() {
                $crate::contract::histories::agree(stringify!($name), super::$make, &CLOCK);
            }
        }
    };
    // Without what moves the clock of a shared database.
    ($name:ident, $make:ident, of_tenants) => {
        mod $name {
            async fn make(clock: std::sync::Arc<$crate::contract::TestClock>) -> $crate::contract::Made {
                $crate::contract::two_tenants(super::$make(clock).await)
            }
            mod cases {
                $crate::documents_contract!(@each make,);
            }
        }
    };
    (@each $make:ident, $($more:tt)*) => {
        $crate::documents_contract!(@cases $make,
            writes: create_then_read, create_over_existing, versions, conditions, undo, conflict_names_the_change,
                several_conflicts, a_hundred_changes, many_entries;
            counters: adds, initial, survive_edits, apart_from_versions, large;
            entries: follow_their_document, show_the_latest, several_documents, move_about, gone;
            reads: many_keys, most_keys, strange_keys, bodies, largest_body, own_commits, ping;
            queries: order_of_partition, order_of_index, counts, prefixes, after, pages, nothing, apart, heavy;
            limits: refused_commits, refused_queries, refused_gets;
            races: one_replaces, one_claims, adds_sum_up, money_is_kept, adds_beside_edits;
            $($more)*
        );
    };
    (@cases $make:ident, $($group:ident: $($case:ident),+;)+) => {
        /// Tests that move the clock take turns: in a shared database one of them might clear away what has expired
        /// for it and not for another.
        static CLOCK: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

        $(mod $group {
            $(
                #[test]
                fn $case() {
                    let turn = (stringify!($group) == "expiry").then_some(&super::CLOCK);
                    $crate::contract::run(super::super::$make, turn, async |bench| {
                        $crate::contract::cases::$group::$case(bench).await;
                    });
                }
            )+
        })+
    };
}
