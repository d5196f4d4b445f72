use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use futures_util::FutureExt as _;

use souk_core::outbound::USUAL_REPLY;

use super::*;

struct At(AtomicI64);
impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// A port that always returns the same response, or never returns; it counts its requests.
struct Always(Mutex<Option<Result<Reply, OutboundError>>>, AtomicUsize);
#[async_trait]
impl Outbound for Always {
    async fn call(&self, _: Call) -> Result<Reply, OutboundError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.lock().unwrap().clone();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

struct World {
    port: Arc<Always>,
    clock: Arc<At>,
    breaker: CircuitBreaker,
}

fn world(answer: Option<Result<Reply, OutboundError>>) -> World {
    let port = Arc::new(Always(Mutex::new(answer), AtomicUsize::new(0)));
    let clock = Arc::new(At(AtomicI64::new(1_700_000_000_000)));
    World {
        breaker: CircuitBreaker::new(port.clone(), clock.clone(), Vec::new()),
        port,
        clock,
    }
}

impl World {
    fn call(&self, method: &str, host: &str) -> Option<Result<Reply, OutboundError>> {
        self.breaker.call(call(method, host)).now_or_never()
    }
    fn calls(&self) -> usize {
        self.port.1.swap(0, Ordering::Relaxed)
    }
    fn say(&self, answer: Option<Result<Reply, OutboundError>>) {
        *self.port.0.lock().unwrap() = answer;
    }
    fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }
    fn state(&self) -> (Circuit, u32) {
        let all = self.breaker.dependencies();
        assert_eq!(all.len(), 1);
        (all[0].state, all[0].failures)
    }
}

fn call(method: &str, host: &str) -> Call {
    Call {
        method: method.into(),
        url: format!("https://{host}/"),
        headers: Vec::new(),
        body: String::new(),
        timeout_ms: 10_000,
        max_reply: USUAL_REPLY,
    }
}

fn status(status: u16) -> Option<Result<Reply, OutboundError>> {
    Some(Ok(Reply {
        status,
        headers: Vec::new(),
        body: Vec::new(),
        truncated: false,
    }))
}

#[test]
fn a_circuit_opens_rests_probes_and_closes() {
    let world = world(Some(Err(OutboundError::TimedOut)));
    for n in 1..=FAILURES {
        assert_eq!(world.call("POST", "a.example"), Some(Err(OutboundError::TimedOut)));
        assert_eq!(world.state().1, n);
    }
    assert_eq!(world.calls(), 5);
    assert_eq!(world.state().0, Circuit::Open);
    // Each failed probe doubles the time that the circuit stays open, up to the limit.
    for rest in [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000] {
        world.pass(rest - 1);
        assert_eq!(world.call("POST", "a.example"), Some(Err(OutboundError::Open)));
        world.pass(1);
        assert_eq!((world.state().0, world.calls()), (Circuit::HalfOpen, 0));
        assert_eq!(world.call("POST", "a.example"), Some(Err(OutboundError::TimedOut)));
        assert_eq!((world.state().0, world.calls()), (Circuit::Open, 1));
    }
    world.pass(600_000);
    world.say(status(204));
    assert_eq!(world.call("POST", "a.example"), status(204));
    assert_eq!(world.state(), (Circuit::Closed, 0));
    // After it has closed, the time starts at the first value again.
    world.say(status(500));
    for _ in 0..FAILURES {
        assert_eq!(world.call("POST", "a.example"), status(500));
    }
    world.pass(REST_MS - 1);
    assert_eq!(world.call("POST", "a.example"), Some(Err(OutboundError::Open)));
}

#[test]
fn one_probe_at_a_time_and_a_lost_one_blocks_no_other() {
    let world = world(status(503));
    for _ in 0..FAILURES {
        world.call("POST", "a.example");
    }
    world.pass(REST_MS);
    world.say(None);
    world.calls();
    let probe = world.breaker.call(call("POST", "a.example"));
    let mut probe = Box::pin(probe);
    assert!((&mut probe).now_or_never().is_none());
    assert_eq!(world.call("POST", "a.example"), Some(Err(OutboundError::Open)));
    assert_eq!(world.calls(), 1);
    drop(probe);
    world.pass(10_001);
    world.say(status(200));
    assert_eq!(world.call("POST", "a.example"), status(200));
    assert_eq!(world.state(), (Circuit::Closed, 0));
}

#[test]
fn only_what_speaks_of_the_dependency_counts() {
    for (answer, counts) in [
        (status(200), false),
        (status(302), false),
        (status(404), false),
        (status(429), false),
        (status(500), true),
        (Some(Err(OutboundError::TimedOut)), true),
        (Some(Err(OutboundError::Failed("reset".into()))), true),
        (Some(Err(OutboundError::Refused("private".into()))), false),
    ] {
        let world = world(answer.clone());
        for _ in 0..20 {
            world.call("POST", "a.example");
        }
        assert_eq!(world.state().0 == Circuit::Open, counts, "{answer:?}");
        // Other owners are not affected.
        assert_eq!(world.call("POST", "b.example"), answer);
    }
    // A refused URL is not stored as a dependency.
    let world = world(status(200));
    assert!(matches!(
        world.call("GET", "localhost"),
        Some(Err(OutboundError::Refused(_)))
    ));
    assert_eq!((world.calls(), world.breaker.dependencies()), (0, Vec::new()));
}

#[test]
fn what_may_be_repeated_is_tried_once_more_within_the_budget() {
    let broken = Some(Err(OutboundError::Failed("reset".into())));
    for (method, answer, calls) in [
        ("GET", &broken, 2),
        ("PUT", &status(503), 2),
        ("POST", &broken, 1),
        ("GET", &status(500), 1),
        ("GET", &Some(Err(OutboundError::TimedOut)), 1),
    ] {
        let world = world(answer.clone());
        assert_eq!(world.call(method, "a.example"), answer.clone());
        assert_eq!(world.calls(), calls, "{method} {answer:?}");
    }
    let world = world(broken);
    let mut keyed = call("POST", "a.example");
    keyed.headers.push(("idempotency-key".into(), "1".into()));
    let _ = world.breaker.call(keyed).now_or_never();
    assert_eq!(world.calls(), 2);
    for n in 0..1_000 {
        world.call("GET", &format!("{n}.example"));
    }
    let calls = world.calls();
    assert!((1_100..=1_110).contains(&calls), "{calls}");
}

#[test]
fn the_memory_is_bounded() {
    let world = world(status(200));
    for n in 0..MAX_DEPENDENCIES + 500 {
        world.pass(1);
        world.call("GET", &format!("h{n}.example"));
        world.call("GET", "often.example");
    }
    let all = world.breaker.dependencies();
    assert_eq!(all.len(), MAX_DEPENDENCIES);
    assert!(all.iter().any(|dependency| dependency.name == "often.example:443"));
    assert!(!all.iter().any(|dependency| dependency.name == "h0.example:443"));
}

#[test]
fn nobody_has_more_than_a_share_of_the_calls_at_once() {
    let world = world(None);
    let call = |party: &'static str| {
        let mut call = Box::pin(world.breaker.call_for(party, party, call("POST", "a.example")));
        let answer = (&mut call).now_or_never();
        (call, answer)
    };
    let mut waiting: Vec<_> = (0..CONCURRENCY_PER_OWNER).map(|_| call("slow")).collect();
    assert!(waiting.iter().all(|(_, answer)| answer.is_none()));
    assert_eq!(call("slow").1, Some(Err(OutboundError::Busy)));
    assert_eq!(call("other").1, None);
    // A slot is released when the request has ended or its future was dropped.
    waiting.pop();
    world.say(status(204));
    assert_eq!(call("slow").1, status(204));
    world.say(None);
    let last = call("slow");
    assert_eq!((last.1, call("slow").1), (None, Some(Err(OutboundError::Busy))));
    drop((last.0, waiting));
    assert!(world.breaker.memory().under_way.is_empty());
}

/// When accounts with slow receivers have used their shares, an account without a call in flight can still make one.
#[test]
fn slow_receivers_of_some_accounts_leave_a_reserve() {
    let world = world(None);
    let call = |owner: &str| {
        let owner = owner.to_owned();
        let breaker = &world.breaker;
        let mut call = Box::pin(async move { breaker.call_for(&owner, &owner, call("POST", "a.example")).await });
        let answer = (&mut call).now_or_never();
        (call, answer)
    };
    let mut waiting = Vec::new();
    for owner in 0..26 {
        for _ in 0..CONCURRENCY_PER_OWNER {
            waiting.push(call(&owner.to_string()));
        }
    }
    let sent = waiting.iter().filter(|(_, answer)| answer.is_none()).count();
    // The last two have one each.
    assert_eq!(sent, usize::try_from(SHARED_CONCURRENCY).unwrap() + 2);
    assert_eq!(call("0").1, Some(Err(OutboundError::Busy)));
    let others: Vec<_> = (0..60).map(|owner| call(&format!("other {owner}"))).collect();
    assert!(others.iter().all(|(_, answer)| answer.is_none()));
    assert_eq!(call("other 0").1, Some(Err(OutboundError::Busy)));
}
