//! `Sensor.isolate()` and `unisolate()`, which put what they want and ask until it is so.

use crate::harness::scripted::Persona;
use crate::scene::Scene;
use serde_json::json;
use tripline_protocol::verb::{Verb, VerbCall};

#[tokio::test]
async fn a_sensor_is_isolated_and_released_and_its_object_is_true_to_that() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::linux("web01")).await;
    let said = scene
        .run(
            r#"
            sensor = connect().select(Sensor).first()
            fields = lambda: [sensor.supports_isolation, sensor.network_isolation_enabled, sensor.is_isolating]
            say(fields())
            say(sensor.isolate(60))
            say(fields())
            sensor.flush_events()
            say(sensor.unisolate(60))
            say(fields())
            "#,
            json!({}),
        )
        .await;
    assert_eq!(
        said,
        [
            json!([true, false, false]),
            json!(true),
            json!([true, true, true]),
            json!(true),
            json!([true, false, false]),
        ]
    );
    let commands = agent.seen().commands;
    let verbs: Vec<Verb> = commands.iter().map(VerbCall::verb).collect();
    assert_eq!(
        verbs,
        [Verb::Isolate, Verb::Unisolate],
        "a change that is none does nothing"
    );
    let Some(VerbCall::Isolate(isolate)) = commands.first() else {
        panic!("not isolate");
    };
    assert_eq!(
        (isolate.span().to_string(), isolate.persist),
        ("30d".to_owned(), true)
    );
}

#[tokio::test]
async fn what_was_asked_of_a_sensor_that_is_away_is_shown_until_it_has_happened() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::linux("web01")).await;
    agent.leave();
    scene.api().attached(agent.host_id(), false).await;
    let said = scene
        .run(
            r#"
            sensor = connect().select(Sensor, 1)
            say(failure(sensor.isolate, 2)["class"])
            sensor.refresh()
            say([sensor.network_isolation_enabled, sensor.is_isolating])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, [json!("TimeoutError"), json!([true, false])]);
    agent.come_back();
    let said = scene
        .run(
            r#"
            import time

            sensor = connect().select(Sensor, 1)
            while not sensor.is_isolating:
                time.sleep(0.1)
                sensor.refresh()
            say([sensor.network_isolation_enabled, sensor.is_isolating])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, [json!([true, true])]);
}

#[tokio::test]
async fn a_sensor_that_cannot_be_isolated_says_so() {
    let scene = Scene::start_with(&[], 0).await;
    let persona = Persona::linux("web01").with_verbs(&[Verb::ListProcesses]);
    let _agent = scene.add_scripted(persona).await;
    let said = scene
        .run(
            r#"
            sensor = connect().select(Sensor, 1)
            say(sensor.supports_isolation)
            error = failure(sensor.isolate, 60)
            say([error["code"], error["text"]])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said[0], json!(false));
    assert_eq!(said[1][0], json!(403));
    assert!(
        said[1][1]
            .as_str()
            .expect("a text")
            .contains("does not offer to isolate"),
        "{said:?}"
    );
}
