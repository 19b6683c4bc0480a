//! Whatever a server answers, nothing panics and nothing grows beyond its bound.

use super::super::open::OPEN_MAX;
use super::super::outgoing::{MESSAGE_EVENTS_MAX, WAITING_MAX};
use super::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "amelie", "leon", "lbgame", "default-group", "active", "process_name_pattern",
            "prohibited_process_name_pattern", "config:user_config", "config:maximum_time_without_send",
            PROCESS_HANDLER, "", "(", ".*", "/",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (0usize..20_000).prop_map(|n| "x".repeat(n)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0i64..5000).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(text(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn payload() -> impl Strategy<Value = Value> {
    let user = (value(), value(), value()).prop_map(|(active, pattern, prohibited)| {
        json!({
            "active": active, "process_name_pattern": pattern, "prohibited_process_name_pattern": prohibited,
        })
    }).boxed();
    prop_oneof![
        value(),
        (btree_map(text(), user.clone(), 0..5), value()).prop_map(|(users, silence)| {
            json!({"config:user_config": users, "config:maximum_time_without_send": silence})
        }),
        btree_map(text(), user, 0..5).prop_map(|users| json!(users)),
        vec((text(), vec((text(), value()), 0..5)), 0..4).prop_map(|groups| json!(groups)),
    ]
}

fn pid() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..12, 1 => any::<u32>()]
}

fn start() -> impl Strategy<Value = LocalTime> {
    prop_oneof![
        8 => (0u64..12).prop_map(local),
        1 => (0i64..200_000_000_000).prop_map(|s| LocalTime::from_naive_seconds(s).unwrap()),
    ]
}

prop_compose! {
    fn event()(
        kind in proptest::sample::select(EventType::ALL.to_vec()),
        (delay, downtime, percent) in (prop_oneof![0u64..20, any::<u64>()], any::<u64>(), any::<i64>()),
        event_time in start(),
        texts in vec(option::of(text()), 6),
        hostname in text(),
        payload in option::weighted(0.8, payload()),
        pid in option::weighted(0.9, pid()),
        start in option::weighted(0.9, start()),
    ) -> WireEvent {
        let mut texts = texts.into_iter().flatten();
        WireEvent {
            delay, downtime, event_time, event_type: kind, hostlabel: texts.next(), hostname, locale: texts.next(),
            payload, percent, pid, process_start_time: start, processhandler: texts.next(),
            processname: texts.next(), text: texts.next(), username: texts.next(),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Answer(Vec<WireEvent>),
    /// An event again and again, each time of another process.
    Many(Box<WireEvent>, u32),
    /// As servers send them.
    Plausible(u32, bool),
    Scan(Vec<u32>),
    Fail,
    Refuse,
    Ended(u32, u8),
    Overslept(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(event(), 0..8).prop_map(Step::Answer),
        1 => (event(), 1u32..3000).prop_map(|(event, times)| Step::Many(Box::new(event), times)),
        3 => (pid(), any::<bool>()).prop_map(|(pid, kill)| Step::Plausible(pid, kill)),
        3 => vec(0u32..12, 0..12).prop_map(Step::Scan),
        1 => Just(Step::Fail),
        1 => Just(Step::Refuse),
        1 => (0u32..12, 0u8..3).prop_map(|(pid, how)| Step::Ended(pid, how)),
        1 => any::<u64>().prop_map(Step::Overslept),
        1 => (0u64..100).prop_map(Step::Wait),
    ]
}

fn act(watcher: &mut Watcher, step: Step, s: u64) -> Vec<Effect> {
    match step {
        Step::Answer(events) => {
            watcher.next_message(None, at(s));
            watcher.answered(&events, at(s))
        }
        Step::Many(event, times) => {
            let other = |n: u32| {
                let mut event = (*event).clone();
                event.pid = event.pid.map(|pid| pid.wrapping_add(n));
                event
            };
            let events: Vec<WireEvent> = (0..times).map(other).collect();
            watcher.answered(&events, at(s))
        }
        Step::Plausible(pid, is_kill) => {
            let about = ProcessKey {
                pid,
                start: local(u64::from(pid % 12)),
            };
            let event = if is_kill { kill(about, 2) } else { replay(about) };
            watcher.answered(&[config(), mapping(), event], at(s))
        }
        Step::Scan(pids) => {
            let seen: Vec<Seen> = pids.into_iter().map(game).collect();
            watcher.look(&seen, s)
        }
        Step::Fail => {
            watcher.next_message(None, at(s));
            watcher.failed(Failure::Unreachable, at(s))
        }
        Step::Refuse => {
            watcher.next_message(None, at(s));
            watcher.failed(Failure::Refused, at(s))
        }
        Step::Ended(pid, how) => {
            let outcome = match how {
                0 => KillOutcome::Ended,
                1 => KillOutcome::Gone,
                _ => KillOutcome::Failed("no".to_owned()),
            };
            watcher.kill_ended(key(pid), outcome, at(s))
        }
        Step::Overslept(by) => watcher.overslept(Duration::from_secs(by), at(s)),
        Step::Wait(_) => watcher.tick(at(s)),
    }
}

fn check(watcher: &Watcher, effects: &[Effect]) -> Result<(), TestCaseError> {
    prop_assert!(watcher.outgoing.len() <= WAITING_MAX);
    prop_assert!(watcher.open_processes() <= OPEN_MAX);
    prop_assert!(watcher.kills.len() <= 12, "only processes that were seen");
    let saved = watcher.knowledge.to_saved();
    prop_assert!(saved.users.len() <= 10_000 && saved.logins.len() <= 10_000);
    let longest = |user: &tripline_protocol::littlebrother::UserConfig| {
        let prohibited = user
            .prohibited_process_name_pattern
            .as_ref()
            .map_or(0, String::len);
        user.process_name_pattern
            .len()
            .max(prohibited)
            .max(user.login.len() * 64)
    };
    prop_assert!(saved.users.iter().all(|user| longest(user) <= 16 * 1024));
    prop_assert!(logs(effects).len() <= 22);
    prop_assert!(logs(effects).iter().all(|log| log.len() < 3000));
    prop_assert!(kills(effects).iter().all(|(pid, _)| (2..12).contains(pid)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_breaks_the_watcher_or_makes_it_grow(steps in vec(step(), 1..40)) {
        let mut watcher = new();
        let mut s = 0;
        for step in steps {
            s += if let Step::Wait(more) = step { more } else { 1 };
            let effects = act(&mut watcher, step, s);
            check(&watcher, &effects)?;
            let message = watcher.next_message(None, at(s));
            prop_assert!(message.events.len() <= MESSAGE_EVENTS_MAX);
            prop_assert!(serde_json::to_string(&message).unwrap().len() < 1024 * 1024);
            prop_assert!(message.events.iter().all(|event| event.event_type.is_from_client()));
            watcher.next_due();
        }
        watcher.stop(at(s));
        check(&watcher, &[])?;
    }
}
