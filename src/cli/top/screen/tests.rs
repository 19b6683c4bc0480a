//! What is shown of a status, and what keys change.

use super::*;
use serde_json::json;

pub(in crate::cli::top) fn status(seconds: u32, events: u64) -> StatusView {
    let host = |name: &str| json!({"host_id": "6a476cc7-fafe-5985-9fb8-67233a7efb39", "hostname": name});
    serde_json::from_value(json!({
        "at": format!("2026-11-20T14:00:{seconds:02}Z"), "version": "0.1.0",
        "started_at": "2026-11-20T13:00:00Z", "ready": true, "draining": false,
        "pause": {"since": "2026-11-20T13:59:00Z", "by": {"token_id": "k", "name": "a\u{1b}na"}, "reason": "INC-42"},
        "broker": {"connected": true, "detail": "connected"},
        "slots": {"total": 3, "interactive_reserved": 0, "jobs_reserved": 0, "waiting": 4, "sessions_waiting": 1, "slots": [
            {"slot": 0, "session": {"job_id": "b181f097-458c-596e-ab14-23d84ca1c696", "step": 1,
                "host": host("web\u{1b}[2J"), "since": "2026-11-20T13:58:57Z"}},
            {"slot": 1},
            {"slot": 2, "session": {"session_id": "0b0f6a83-44b1-4a8a-8d6f-0d3f4c8a2b11", "owner": "ben",
                "host": host("db"), "since": "2026-11-20T12:00:00Z", "command": 3}},
        ]},
        "jobs": {"open": 9, "running": 1, "lanes": 5, "host_offline": 2, "behind_job": 1, "no_free_slot": 4},
        "hosts": {"total": 40, "attached": 38, "silent": 1},
        "outbox": {"waiting": 7, "messages_max": 300_000, "quarantined": 2},
        "totals": {"events": events, "jobs_accepted": 0, "jobs_ended": 0, "published": 0},
    }))
    .unwrap()
}

fn press(screen: &mut Screen, code: KeyCode) -> Want {
    screen.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn numbers(screen: &Screen) -> Vec<u32> {
    screen.slots().iter().map(|slot| slot.slot).collect()
}

#[test]
fn rates_are_what_was_counted_between_two_looks() {
    let mut screen = Screen::new(status(0, 100));
    assert_eq!(screen.rates, Rates::default());
    screen.show(status(4, 110));
    assert!((screen.rates.events - 2.5).abs() < 1e-9, "{:?}", screen.rates);
    let mut restarted = status(8, 3);
    restarted.started_at = restarted.at;
    screen.show(restarted);
    assert_eq!(screen.rates, Rates::default());
}

#[test]
fn keys_order_and_filter_the_slots_and_choose_one_of_those_shown() {
    let mut screen = Screen::new(status(0, 0));
    assert_eq!(numbers(&screen), [0, 1, 2]);
    press(&mut screen, KeyCode::Char('p'));
    assert_eq!(numbers(&screen), [2, 0, 1], "the oldest first");
    press(&mut screen, KeyCode::Char('p'));
    assert_eq!(numbers(&screen), [2, 0, 1], "by host: db, web");
    for expected in [vec![2, 0], vec![0], vec![2]] {
        press(&mut screen, KeyCode::Char('f'));
        assert_eq!(numbers(&screen), expected);
    }
    press(&mut screen, KeyCode::Char('f'));
    for _ in 0..9 {
        assert_eq!(press(&mut screen, KeyCode::Down), Want::Stay);
    }
    assert_eq!(screen.chosen, 2);
    press(&mut screen, KeyCode::Char('f'));
    assert_eq!(screen.chosen, 1, "it stays inside");
    press(&mut screen, KeyCode::Up);
    assert_eq!(screen.chosen, 0);
}

#[test]
fn q_escape_and_ctrl_c_leave() {
    let mut screen = Screen::new(status(0, 0));
    assert_eq!(press(&mut screen, KeyCode::Char('q')), Want::Leave);
    assert_eq!(press(&mut screen, KeyCode::Esc), Want::Leave);
    assert_eq!(press(&mut screen, KeyCode::Char('c')), Want::Stay);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.key(ctrl_c), Want::Leave);
}

#[test]
fn a_slot_says_who_holds_it_for_how_long_and_how_far_it_is() {
    let view = status(0, 0);
    let cells: Vec<[String; 5]> = view
        .slots
        .slots
        .iter()
        .map(|slot| slot_cells(&view, slot))
        .collect();
    assert_eq!(
        cells[0][1..],
        [
            "job b181f097-458c-596e-ab14-23d84ca1c696",
            "web\u{fffd}[2J",
            "1:03",
            "step 2"
        ]
    );
    assert_eq!(cells[1][1], "free");
    assert_eq!(cells[2][2..], ["db", "2:00:00", "command 3"]);
    assert!(cells[2][1].ends_with("of ben"));
}

#[test]
fn nothing_that_others_name_reaches_the_terminal_as_it_is() {
    let view = status(0, 0);
    let mut all = pause(&view).unwrap();
    all.extend(lines(&view).into_iter().map(|(_, text)| text));
    all.extend(view.slots.slots.iter().flat_map(|slot| slot_cells(&view, slot)));
    assert!(!all.contains('\u{1b}'), "{all:?}");
    assert!(
        all.contains("PAUSED by a\u{fffd}na since") && all.contains("INC-42"),
        "{all}"
    );
}
