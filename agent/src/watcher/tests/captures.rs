//! What the real client and server said to each other: the same answers lead to the same messages.

use super::*;
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Exchange {
    sent: Vec<Value>,
    answered: Option<Vec<WireEvent>>,
}

fn exchange(name: &str) -> Exchange {
    let text = include_str!("captures.json");
    let mut all: BTreeMap<String, Exchange> = serde_json::from_str(text).unwrap();
    all.remove(name).unwrap()
}

fn time(text: &str) -> LocalTime {
    text.parse().unwrap()
}

fn when(s: u64, text: &str) -> Moment {
    Moment {
        up: Duration::from_secs(s),
        local: time(text),
    }
}

fn captured_process(pid: u32, start: &str, name: &str) -> Seen {
    Seen {
        start: time(start),
        ..process(pid, AMELIE, name)
    }
}

impl Watcher {
    /// Sends what the real client sent, and takes the answer of the real server.
    fn replays(&mut self, name: &str, moment: Moment) -> Vec<Effect> {
        let captured = exchange(name);
        let message = self.next_message(None, moment);
        let sent: Vec<Value> = message
            .events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap())
            .collect();
        assert_eq!(sent, captured.sent, "{name}");
        match captured.answered {
            Some(events) => self.answered(&events, moment),
            None => self.failed(Failure::WrongSecret, moment),
        }
    }

    fn looks_at(&mut self, seen: &[Seen], moment: Moment) -> Vec<Effect> {
        self.looks();
        self.scan(seen, moment)
    }
}

fn game_21505() -> Seen {
    captured_process(21505, "2026-11-20 20:21:43", "lbgame")
}

/// As the real client was after its first contact.
fn in_contact() -> (Watcher, Saved) {
    let first = when(0, "2026-11-20 20:21:17");
    let mut watcher = Watcher::new(Options::new(HOST), None, first);
    let effects = watcher.replays("first_contact_start_client", first);
    (watcher, saved(&effects).unwrap())
}

#[test]
fn first_contact_and_a_process() {
    let (mut watcher, saved) = in_contact();
    assert_eq!(saved.silence_max_s, Some(20));
    assert_eq!(
        saved.logins,
        [(4242, "amelie".to_owned()), (4243, "leon".to_owned())].into()
    );
    let started = when(28, "2026-11-20 20:21:45");
    watcher.looks_at(&[game_21505()], started);
    watcher.replays("process_start", started);
}

#[test]
fn a_prohibited_process_is_killed() {
    let (mut watcher, _) = in_contact();
    let found = when(34, "2026-11-20 20:21:51");
    watcher.looks_at(&[captured_process(21751, "2026-11-20 20:21:50", "lbbad")], found);
    watcher.replays("prohibited_process", found);
    let effects = watcher.replays("answer_kill_prohibited", when(35, "2026-11-20 20:21:52"));
    assert_eq!(kills(&effects), [(21751, Why::Ordered)]);
}

#[test]
fn a_downtime() {
    let (mut watcher, _) = in_contact();
    watcher.looks_at(&[game_21505()], when(28, "2026-11-20 20:21:45"));
    watcher.replays("process_start", when(28, "2026-11-20 20:21:45"));
    watcher.overslept(Duration::from_secs(25), when(94, "2026-11-20 20:22:51"));
    watcher.replays("process_downtime", when(94, "2026-11-20 20:22:51"));
}

#[test]
fn a_restart_a_replay_and_a_rule_that_kills() {
    let (_, saved) = in_contact();
    let restarted = when(0, "2026-11-20 20:22:57");
    let mut watcher = Watcher::new(Options::new(HOST), Some(saved), restarted);
    watcher.looks_at(&[game_21505()], restarted);
    watcher.replays("restart_start_client", restarted);
    // The real server's replay names no handler, so it has no effect.
    let effects = watcher.replays("restart_answer_with_replay", when(1, "2026-11-20 20:22:58"));
    assert_eq!(logs(&effects).len(), 1);

    let both = [
        game_21505(),
        captured_process(25134, "2026-11-20 20:23:34", "lbgame"),
    ];
    watcher.looks_at(&both, when(10, "2026-11-20 20:23:35"));
    assert_eq!(
        watcher
            .next_message(None, when(10, "2026-11-20 20:23:35"))
            .events
            .len(),
        1
    );
    watcher.answered(&[], when(10, "2026-11-20 20:23:35"));
    let effects = watcher.replays("rule_kill_delay", when(12, "2026-11-20 20:23:41"));
    assert_eq!(effects, [], "the delay is 2 s");
    let effects = watcher.tick(when(14, "2026-11-20 20:23:43"));
    assert_eq!(kills(&effects), [(21505, Why::Ordered), (25134, Why::Ordered)]);
    let ended = when(14, "2026-11-20 20:23:43");
    watcher.kill_ended(both[0].key(), KillOutcome::Ended, ended);
    let repeats = watcher.replays("process_end_after_kill", when(15, "2026-11-20 20:23:44"));
    assert_eq!(kills(&repeats), [], "the kill of the other is under way");
    let answered = watcher.next_message(None, when(16, "2026-11-20 20:23:45")).events;
    assert_eq!(
        words(&answered),
        ["PROCESS_END 21505 amelie"],
        "a repeat is answered"
    );
}

#[test]
fn a_clean_stop() {
    let (mut watcher, _) = in_contact();
    let game = captured_process(26335, "2026-11-20 20:24:17", "lbgame");
    watcher.looks_at(&[game], when(180, "2026-11-20 20:24:20"));
    watcher.next_message(None, when(180, "2026-11-20 20:24:20"));
    watcher.answered(&[], when(180, "2026-11-20 20:24:20"));
    watcher.stop(when(182, "2026-11-20 20:24:22"));
    watcher.replays("clean_stop_process_end", when(182, "2026-11-20 20:24:22"));
}

#[test]
fn a_wrong_secret_loses_nothing() {
    let (_, saved) = in_contact();
    let start = when(0, "2026-11-20 20:24:27");
    let mut watcher = Watcher::new(Options::new(HOST), Some(saved), start);
    let game = captured_process(26335, "2026-11-20 20:24:17", "lbgame");
    watcher.looks_at(&[game], start);
    watcher.replays("wrong_secret", start);
    watcher.replays("wrong_secret", start);
}
