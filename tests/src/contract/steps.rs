//! What a random history is made of, and how it is drawn.

use proptest::prelude::*;

pub(super) const KEYS: [(&str, &str); 8] = [
    ("p", ""),
    ("p", "a"),
    ("p", "a/é"),
    ("p", "b"),
    ("p", "😀"),
    ("q", ""),
    ("q", "a"),
    ("q", "\u{ffff}"),
];
pub(super) const INDEXES: [&str; 3] = ["i", "i/j", "j"];
pub(super) const RANKS: [&str; 6] = ["", "1", "10", "2", "é", "😀"];
pub(super) const PREFIXES: [&str; 6] = ["", "a", "1", "é", "😀", "none"];
pub(super) const AFTERS: [&str; 8] = ["", "a", "a/é", "1", "10/2", "b", "\u{ffff}", "😀"];
pub(super) const COUNTERS: [&str; 3] = ["up", "views", "n"];

/// A step, before it is known what it meets.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit(Vec<Plan>),
    Get(Vec<usize>),
    Query {
        place: usize,
        prefix: usize,
        descending: bool,
        limit: usize,
        after: Option<usize>,
    },
    Wait(i64),
}

/// A change, before it is known what it meets.
#[derive(Clone, Debug)]
pub(super) enum Plan {
    Put {
        key: usize,
        body: i64,
        counters: Vec<usize>,
        ttl: Option<i64>,
        condition: Wanted,
        places: Vec<(usize, usize)>,
    },
    Delete {
        key: usize,
        condition: Wanted,
    },
    Add {
        key: usize,
        counter: usize,
        delta: i64,
    },
    Require {
        key: usize,
        condition: Wanted,
    },
}

/// A condition, before it is known what it meets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Absent,
    Exists,
    Any,
    /// The version that is there, so many too many.
    Current(u64),
    /// What a writer would ask for that has just looked: `Absent`, or the version that is there.
    Fitting,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop_oneof![
        6 => Just(Wanted::Fitting),
        1 => Just(Wanted::Absent),
        1 => Just(Wanted::Exists),
        2 => Just(Wanted::Any),
        1 => (0..2_u64).prop_map(Wanted::Current),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let key = || 0..KEYS.len();
    let places = prop::collection::vec((0..INDEXES.len(), 0..RANKS.len()), 0..4);
    let counters = prop::collection::vec(0..COUNTERS.len(), 0..3);
    let ttl = prop::option::weighted(0.3, prop::sample::select(vec![-1, 0, 1, 10, 20_i64]));
    let put = (key(), 0..1000_i64, counters, ttl, wanted(), places).prop_map(
        |(key, body, counters, ttl, condition, places)| Plan::Put {
            key,
            body,
            counters,
            ttl,
            condition,
            places,
        },
    );
    prop_oneof![
        6 => put,
        2 => (key(), wanted()).prop_map(|(key, condition)| Plan::Delete { key, condition }),
        2 => (key(), 0..COUNTERS.len(), -3..4_i64).prop_map(|(key, counter, delta)| Plan::Add { key, counter, delta }),
        1 => (key(), wanted()).prop_map(|(key, condition)| Plan::Require { key, condition }),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let query = (
        0..2 + INDEXES.len(),
        0..PREFIXES.len(),
        any::<bool>(),
        1..6_usize,
        prop::option::of(0..AFTERS.len()),
    );
    prop_oneof![
        6 => prop::collection::vec(plan(), 1..5).prop_map(Step::Commit),
        1 => prop::collection::vec(0..KEYS.len(), 0..6).prop_map(Step::Get),
        2 => query.prop_map(|(place, prefix, descending, limit, after)| {
            Step::Query { place, prefix, descending, limit, after }
        }),
        // So that a moment often is the very one at which something expires.
        2 => prop::sample::select(vec![1, 9, 10_i64]).prop_map(Step::Wait),
    ]
}
