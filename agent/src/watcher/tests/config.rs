//! Users and mappings: what is taken over from where, and what is not.

use super::*;

fn users(payload: Value) -> WireEvent {
    with_payload(EventType::UpdateConfig, payload)
}

fn user(pattern: &str) -> Value {
    json!({"active": true, "process_name_pattern": pattern, "prohibited_process_name_pattern": null})
}

/// Whether Amelie's game and Leon's are reported when both are seen for the first time.
fn counted(watcher: &mut Watcher) -> Vec<String> {
    watcher.look(&[game(7), process(8, LEON, "lbgame")], 5);
    watcher.says(5)
}

#[test]
fn users_are_replaced_as_a_whole() {
    let mut watcher = watching();
    let only_leon =
        json!({"config:user_config": {"leon": user("lbgame")}, "config:maximum_time_without_send": 30});
    let effects = {
        watcher.next_message(None, at(1));
        watcher.answered(&[users(only_leon)], at(1))
    };
    let saved = saved(&effects).expect("it changed");
    assert_eq!(saved.users.len(), 1);
    assert_eq!(saved.silence_max_s, Some(30));
    assert_eq!(counted(&mut watcher), ["PROCESS_START 8 leon lbgame"]);
}

#[test]
fn the_same_again_is_not_saved_again() {
    let mut watcher = watching();
    watcher.next_message(None, at(1));
    let effects = watcher.answered(&[config(), mapping()], at(1));
    assert_eq!(effects, []);
}

#[test]
fn mappings_are_added() {
    let mut watcher = watching();
    let more = json!([["default-group", [["amelie", 77]]]]);
    watcher.exchange(&[with_payload(EventType::UpdateLoginMapping, more)], 1);
    watcher.look(&[game(7), process(8, 77, "lbgame")], 5);
    assert_eq!(
        watcher.says(5),
        ["PROCESS_START 7 amelie lbgame", "PROCESS_START 8 amelie lbgame"]
    );
}

#[test]
fn only_the_own_server_group_is_honoured() {
    let both = json!([
        ["school", [["leon", AMELIE]]],
        ["default-group", [["amelie", AMELIE]]],
        ["x", [["leon", 0]]]
    ]);
    let both = with_payload(EventType::UpdateLoginMapping, both);
    for (group, expected) in [
        ("default-group", &["PROCESS_START 7 amelie lbgame"][..]),
        ("school", &["PROCESS_START 7 leon lbgame"]),
        ("elsewhere", &[]),
    ] {
        let mut options = Options::new(HOST);
        options.server_group = group.to_owned();
        let mut watcher = Watcher::new(options, None, at(0));
        watcher.exchange(&[config(), both.clone()], 0);
        watcher.look(&[game(7)], 1);
        assert_eq!(watcher.says(1), expected, "{group}");
    }
}

#[test]
fn the_very_old_form_is_understood_and_keeps_the_longest_silence() {
    let mut watcher = watching();
    watcher.next_message(None, at(1));
    let effects = watcher.answered(&[users(json!({"leon": user("lbgame")}))], at(1));
    let saved = saved(&effects).unwrap();
    assert_eq!((saved.users.len(), saved.silence_max_s), (1, Some(20)));
    assert_eq!(logs(&effects).len(), 1, "nothing is wrong with it: {effects:?}");
}

#[test]
fn without_a_usable_longest_silence_the_last_one_stays_and_is_named() {
    for silence in [
        None,
        Some(json!(null)),
        Some(json!(0)),
        Some(json!(-3)),
        Some(json!("20")),
    ] {
        let mut watcher = watching();
        let mut payload = json!({"config:user_config": {"leon": user("lbgame")}});
        if let Some(silence) = silence.clone() {
            payload["config:maximum_time_without_send"] = silence;
        }
        watcher.next_message(None, at(1));
        let effects = watcher.answered(&[users(payload)], at(1));
        let saved = saved(&effects).unwrap();
        assert_eq!(
            (saved.users.len(), saved.silence_max_s),
            (1, Some(20)),
            "{silence:?}"
        );
        assert!(
            logs(&effects)[0].contains("maximum_time_without_send"),
            "{effects:?}"
        );
    }
}

#[test]
fn a_configuration_without_users_is_not_the_old_form_and_keeps_them() {
    let mut watcher = watching();
    watcher.next_message(None, at(1));
    let effects = watcher.answered(&[users(json!({"config:maximum_time_without_send": 40}))], at(1));
    let saved = saved(&effects).unwrap();
    assert_eq!((saved.users.len(), saved.silence_max_s), (2, Some(40)));
    assert!(logs(&effects)[0].contains("no users"));
}

#[test]
fn payloads_of_another_kind_change_nothing_and_are_named() {
    for kind in [EventType::UpdateConfig, EventType::UpdateLoginMapping] {
        for payload in [None, Some(json!("x")), Some(json!(3))] {
            let mut watcher = watching();
            let mut event = from_server(kind);
            event.payload = payload;
            watcher.next_message(None, at(1));
            let effects = watcher.answered(&[event], at(1));
            assert_eq!(saved(&effects), None);
            assert!(logs(&effects)[0].contains("stays as it was"), "{effects:?}");
            assert_eq!(counted(&mut watcher).len(), 2);
        }
    }
}

#[test]
fn one_bad_user_does_not_leave_the_others_unwatched() {
    let bad_users = [
        json!(3),
        json!({"active": true}),
        json!({"process_name_pattern": "lbgame"}),
        json!({"active": 1, "process_name_pattern": "lbgame"}),
        user("lb(game"),
        user("x"),
        user(&"x".repeat(20_000)),
    ];
    for bad in bad_users {
        let mut watcher = watching();
        let payload = json!({
            "config:user_config": {"amelie": bad, "leon": user("lbgame")},
            "config:maximum_time_without_send": 20,
        });
        watcher.next_message(None, at(1));
        let effects = watcher.answered(&[users(payload)], at(1));
        assert!(logs(&effects)[0].contains("\"amelie\""), "{bad}: {effects:?}");
        assert_eq!(counted(&mut watcher), ["PROCESS_START 8 leon lbgame"], "{bad}");
    }
}

#[test]
fn bad_entries_of_a_mapping_are_named_and_the_others_count() {
    let mut watcher = new();
    let payload = json!([
        3,
        ["default-group"],
        [null, []],
        [
            "default-group",
            [
                3,
                ["amelie"],
                ["amelie", -1],
                ["amelie", "4242"],
                ["", 1],
                ["leon", LEON]
            ]
        ],
    ]);
    watcher.next_message(None, at(0));
    let effects = watcher.answered(
        &[config(), with_payload(EventType::UpdateLoginMapping, payload)],
        at(0),
    );
    assert_eq!(
        saved(&effects).unwrap().logins,
        [(LEON, "leon".to_owned())].into()
    );
    assert_eq!(
        logs(&effects)
            .iter()
            .filter(|log| log.contains("UPDATE_LOGIN_MAPPING"))
            .count(),
        8
    );
}

#[test]
fn a_restarted_agent_watches_by_what_was_saved_before_any_answer() {
    let mut watcher = new();
    watcher.next_message(None, at(0));
    let saved = saved(&watcher.answered(&[config(), mapping()], at(0))).unwrap();
    let kept: Saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
    assert_eq!(kept, saved);
    let mut again = Watcher::new(Options::new(HOST), Some(kept.clone()), at(0));
    again.look(&[game(7)], 1);
    assert_eq!(again.says(1), ["START_CLIENT", "PROCESS_START 7 amelie lbgame"]);

    let mut options = Options::new(HOST);
    options.server_group = "school".to_owned();
    let mut moved = Watcher::new(options, Some(kept), at(0));
    moved.look(&[game(7)], 1);
    assert_eq!(moved.says(1), ["START_CLIENT"], "the mapping is another group's");
}

#[test]
fn what_was_saved_by_another_version_is_read_as_far_as_it_goes() {
    let saved: Saved = serde_json::from_str(r#"{"users": [], "new": 1}"#).unwrap();
    assert_eq!(saved, Saved::default());
}

#[test]
fn a_scan_looks_as_closely_as_it_must_and_at_nobody_else() {
    let mut watcher = watching();
    let looks = watcher.looks();
    assert_eq!(looks, [(AMELIE, Look::CommandLine), (LEON, Look::Name)].into());
    let inactive = json!({"leon": {"active": false, "process_name_pattern": "lbgame"}});
    watcher.exchange(&[users(inactive)], 1);
    assert!(watcher.looks().is_empty());
    let mut options = Options::new(HOST);
    options.scan_command_line = true;
    let mut closely = Watcher::new(options, None, at(0));
    assert!(closely.looks().is_empty());
    closely.exchange(&[config(), mapping()], 0);
    assert!(closely.looks().values().all(|look| *look == Look::CommandLine));
}

#[test]
fn a_dismissed_watcher_forgets_everybody_and_begins_anew() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.exchange(&[kill(key(7), 3)], 2);
    let effects = watcher.dismissed(at(3));
    assert_eq!(saved(&effects).unwrap().users, []);
    assert_eq!(watcher.next_due(), None);
    assert!(watcher.looks().is_empty());
    assert_eq!(kills(&watcher.look(&[game(7)], 100)), []);
    assert_eq!(watcher.exchange(&[config(), mapping()], 101), ["START_CLIENT"]);
    watcher.look(&[game(7)], 102);
    assert_eq!(watcher.says(102), ["PROCESS_START 7 amelie lbgame"]);
}
