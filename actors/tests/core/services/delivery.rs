//! What becomes of events that services want.

use super::*;
use tripline_actors::store::Table;
use tripline_protocol::api::{Breaker, ServiceState};
use tripline_protocol::subject::HEADER_DEAD_TEXT;

#[actix::test]
async fn a_detection_is_delivered_once_with_a_token_and_nothing_is_left_of_it() {
    let caller = ScriptedCaller::wanting(&["detection"], &["miner"]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    let events = [
        detection("miner", 1),
        detection("other", 2),
        ("new_sensor", json!({})),
    ];
    publish(&fixture, 1, &events).await.unwrap();
    // The broker delivers it again: it was not acked.
    publish(&fixture, 1, &events).await.unwrap();
    let calls = caller.called("detection", 1).await;
    let name = "yara".parse().unwrap();
    let view = view_when(&fixture, &name, |view| view.delivered == 1).await;
    assert_eq!((view.waiting, view.calls, view.given_up), (0, 0, 0));
    assert_eq!(caller.calls("detection").len(), 1);
    assert_eq!(caller.calls("new_sensor"), []);
    let call = &calls[0];
    assert_eq!(call.data["cat"], "miner");
    assert_eq!(call.data["detect"]["event"], json!({ "n": 1 }));
    assert_eq!(call.jwt.as_ref().map(Jwt::reveal), Some("yara/default/0"));
    assert!(
        call.oid
            .as_ref()
            .is_some_and(|oid| uuid::Uuid::parse_str(oid).is_ok())
    );
    assert!(call.deadline > Some(fixture.now()));
    let health = &caller.calls("health")[0];
    assert_eq!((&health.oid, &health.jwt), (&None, &None));
    for table in [
        Table::ServiceDelivery,
        Table::ServiceEvent,
        Table::ServiceEventUse,
    ] {
        assert_eq!(fixture.rows(table), 0, "{table:?}");
    }
}

#[actix::test]
async fn what_failed_is_delivered_again_with_the_same_mid_after_a_restart_too() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    caller.says("detection", vec![again()]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    caller.called("detection", 1).await;
    fixture.advance(2);
    caller.called("detection", 2).await;
    let fixture = fixture.restart().await;
    caller.says("detection", vec![done()]);
    join(&fixture, &caller).await;
    fixture.advance(600);
    let calls = caller.called("detection", 3).await;
    assert!(
        calls
            .iter()
            .all(|call| call.mid == calls[0].mid && call.mid.is_some()),
        "{calls:?}"
    );
    let name = "yara".parse().unwrap();
    view_when(&fixture, &name, |view| view.waiting == 0).await;
    // Known from before the restart: nothing is forgotten of what it wants.
    publish(&fixture, 2, &[detection("c", 2)]).await.unwrap();
    caller.called("detection", 4).await;
    view_when(&fixture, &name, |view| view.waiting == 0).await;
}

#[actix::test]
async fn a_message_that_is_given_up_becomes_a_dead_letter_and_news_to_the_service() {
    let caller = ScriptedCaller::wanting(&["detection", "service_error"], &["c"]);
    caller.says("detection", vec![again()]);
    caller.says("service_error", vec![Err(CallFailure::Status(413))]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({ "attempts": 2 })).await;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    caller.called("detection", 1).await;
    fixture.advance(2);
    let letters = fixture.published(".dead.default.service_gave_up", 1).await;
    let payload: Value = serde_json::from_slice(&letters[0].payload).unwrap();
    assert_eq!(payload["data"]["cat"], "c");
    let news = caller.called("service_error", 1).await;
    assert_eq!(news[0].data["error"], "later");
    assert_eq!(news[0].data["mid"], json!(caller.calls("detection")[0].mid));
    let name = "yara".parse().unwrap();
    let view = view_when(&fixture, &name, |view| view.given_up == 2).await;
    assert_eq!(view.waiting, 0);
    assert_eq!(caller.calls("service_error").len(), 1, "no news about news");
}

#[actix::test]
async fn news_of_a_message_that_is_given_up_are_as_deep_as_the_message() {
    let caller = ScriptedCaller::wanting(&["detection", "request", "service_error"], &["c"]);
    for etype in ["detection", "request"] {
        caller.says(etype, vec![Err(CallFailure::Status(413))]);
    }
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({})).await.spec.name;
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "s", "type": "detection", "tripdepth": 3, "data": { "cat": "c" },
    });
    publish(&fixture, 1, &[("detection", event)]).await.unwrap();
    caller.called("service_error", 1).await;
    let asked = serde_json::from_value(json!({ "params": {} })).unwrap();
    fixture.core.deep(4).ask_service(name, asked, None).await.unwrap();
    let news = caller.called("service_error", 2).await;
    let depths: Vec<_> = news
        .iter()
        .map(|call| (call.tripdepth, call.jwt.as_ref().map(Jwt::reveal)))
        .collect();
    assert_eq!(
        depths,
        [
            (Some(3), Some("yara/default/3")),
            (Some(5), Some("yara/default/5"))
        ]
    );
}

#[actix::test]
async fn a_service_that_hangs_delays_no_other() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "hanging", json!({ "in_flight": 2 })).await;
    register(&fixture, "well", json!({})).await;
    caller.hang("hanging");
    let events: Vec<_> = (0..50).map(|n| detection("c", n)).collect();
    publish(&fixture, 1, &events).await.unwrap();
    let well = "well".parse().unwrap();
    view_when(&fixture, &well, |view| view.delivered == 50).await;
    let hanging = "hanging".parse().unwrap();
    let view = fixture.core.get_service(None, hanging).await.unwrap();
    assert_eq!((view.waiting, view.delivered), (50, 0));
    // All are about the org and no sensor: one after the other.
    assert_eq!(caller.calls_of("hanging", "detection"), 1);
    assert_eq!(
        fixture.rows(Table::ServiceEvent),
        50,
        "kept once, for who waits for it"
    );
    assert_eq!(fixture.rows(Table::ServiceEventUse), 50);
}

#[actix::test]
async fn beyond_the_bound_of_a_queue_events_are_dead_letters_and_others_get_them() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "small", json!({ "queue_max": 3 })).await;
    register(&fixture, "well", json!({})).await;
    caller.hang("small");
    let events: Vec<_> = (0..5).map(|n| detection("c", n)).collect();
    publish(&fixture, 1, &events).await.unwrap();
    let letters = fixture.published(".dead.default.service_queue_full", 2).await;
    let text = letters[0]
        .headers
        .iter()
        .find(|(name, _)| name == HEADER_DEAD_TEXT);
    assert!(
        text.is_some_and(|(_, text)| text.contains("small") && !text.contains("well")),
        "{text:?}"
    );
    let well = "well".parse().unwrap();
    view_when(&fixture, &well, |view| view.delivered == 5).await;
    let small = "small".parse().unwrap();
    assert_eq!(fixture.core.get_service(None, small).await.unwrap().waiting, 3);
    assert_eq!(fixture.publisher.with("service_queue_full").len(), 2);
}

#[actix::test]
async fn a_dead_service_is_left_alone_until_its_health_is_back_and_then_gets_all() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    caller.says("detection", vec![reset()]);
    caller.says("health", vec![reset()]);
    let name: Name = "yara".parse().unwrap();
    let events: Vec<_> = (0..8)
        .map(|n| {
            (
                "detection",
                json!({ "cat": "c", "sid": uuid::Uuid::from_u128(n), "n": n as u64 }),
            )
        })
        .collect();
    publish(&fixture, 1, &events).await.unwrap();
    let view = view_when(&fixture, &name, |view| view.state == ServiceState::Down).await;
    assert_eq!((view.breaker, view.waiting), (Breaker::Open, 8));
    let failure = view.last_failure.unwrap();
    assert!(failure.text.contains("reset"), "{failure:?}");
    let tried = caller.calls("detection").len();
    for _ in 0..5 {
        let asked = caller.calls("health").len();
        fixture.advance(300);
        caller.called("health", asked + 1).await;
        // What was answered is heard before the clock goes on: the next time counts from then.
        let now = fixture.now();
        let heard = |view: &ServiceView| {
            view.last_failure
                .as_ref()
                .is_some_and(|failure| failure.at == now)
        };
        view_when(&fixture, &name, heard).await;
    }
    assert_eq!(
        caller.calls("detection").len(),
        tried,
        "only its health is asked for"
    );
    caller.says("detection", vec![done()]);
    caller.says("health", vec![Ok(health(&["detection"], &["c"]))]);
    fixture.advance(300);
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!((view.breaker, view.state), (Breaker::Closed, ServiceState::Up));
    assert_eq!(view.delivered, 8);
}

#[actix::test]
async fn a_wrong_secret_holds_everything_until_it_is_right() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    caller.says("detection", vec![Err(CallFailure::Status(401)), done()]);
    caller.says("health", vec![Err(CallFailure::Status(401))]);
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    let name: Name = "yara".parse().unwrap();
    let view = view_when(&fixture, &name, |view| view.state == ServiceState::Misconfigured).await;
    assert_eq!(view.waiting, 1);
    caller.says("health", vec![Ok(health(&["detection"], &["c"]))]);
    fixture
        .core
        .change_service(body("yara", json!({ "secret": "right" })))
        .await
        .unwrap();
    let view = view_when(&fixture, &name, |view| view.waiting == 0).await;
    assert_eq!((view.state, view.delivered), (ServiceState::Up, 1));
    assert_eq!(
        caller
            .calls
            .lock()
            .unwrap()
            .last()
            .map(|call| call.secret.reveal().to_owned()),
        Some("right".into())
    );
}

#[actix::test]
async fn an_event_that_is_too_old_is_no_service_s() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let fixture = start(&caller).await;
    register(&fixture, "yara", json!({})).await;
    let old = fixture.now();
    fixture.advance(7_200);
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "s", "type": "detection", "time": old, "data": { "cat": "c" },
    });
    publish(&fixture, 1, &[("detection", event)]).await.unwrap();
    fixture.published(".dead.default.stale", 1).await;
    assert_eq!(caller.calls("detection"), []);
}

#[actix::test]
async fn a_tick_of_a_service_alone_is_about_no_org_and_no_other_s() {
    let caller = ScriptedCaller::wanting(&["once_per_1h"], &[]);
    let fixture = start(&caller).await;
    register(&fixture, "one", json!({ "orgs": ["acme"] })).await;
    register(&fixture, "two", json!({})).await;
    let tick = |source: &str| {
        let data = json!({ "service": "one" });
        json!({ "specversion": "1.0", "id": "t", "source": source, "type": "once_per_1h", "data": data })
    };
    let ticks = [
        ("once_per_1h", tick("somebody")),
        ("once_per_1h", tick("tripline/timekeeper")),
    ];
    publish(&fixture, 1, &ticks).await.unwrap();
    let calls = caller.called("once_per_1h", 1).await;
    assert_eq!(
        (&calls[0].oid, &calls[0].jwt, &calls[0].data),
        (&None, &None, &json!({}))
    );
    let one = "one".parse().unwrap();
    view_when(&fixture, &one, |view| view.delivered == 1).await;
    assert_eq!(caller.calls_of("two", "once_per_1h"), 0);
}

#[actix::test]
async fn secret_and_tokens_that_a_service_repeats_are_shown_to_nobody() {
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOiJkIn0.c2ln";
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let said = format!("{} s3cr3t and {TOKEN}", "x".repeat(480));
    caller.says(
        "detection",
        vec![Ok(json!({ "success": false, "retry": true, "error": said }))],
    );
    let fixture = start(&caller).await;
    let name = register(&fixture, "yara", json!({ "attempts": 1 }))
        .await
        .spec
        .name;
    publish(&fixture, 1, &[detection("c", 1)]).await.unwrap();
    let letters = fixture.published(".dead.default.service_gave_up", 1).await;
    let view = view_when(&fixture, &name, |view| view.last_failure.is_some()).await;
    let shown = format!("{view:?} {:?}", letters[0].headers);
    assert!(view.last_failure.unwrap().text.starts_with("xxx"));
    for hidden in ["s3cr3t", "s3cr", "eyJ"] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
}
