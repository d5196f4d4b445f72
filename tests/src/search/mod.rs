//! The contract of the `Search` port.
//!
//! Each case is an `async fn` over a [`Bench`]: an index that is empty when the case begins.
//! [`search_contract!`](crate::search_contract) turns them into tests of one adapter, which take turns, because a rebuild
//! concerns all of an index. [`oracle`] says by brute force what a query must find; [`histories`] what is left of changes
//! that come in any order; [`corpus`] compares adapters over a whole catalog.

pub mod bench;
pub mod bounds;
pub mod corpus;
pub mod filters;
pub mod histories;
pub mod oracle;
pub mod rebuilds;
pub mod remote;
pub mod suggestions;
pub mod tenants;
pub mod texts;

pub use bench::{Bench, Made, run};
pub use remote::RemoteSearch;

/// Makes tests of one adapter: `search_contract!(name, make)`, where `make` is an `async fn() -> Made` that opens the
/// adapter or says why it cannot be tested here.
#[macro_export]
macro_rules! search_contract {
    ($name:ident, $make:ident) => {
        mod $name {
            $crate::search_contract!(@cases $make,
                texts: what_matches, joined_and_split, misspelt, order, hostile;
                filters: equal_brute_force, pages;
                bounds: prices, several_prices, places;
                rebuilds: versions, generations, superseded, nothing_is_missed, every_search_answers;
                suggestions: completes, kinds, used_first, gone;
                tenants: apart, rebuilt, first_changes;
                corpus: generated, catalog;
            );

            /// What is left of changes in any order is what the model says.
            #[test]
            fn histories() {
                $crate::search::histories::agree(super::$make, &TURN);
            }
        }
    };
    (@cases $make:ident, $($group:ident: $($case:ident),+;)+) => {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

        $(mod $group {
            $(
                #[test]
                fn $case() {
                    $crate::search::run(super::super::$make, &super::TURN, async |bench| {
                        $crate::search::$group::$case(bench).await;
                    });
                }
            )+
        })+
    };
}
