//! What of a message counts, what is left out and counted, and what refuses it whole.

use super::now;
use crate::samples::json;
use serde_json::{Value, json};
use tripline_protocol::limit::HOST_NAME_BYTES_MAX;
use tripline_protocol::littlebrother::*;

fn start(pid: u32) -> Value {
    json!({
        "event_type": "PROCESS_START", "hostname": "liszt", "pid": pid, "event_time": "2026-11-20 20:00:00",
        "process_start_time": "2026-11-20 19:00:00", "processname": "bash", "username": "amelie",
    })
}

fn message(events: Value) -> Value {
    json!({"secret": "s", "hostname": "liszt", "events": events})
}

fn read(message: &Value) -> Result<ReadMessage, InvalidMessage> {
    ReadMessage::read(message.to_string().as_bytes(), now())
}

/// The key that refuses a message.
fn refused(message: &Value) -> String {
    match read(message) {
        Err(InvalidMessage::Key { key, problem }) => {
            assert!(!problem.is_empty());
            key
        }
        other => panic!("{message}: {other:?}"),
    }
}

fn with(mut event: Value, key: &str, value: Value) -> Value {
    event[key] = value;
    event
}

#[test]
fn a_message_without_anything_but_its_three_keys_is_read() {
    let read = read(&message(json!([]))).unwrap();
    assert_eq!(read.secret.as_deref(), Some("s"));
    assert_eq!((read.message.events.len(), read.ignored.len()), (0, 0));
    assert_eq!(read.message.client_stats, None);
}

#[test]
fn a_null_secret_is_none_and_a_missing_one_refuses() {
    let null = json!({"secret": null, "hostname": "liszt", "events": []});
    assert_eq!(read(&null).unwrap().secret, None);
    assert_eq!(refused(&json!({"hostname": "liszt", "events": []})), "secret");
    assert_eq!(refused(&with(message(json!([])), "secret", json!(7))), "secret");
}

#[test]
fn attributes_that_are_missing_or_null_have_the_defaults_of_the_real_server() {
    let bare = json!([{"event_type": "START_CLIENT"}]);
    let nulls = json!([{
        "event_type": "START_CLIENT", "delay": null, "downtime": null, "event_time": null, "hostname": null,
        "hostlabel": null, "locale": null, "payload": null, "percent": null, "pid": null, "text": null,
        "process_start_time": null, "processhandler": null, "processname": null, "username": null,
    }]);
    let expected = WireEvent::new(EventType::StartClient, "liszt", now());
    for events in [bare, nulls] {
        let read = read(&message(events)).unwrap();
        assert_eq!(read.message.events, std::slice::from_ref(&expected));
        assert_eq!(read.ignored, []);
    }
}

#[test]
fn one_wrong_attribute_refuses_the_message_and_is_named() {
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    let wrong = [
        ("event_time", json!("2026-11-20T20:00:00")),
        ("event_time", json!("2026-11-20 20:00:00.5")),
        ("event_time", json!("")),
        ("event_time", json!(1_795_206_074)),
        ("process_start_time", json!("yesterday")),
        ("process_start_time", json!(null)),
        ("pid", json!(null)),
        ("pid", json!("4711")),
        ("pid", json!(-1)),
        ("pid", json!(4_294_967_296_u64)),
        ("pid", json!(4711.5)),
        ("pid", json!(1e30)),
        ("pid", json!([4711])),
        ("delay", json!(-1)),
        ("downtime", json!("25")),
        ("downtime", json!(1e300)),
        ("percent", json!({})),
        ("username", json!(7)),
        ("processname", json!(["bash"])),
        ("processname", json!(long)),
        ("hostname", json!(7)),
        ("text", json!(false)),
        ("locale", json!(long)),
        ("hostlabel", json!(1)),
        ("processhandler", json!({})),
        ("event_type", json!(null)),
        ("event_type", json!(3)),
    ];
    for (key, value) in wrong {
        let events = json!([start(1), start(2), start(3), with(start(4), key, value.clone())]);
        assert_eq!(refused(&message(events)), format!("events[3].{key}"), "{value}");
    }
    assert_eq!(refused(&message(json!([start(1), "x"]))), "events[1]");
}

#[test]
fn numbers_may_be_floats() {
    let event = with(with(start(1), "pid", json!(4711.0)), "downtime", json!(25.9));
    let events = read(&message(json!([with(event, "percent", json!(50.0))])))
        .unwrap()
        .message
        .events;
    assert_eq!(
        (events[0].pid, events[0].downtime, events[0].percent),
        (Some(4711), 25, 50)
    );
}

#[test]
fn a_message_that_lacks_a_key_or_has_a_wrong_one_is_refused_and_it_is_named() {
    assert_eq!(refused(&json!({"secret": "s", "events": []})), "hostname");
    assert_eq!(refused(&json!({"secret": "s", "hostname": "liszt"})), "events");
    assert_eq!(refused(&message(json!(null))), "events");
    assert_eq!(refused(&message(json!({}))), "events");
    assert_eq!(
        refused(&with(message(json!([])), "hostname", json!(null))),
        "hostname"
    );
    assert_eq!(refused(&json!([1])), "message");
    assert_eq!(refused(&json!("x")), "message");
    let stats = |stats| refused(&with(message(json!([])), "client_stats", stats));
    assert_eq!(stats(json!([])), "client_stats");
    assert_eq!(stats(json!({"version": 5})), "client_stats.version");
    assert_eq!(
        stats(json!({"running_in_snap": "no"})),
        "client_stats.running_in_snap"
    );
    assert_eq!(
        stats(json!({"cpu_seconds_total": "1"})),
        "client_stats.cpu_seconds_total"
    );
    let long = json!({"linux_distribution": "x".repeat(256)});
    assert_eq!(stats(long), "client_stats.linux_distribution");
}

#[test]
fn what_is_no_json_is_refused_as_that() {
    for body in [
        &b""[..],
        b"{",
        b"\xff",
        b"{}{}",
        b"{\"hostname\": \xff}",
        b"{\"a\": NaN}",
    ] {
        let error = ReadMessage::read(body, now()).unwrap_err();
        assert!(matches!(error, InvalidMessage::NotJson(_)), "{error}");
    }
}

#[test]
fn host_names_may_have_dots_spaces_and_unicode() {
    let longest = "x".repeat(HOST_NAME_BYTES_MAX);
    for name in [
        "web-1.example.org",
        "Amelies Rechner",
        "küche",
        "电脑",
        "🦀",
        "*.>",
        longest.as_str(),
    ] {
        let event = json!({"event_type": "START_CLIENT", "hostname": name});
        let message = json!({"secret": "s", "hostname": name, "events": [event]});
        let read = read(&message).unwrap();
        assert_eq!(
            (read.message.hostname.as_str(), read.message.events.len()),
            (name, 1)
        );
    }
    let too_long = "x".repeat(HOST_NAME_BYTES_MAX + 1);
    for name in ["", "a\nb", "a\u{0}", "\u{7f}", too_long.as_str()] {
        assert_eq!(
            refused(&with(message(json!([])), "hostname", json!(name))),
            "hostname"
        );
    }
}

#[test]
fn what_does_not_count_is_left_out_and_counted_and_the_rest_stays() {
    let kind = |kind: &str| with(start(9), "event_type", json!(kind));
    let events = json!([
        start(1),
        kind("PROCESS_PAUSED"),
        kind("process_start"),
        kind("UPDATE_CONFIG"),
        {"event_type": "KILL_PROCESS", "pid": "wrong, and not even looked at"},
        kind("START_MASTER"),
        kind("UPDATE_LOGIN_MAPPING"),
        with(start(9), "hostname", json!("beethoven")),
        with(start(9), "hostname", json!("LISZT")),
        with(with(start(2), "colour", json!("red")), "size", json!(null)),
        with(start(3), "payload", json!({"config:user_config": {}})),
    ]);
    let mut message = message(events);
    message["api_version"] = json!(2);
    message["client_stats"] = json!({"version": "0.5.8", "gpu": [1]});
    let read = read(&message).unwrap();
    let pids: Vec<_> = read
        .message
        .events
        .iter()
        .map(|event| event.pid.unwrap())
        .collect();
    assert_eq!(pids, [1, 2, 3]);
    assert!(read.message.events.iter().all(|event| event.payload.is_none()));
    let count = |why| read.ignored.iter().filter(|ignored| **ignored == why).count();
    assert_eq!(count(Ignored::UnknownType), 2);
    assert_eq!(count(Ignored::ServerType), 4);
    assert_eq!(count(Ignored::ForeignHost), 2);
    assert_eq!(count(Ignored::UnknownAttribute), 4);
    assert_eq!(count(Ignored::Payload), 1);
    assert_eq!(read.ignored.len(), 13);
}

/// `text`, `locale`, `hostlabel` and `percent` mean nothing here and are passed on all the same.
#[test]
fn what_is_only_carried_stays_as_it_came() {
    let mut event = start(1);
    for key in ["text", "locale", "hostlabel"] {
        event[key] = json!("ä\n\u{0}");
    }
    event["percent"] = json!(-3);
    let read = read(&message(json!([event]))).unwrap();
    let written = serde_json::to_value(&read.message.events[0]).unwrap();
    for key in ["text", "locale", "hostlabel", "percent"] {
        assert_eq!(written[key], event[key]);
    }
}

/// A client writes half a character for a name that ends within one.
#[test]
fn a_name_that_ends_within_a_character_does_not_lose_the_message() {
    let body = message(json!([start(1), with(start(2), "processname", json!("NAME"))]));
    let body = body.to_string().replace("NAME", r"\u00fcberlang\udcc3");
    let read = ReadMessage::read(body.as_bytes(), now()).unwrap();
    let names: Vec<_> = read
        .message
        .events
        .iter()
        .map(|event| event.processname.as_deref())
        .collect();
    assert_eq!(names, [Some("bash"), Some("überlang\u{fffd}")]);
}

#[test]
fn as_many_events_as_the_limit_are_read_and_one_more_refuses() {
    let events: Vec<Value> = (0..=MESSAGE_EVENTS_MAX as u32).map(start).collect();
    assert_eq!(refused(&message(json!(events))), "events");
    let read = read(&message(json!(events[1..]))).unwrap();
    assert_eq!(read.message.events.len(), MESSAGE_EVENTS_MAX);
    assert_eq!(read.message.events[19_999].pid, Some(20_000));
}

#[test]
fn the_same_event_has_the_same_canonical_text_in_whatever_order_it_came() {
    let one = r#"{"event_type": "START_CLIENT", "percent": 100, "hostname": "liszt"}"#;
    let other = r#"{"hostname": "liszt", "payload": null, "event_type": "START_CLIENT", "delay": 0.0}"#;
    let texts: Vec<String> = [one, other]
        .map(|text| {
            let message = message(json!([json::<Value>(text).unwrap()]));
            read(&message).unwrap().message.events[0].to_canonical_json()
        })
        .into();
    assert_eq!(texts[0], texts[1]);
    let keys: Vec<String> = json::<serde_json::Map<String, Value>>(&texts[0])
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(keys.len(), 15);
    let order: Vec<usize> = keys
        .iter()
        .map(|key| texts[0].find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{}", texts[0]);
}

fn of_agent(events: Vec<WireEvent>) -> Result<ReadMessage, InvalidMessage> {
    let message = ClientMessage {
        hostname: "whatever it says".into(),
        events,
        client_stats: None,
    };
    ReadMessage::of_agent(message, "web-1".into())
}

fn process(pid: Option<u32>) -> WireEvent {
    WireEvent {
        pid,
        process_start_time: Some(now()),
        ..WireEvent::new(EventType::ProcessStart, "elsewhere", now())
    }
}

#[test]
fn a_message_of_an_agent_is_held_to_the_same_rules_under_its_hosts_name() {
    let foreign = WireEvent::new(EventType::UpdateConfig, "web-1", now());
    let loaded = WireEvent {
        payload: Some(json!({"x": 1})),
        ..process(Some(7))
    };
    let read = of_agent(vec![foreign, process(Some(6)), loaded]).unwrap();
    assert_eq!(read.ignored, [Ignored::ServerType, Ignored::Payload]);
    assert_eq!(read.secret, None);
    assert_eq!(read.message.hostname, "web-1");
    let events = read.message.events;
    assert_eq!(
        (events[0].pid, events[1].pid, events.len()),
        (Some(6), Some(7), 2)
    );
    assert!(
        events
            .iter()
            .all(|event| event.hostname == "web-1" && event.payload.is_none())
    );
}

#[test]
fn a_wrong_attribute_of_an_agents_message_is_named() {
    let key = |result| match result {
        Err(InvalidMessage::Key { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        key(of_agent(vec![process(Some(1)), process(None)])),
        "events[1].pid"
    );
    let mut long = process(Some(1));
    long.username = Some("x".repeat(TEXT_BYTES_MAX + 1));
    assert_eq!(key(of_agent(vec![long])), "events[0].username");
    assert_eq!(
        key(of_agent(vec![process(Some(1)); MESSAGE_EVENTS_MAX + 1])),
        "events"
    );
    let stats = ClientStats {
        version: Some("x".repeat(256)),
        ..ClientStats::default()
    };
    let message = ClientMessage {
        hostname: String::new(),
        events: vec![],
        client_stats: Some(stats),
    };
    let read = ReadMessage::of_agent(message, "web-1".into());
    assert_eq!(key(read), "client_stats.version");
}
