//! Hosts as sensors.

use crate::harness::SimulatedAgent;
use crate::scene::Scene;
use serde_json::{Value, json};
use uuid::Uuid;

/// A host that enrolled and has not been seen since.
async fn absent(scene: &Scene, token: &str, hostname: &str, addresses: &[&str]) {
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let request = json!({
        "install_id": Uuid::new_v4(), "hostname": hostname, "addresses": addresses, "platform": "linux",
        "arch": "x86_64", "key_sha256": key,
    });
    let api = scene.api().with_token(token);
    let answer = api.post("/v1/agent/enrol", &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_sensor_has_every_field_of_the_model_without_another_request() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            import datetime

            sensor = connect().select(Sensor).first()
            for field in Sensor._valid_fields:
                assert field in sensor._info, field
                getattr(sensor, field)
            assert not sensor._full_init, "nothing was asked for again"
            for time in ("last_checkin_time", "next_checkin_time", "registration_time", "last_update"):
                assert datetime.datetime.fromisoformat(sensor._info[time]).tzinfo, time
            assert sensor.last_checkin_time <= sensor.next_checkin_time
            int(sensor.num_storefiles_bytes) + int(sensor.num_eventlog_bytes)
            str(sensor), repr(sensor), sensor.webui_link
            assert [sensor.queued_stats, sensor.activity_stats, sensor.resource_status] == [[], [], []]
            assert all(adapter.ipaddr for adapter in sensor.network_interfaces)

            say([sensor.id, sensor.hostname, sensor.dns_name, sensor.status, sensor.os_type, sensor.supports_cblr])
            say([sensor.group.name, [other.id for other in sensor.group.sensors]])
            sensor.refresh()
            say([sensor.id, sensor.status])
            "#,
            json!({}),
        )
        .await;
    let host = scene.api().get("/v1/hosts/1").await.body;
    let name = &host["hostname"];
    assert_eq!(said[0], json!([1, name, name, "Online", 3, true]));
    assert_eq!(said[1], json!(["Default Group", [1]]));
    assert_eq!(said[2], json!([1, "Online"]));
}

#[tokio::test]
async fn sensors_are_found_by_name_address_and_group_and_are_offline_when_they_are() {
    let mut scene = Scene::start().await;
    let token = scene.api().enrol_token().await;
    absent(&scene, &token, "web10", &["10.1.0.10"]).await;
    absent(&scene, &token, "Web1", &["10.1.0.1", "192.168.7.7"]).await;
    absent(&scene, &token, "db", &["10.2.0.1"]).await;
    let text = r#"
        cb = connect()
        for query in ("hostname:web1", "hostname:db", "hostname:none", "ip:10.1.", "ip:10.1.0.1", "ip:192.168.7.7",
                      "groupid:1", "groupid:2"):
            found = cb.select(Sensor).where(query)
            first = found.first()
            say([query, [sensor.id for sensor in found], len(found), first and first.id])
        for query in ("name:web1", "color:red"):
            assert failure(cb.select(Sensor).where, query)["class"] == "ValueError"
        assert failure(cb.select(Sensor).where("ip:10.1.").where, "hostname:x")["class"] == "ApiError"
        assert cb.select(Sensor, 3).hostname == "Web1"
        "#;
    let said = scene.run(text, json!({})).await;
    let expected = [
        json!(["hostname:web1", [3, 2], 2, 3]),
        json!(["hostname:db", [4], 1, 4]),
        json!(["hostname:none", [], 0, null]),
        json!(["ip:10.1.", [3, 2], 2, 3]),
        json!(["ip:10.1.0.1", [3, 2], 2, 3]),
        json!(["ip:192.168.7.7", [3], 1, 3]),
    ];
    assert_eq!(said[..6], expected);
    assert_eq!(
        (&said[6][2], &said[7]),
        (&json!(4), &json!(["groupid:2", [], 0, null]))
    );

    let states =
        r#"say({sensor.id: [sensor.status, sensor.supports_cblr] for sensor in connect().select(Sensor)})"#;
    let never = json!(["Offline", false]);
    let expected = |first: Value| json!({"1": first, "2": never, "3": never, "4": never});
    assert_eq!(
        scene.ask(states, json!({})).await,
        expected(json!(["Online", true]))
    );
    let host = scene.agents[0].host_id().await;
    scene.agents[0].kill();
    scene.api().attached(host, false).await;
    assert_eq!(
        scene.ask(states, json!({})).await,
        expected(json!(["Offline", true]))
    );
}

#[tokio::test]
async fn many_pages_of_sensors_come_whole_and_in_order() {
    let scene = Scene::start_with(&[], 0).await;
    let token = scene.api().enrol_token().await;
    for number in 0..230 {
        SimulatedAgent::enrol(&scene.server, &token, &format!("host{:03}", (number * 7) % 230)).await;
    }
    let said = scene
        .run(
            r#"
            sensors = connect().select(Sensor)
            say(len(sensors))
            say([sensor.hostname for sensor in sensors])
            say([sensor.hostname for sensor in sensors[100:203]])
            say(sensors[229].hostname)
            say(sensors.first().hostname)
            "#,
            json!({}),
        )
        .await;
    let names = |range: std::ops::Range<usize>| {
        let names: Vec<String> = range.map(|number| format!("host{number:03}")).collect();
        json!(names)
    };
    assert_eq!(said[0], 230);
    assert_eq!(said[1], names(0..230));
    assert_eq!(said[2], names(100..203));
    assert_eq!((&said[3], &said[4]), (&json!("host229"), &json!("host000")));
}

#[tokio::test]
async fn a_change_that_tripline_does_not_make_is_refused_and_not_shown() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            from cbapi.response import SensorGroup

            cb = connect()
            sensor = cb.select(Sensor, 1)

            def change(field, value):
                setattr(sensor, field, value)
                sensor.save()

            changes = [
                (sensor.restart_sensor,),
                (change, "group_id", 2),
                (change, "notes", "seen"),
                (change, "uninstall", True),
            ]
            for call, *arguments in changes:
                error = failure(call, *arguments)
                say([error["class"], error["code"], error["text"]])
                sensor.refresh()
                sensor._dirty_attributes.clear()
            sensor.flush_events()
            say([sensor.is_isolating, sensor.network_isolation_enabled, sensor.restart_queued])
            say([group.name for group in cb.select(SensorGroup)])
            "#,
            json!({}),
        )
        .await;
    let words = ["restart", "the group", "notes", "uninstall"];
    for (said, word) in said.iter().zip(words) {
        assert_eq!(
            (&said[0], &said[1]),
            (&json!("ClientError"), &json!(403)),
            "{said}"
        );
        let text = said[2].as_str().expect("a text");
        assert!(
            text.contains(word) && text.contains("nothing was changed"),
            "{text}"
        );
    }
    assert_eq!(
        said[words.len()..],
        [json!([false, false, false]), json!(["Default Group"])]
    );
}

#[tokio::test]
async fn a_script_has_the_sensors_of_its_org_and_no_others() {
    let scene = Scene::start().await;
    let api = scene.api();
    let token = async |role: &str, org: &str| {
        api.create_token(json!({"name": role, "role": role, "org": org}))
            .await
    };
    absent(&scene, &token("enrol", "acme").await, "elsewhere", &[]).await;
    let text = r#"
        cb = connect()
        say([sensor.id for sensor in cb.select(Sensor)])
        error = failure(getattr, cb.select(Sensor, given.foreign), "status")
        say(error["class"])
        say(failure(cb.live_response.request_session, given.foreign)["class"])
        "#;
    let refused = json!("ObjectNotFoundError");
    for (org, own, foreign) in [("default", 1, 2), ("acme", 2, 1)] {
        let given = json!({"foreign": foreign, "token": token("operator", org).await});
        let said = scene.run(text, given).await;
        assert_eq!(said, [json!([own]), refused.clone(), refused.clone()], "{org}");
    }
    scene.api().all_slots_free().await;
}
