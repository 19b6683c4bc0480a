//! What clients should not send, over real HTTP: it gets a clear answer and changes nothing, and what was good in the
//! same message counts.

use crate::harness::{Site, eventually, free_port};
use crate::messages::{Poster, event, message, now, of_process};
use crate::peers::{Person, SECRET};
use crate::tripline::{Settings, Tripline};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// A server in UTC that knows amelie, and somebody who posts.
async fn scene(site: &Site, pipelines: &[&str]) -> (Tripline, Poster) {
    let settings = Settings::of(&Person::new(site)).with("time_zone", "UTC");
    let tripline = Tripline::start(site, &settings, pipelines).await;
    let poster = Poster::to(&tripline);
    (tripline, poster)
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_refused_with_the_key_and_changes_nothing() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    let good = || message("h", vec![of_process("PROCESS_START", "h", 7, &now(0))]);
    let change = |path: &str, value: Value| {
        let mut message = good();
        *message.pointer_mut(path).expect("a place") = value;
        message
    };
    let without = |key: &str| {
        let mut message = good();
        message.as_object_mut().expect("an object").remove(key);
        message
    };
    let cases = [
        (without("secret"), "secret"),
        (without("hostname"), "hostname"),
        (without("events"), "events"),
        (json!([1, 2]), "message"),
        (json!("text"), "message"),
        (change("/secret", json!(5)), "secret"),
        (change("/hostname", json!(null)), "hostname"),
        (change("/hostname", json!("")), "hostname"),
        (change("/hostname", json!("a\nb")), "hostname"),
        (change("/hostname", json!("x".repeat(300))), "hostname"),
        (change("/events", json!({})), "events"),
        (change("/events/0", json!(3)), "events[0]"),
        (
            change("/events/0/event_type", json!(null)),
            "events[0].event_type",
        ),
        (change("/events/0/event_type", json!(3)), "events[0].event_type"),
        (
            change("/events/0/event_time", json!("2026-11-20T20:21:45")),
            "events[0].event_time",
        ),
        (
            change("/events/0/event_time", json!("2026-11-20 20:21:45.5")),
            "events[0].event_time",
        ),
        (
            change("/events/0/event_time", json!("2026-02-30 20:21:45")),
            "events[0].event_time",
        ),
        (
            change("/events/0/process_start_time", json!("yesterday")),
            "events[0].process_start_time",
        ),
        (
            change("/events/0/process_start_time", json!(null)),
            "events[0].process_start_time",
        ),
        (change("/events/0/pid", json!("7")), "events[0].pid"),
        (change("/events/0/pid", json!(-7)), "events[0].pid"),
        (change("/events/0/pid", json!(null)), "events[0].pid"),
        (change("/events/0/downtime", json!("long")), "events[0].downtime"),
        (
            change("/events/0/username", json!(["amelie"])),
            "events[0].username",
        ),
        (
            change("/events/0/processname", json!("x".repeat(5000))),
            "events[0].processname",
        ),
    ];
    for (body, key) in cases {
        let reply = poster.post(&body).await;
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        let text = reply.body["error"].as_str().unwrap_or_default();
        assert!(text.starts_with(key), "{body}: {text:?} does not name {key}");
    }
    for body in ["", "{", "{\"secret\": ", "\u{0}", "[[[[[["] {
        let reply = poster
            .send("POST", "/api/events", "application/json", body.into())
            .await;
        assert_eq!(reply.status, 400, "{body:?}: {reply:?}");
    }
    let reply = poster
        .send("POST", "/api/events", "application/json", vec![0xff, 0xfe])
        .await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(tripline.hosts().await.is_empty());
    assert!(tripline.events("PROCESS_START").await.is_empty());

    // The server is none the worse for it.
    poster.post(&good()).await;
    assert_eq!(tripline.events_of("PROCESS_START", 7).await.len(), 1);
}

#[tokio::test]
async fn secrets_types_methods_and_paths_are_answered_as_the_real_server_does() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    for secret in [
        json!("wrong"),
        json!(""),
        json!(null),
        json!(format!("{SECRET}x")),
    ] {
        let mut body = message("h", vec![event("START_CLIENT", "h", &now(0))]);
        body["secret"] = secret;
        let reply = poster.post(&body).await;
        assert_eq!(
            (reply.status, reply.body),
            (401, json!({"error": "invalid access code"}))
        );
    }
    let body = || message("h", Vec::new()).to_string().into_bytes();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let reply = poster.send("POST", "/api/events", content_type, body()).await;
        assert_eq!(reply.status, 415, "{content_type:?}: {reply:?}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let reply = poster
            .send(method, "/api/events", "application/json", body())
            .await;
        assert_eq!(reply.status, 405, "{method}: {reply:?}");
    }
    assert!(tripline.hosts().await.is_empty());

    // A client that is sent elsewhere asks there with GET and without its message.
    for method in ["GET", "POST"] {
        for path in [
            "/",
            "/api",
            "/api/",
            "/api/events/",
            "/api//events",
            "//api/events/",
            "/API/events",
            "/health/",
        ] {
            let reply = poster.send(method, path, "application/json", body()).await;
            assert!(!(300..400).contains(&reply.status), "{method} {path}: {reply:?}");
        }
    }
    // What a client asks for whose URL ends with a slash, and types with a parameter.
    for (path, content_type) in [
        ("//api/events", "application/json"),
        ("/api/events", "application/json; charset=utf-8"),
        ("/api/events", "Application/JSON"),
    ] {
        let reply = poster.send("POST", path, content_type, body()).await;
        assert_eq!(reply.status, 200, "{path} {content_type}: {reply:?}");
    }
    let health = poster.send("GET", "/health", "", Vec::new()).await;
    assert_eq!((health.status, health.body), (200, json!("ok")));
}

#[tokio::test]
async fn what_a_client_may_not_say_is_left_out_and_counted_and_the_rest_counts() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    poster
        .say(
            "victim",
            vec![of_process("PROCESS_START", "victim", 5, &now(-60))],
        )
        .await;
    let mut config = event("UPDATE_CONFIG", "h", &now(0));
    config["payload"] = json!({"config:user_config": {}, "config:maximum_time_without_send": 1});
    let mut unknown_attributes = of_process("PROCESS_START", "h", 8, &now(-5));
    unknown_attributes["__class__"] = json!("os.system");
    let mut sparse = of_process("PROCESS_START", "h", 9, &now(-5));
    sparse
        .as_object_mut()
        .expect("an object")
        .retain(|_, value| !value.is_null() && *value != 0 && *value != 100);
    let events = vec![
        config,
        event("UPDATE_LOGIN_MAPPING", "h", &now(0)),
        event("START_MASTER", "h", &now(0)),
        of_process("KILL_PROCESS", "victim", 5, &now(-60)),
        of_process("PROCESS_END", "victim", 5, &now(-60)),
        of_process("PROCESS_START", "victim", 6, &now(-5)),
        event("MAKE_COFFEE", "h", &now(0)),
        unknown_attributes,
        sparse,
        of_process("PROCESS_START", "h", 7, &now(-5)),
    ];
    let mut body = message("h", events);
    body["unknown"] = json!({"a": [1, 2]});
    body["client_stats"] = json!({"version": "0.5.8", "shoe_size": 43});
    let reply = poster.post(&body).await;
    assert_eq!(reply.status, 200, "{reply:?}");

    for pid in [7, 8, 9] {
        assert_eq!(tripline.events_of("PROCESS_START", pid).await.len(), 1, "{pid}");
    }
    tripline.open_processes("h", 3).await;
    tripline.open_processes("victim", 1).await;
    assert!(tripline.events("PROCESS_END").await.is_empty());
    for etype in [
        "UPDATE_CONFIG",
        "UPDATE_LOGIN_MAPPING",
        "START_MASTER",
        "KILL_PROCESS",
        "MAKE_COFFEE",
    ] {
        assert!(tripline.events(etype).await.is_empty(), "{etype}");
    }
    let names: Vec<String> = tripline
        .hosts()
        .await
        .into_iter()
        .map(|host| host.hostname)
        .collect();
    assert_eq!(
        names.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["h", "victim"])
    );
    // Others are told what they were told before.
    let reply = poster.say("victim", Vec::new()).await;
    assert!(
        reply.got("KILL_PROCESS").is_empty() && reply.got("START_MASTER").is_empty(),
        "{reply:?}"
    );
    let config = poster.say("newcomer", Vec::new()).await;
    let config = &config.got("UPDATE_CONFIG")[0]["payload"];
    assert_eq!(config["config:user_config"]["amelie"]["active"], true, "{config}");

    let metrics = tripline.api().get("/metrics").await;
    let metrics = metrics.body.as_str().expect("a text");
    for (reason, count) in [("server_type", 4), ("foreign_host", 2), ("unknown_type", 1)] {
        let line = format!("tripline_littlebrother_events_ignored_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn ten_thousand_events_and_bodies_of_megabytes_are_taken_whole_and_more_is_refused() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    let time = now(-10);
    let events = (1..=10_000)
        .map(|pid| of_process("PROCESS_START", "busy", pid, &time))
        .collect();
    let body = message("busy", events).to_string();
    assert!(body.len() > 1024 * 1024, "{}", body.len());
    let reply = poster
        .send("POST", "/api/events", "application/json", body.into_bytes())
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    eventually("all of them are on NATS", async || {
        let events = tripline.events("PROCESS_START").await;
        let pids: BTreeSet<u64> = events
            .iter()
            .filter_map(|event| event.data["pid"].as_u64())
            .collect();
        (pids.len() == 10_000 && events.len() == 10_000).then_some(())
    })
    .await;
    tripline.open_processes("busy", 10_000).await;

    // The longest texts there may be, in a message of more than a megabyte.
    let mut wordy = of_process("PROHIBITED_PROCESS", "wordy", 3, &time);
    wordy["text"] = "ä".repeat(2048).into();
    let events = (0..300).map(|pid| {
        let mut event = wordy.clone();
        event["pid"] = (pid + 1).into();
        event
    });
    let body = message("wordy", events.collect()).to_string();
    assert!(body.len() > 1024 * 1024, "{}", body.len());
    let reply = poster
        .send("POST", "/api/events", "application/json", body.into_bytes())
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let events = tripline.events_of("PROHIBITED_PROCESS", 300).await;
    assert_eq!(events[0].data["text"], wordy["text"], "kept and passed on");

    // More than is taken: refused whole, and told so.
    let too_many = (1..=20_001)
        .map(|pid| of_process("PROCESS_START", "greedy", pid, &time))
        .collect();
    let reply = poster.post(&message("greedy", too_many)).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let mut padded = message("greedy", Vec::new());
    padded["padding"] = "x".repeat(9 * 1024 * 1024).into();
    let reply = poster.post(&padded).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(
        tripline
            .hosts()
            .await
            .iter()
            .all(|host| host.hostname != "greedy")
    );
}

/// A pipeline answers no event that is older than an hour.
const TIMELY: &str = r#"
name: timely
on: [PROHIBITED_PROCESS]
job:
  steps:
    - id: look
      list_processes: {}
"#;

#[tokio::test]
async fn a_client_whose_clock_is_an_hour_off_still_trips_pipelines() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[TIMELY]).await;
    let clients = [("slow", -3700), ("fast", 3700)];
    for (name, off) in clients {
        poster
            .say(name, vec![event("START_CLIENT", name, &now(off))])
            .await;
    }
    // A client sends one message in each check interval; what follows at once could be older than it looks.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (name, off) in clients {
        poster
            .say(name, vec![of_process("PROHIBITED_PROCESS", name, 7, &now(off))])
            .await;
        let host = tripline.client(name).await.host_id;
        let event = tripline.event_of_host("PROHIBITED_PROCESS", host).await;
        let time = time::OffsetDateTime::parse(&event.time, &time::format_description::well_known::Rfc3339);
        let seconds = (time::OffsetDateTime::now_utc() - time.expect("a time")).whole_seconds();
        assert!(
            (0..1800).contains(&seconds),
            "{name}: {event:?} is {seconds} s old"
        );
        let job = eventually(&format!("a job on {name}"), async || {
            let jobs = tripline.jobs_of("timely").await;
            jobs.into_iter().find(|job| job.host.host_id == host)
        })
        .await;
        tripline.api().ended(job.job_id).await;
    }
    let dead = tripline.outside.dead_letters().await;
    assert!(
        dead.iter()
            .all(|letter| !letter.from.ends_with("PROHIBITED_PROCESS")),
        "{dead:?}"
    );
}

#[tokio::test]
async fn host_names_may_have_dots_spaces_and_any_letters() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    let names = [
        "host.with.dots.example",
        "living room",
        " leading and trailing ",
        "Küche-Ω-電腦",
        "UPPER",
        "upper",
        "a/b?c=d&e#f",
        "tripline.>.*",
        "../../etc",
        "\"quoted\"",
        "🦊",
    ];
    for (pid, name) in (1..).zip(names) {
        let reply = poster
            .say(name, vec![of_process("PROCESS_START", name, pid, &now(-5))])
            .await;
        assert_eq!(reply.got("UPDATE_CONFIG")[0]["hostname"], name, "who it is for");
    }
    let mut ids = BTreeSet::new();
    for (pid, name) in (1..).zip(names) {
        let host = tripline.open_processes(name, 1).await;
        assert_eq!(host.hostname, name);
        ids.insert(host.host_id);
        let started = tripline.events_of("PROCESS_START", pid).await;
        assert_eq!(
            (started.len(), started[0].host),
            (1, Some(host.host_id)),
            "{name}"
        );
        let processes = tripline.processes(host.host_id).await;
        assert_eq!(processes[0]["pid"], pid, "{name}");
    }
    assert_eq!(ids.len(), names.len(), "every name is a host of its own");
}

#[tokio::test]
async fn a_message_that_comes_again_makes_no_second_event() {
    let site = Site::new().await;
    let (tripline, poster) = scene(&site, &[]).await;
    let twice = vec![
        of_process("PROCESS_START", "h", 7, &now(-30)),
        of_process("PROHIBITED_PROCESS", "h", 8, &now(-30)),
    ];
    for _ in 0..3 {
        poster.say("h", twice.clone()).await;
    }
    poster
        .say("h", vec![of_process("PROCESS_START", "h", 9, &now(-5))])
        .await;
    tripline.events_of("PROCESS_START", 9).await;
    assert_eq!(tripline.events_of("PROCESS_START", 7).await.len(), 1);
    assert_eq!(tripline.events_of("PROHIBITED_PROCESS", 8).await.len(), 1);
    tripline.open_processes("h", 2).await;
}

#[tokio::test]
async fn the_listener_of_its_own_serves_the_dialect_and_nothing_else() {
    let site = Site::new().await;
    let address = format!("127.0.0.1:{}", free_port());
    let settings = Settings::of(&Person::new(&site)).with("listen", address.clone());
    let tripline = Tripline::start(&site, &settings, &[]).await;
    let poster = Poster::to_url(format!("http://{address}"));
    poster.say("h", vec![event("START_CLIENT", "h", &now(0))]).await;
    tripline.client("h").await;
    for path in [
        "/v1/hosts",
        "/v1/jobs",
        "/v1/tokens",
        "/metrics",
        "/healthz",
        "/readyz",
        "/v1/agent",
        "/",
    ] {
        let reply = poster.send("GET", path, "application/json", Vec::new()).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn the_desktop_app_learns_what_is_known() {
    let site = Site::new().await;
    let (_tripline, poster) = scene(&site, &[]).await;
    let status = async |name: &str| {
        poster
            .send("GET", &format!("/api/status?username={name}"), "", Vec::new())
            .await
    };
    let reply = status("amelie").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        json!([reply.body["username"], reply.body["logged_in"]]),
        json!(["amelie", false])
    );
    poster
        .say("h", vec![of_process("PROCESS_START", "h", 7, &now(-5))])
        .await;
    assert_eq!(status("amelie").await.body["logged_in"], true);
    assert_eq!(status("nobody").await.status, 404);
    let more = "/api/request-time-extension?username=amelie&secret=x&extension_length=10";
    let reply = poster.send("POST", more, "", Vec::new()).await;
    assert_eq!(reply.status, 416, "there is none to grant yet: {reply:?}");
}
