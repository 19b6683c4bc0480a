//! What services are told of an event: as which etype, and with which data.

use super::record::{EventRecord, Sensor};
use serde_json::{Map, Value, json};
use tripline_protocol::Event;
use tripline_protocol::limacharlie::{Routing, ServiceEtype, detection_record, oid};

/// What an event is to services; `None`: none of their business. An event of another type that has a `cat` is a
/// detection.
pub(crate) fn etype(event: &Event) -> Option<ServiceEtype> {
    use ServiceEtype::{DeploymentEvent, Detection, LogEvent, NewSensor, Tick};
    match event.etype.as_str().parse() {
        Ok(etype @ (Detection | DeploymentEvent | LogEvent | NewSensor | Tick(..))) => Some(etype),
        // The others are calls and no news.
        Ok(_) => None,
        Err(()) => event.data.get("cat")?.as_str().map(|_| Detection),
    }
}

/// The name of a detection.
pub(crate) fn cat(event: &Event) -> &str {
    let cat = event.data.get("cat").and_then(Value::as_str);
    cat.unwrap_or_else(|| event.etype.as_str())
}

/// The `data` of the call.
pub(crate) fn data(record: &EventRecord, etype: ServiceEtype) -> Value {
    match etype {
        ServiceEtype::Detection => detection(record),
        ServiceEtype::Tick(tripline_protocol::limacharlie::TickScope::Once, _) => json!({}),
        _ => record.event.data.clone(),
    }
}

fn detection(EventRecord { event, sensor }: &EventRecord) -> Value {
    let empty = Map::new();
    let given = event.data.as_object().unwrap_or(&empty);
    let of_detect = |key: &str| given.get("detect").and_then(|detect| detect.get(key));
    let payload = of_detect("event")
        .or_else(|| given.get("detect"))
        .or_else(|| given.get("event"))
        .or_else(|| given.get("data"))
        .unwrap_or(&event.data);
    let key = event.key.to_string();
    let id = given.get("detect_id").and_then(Value::as_str).unwrap_or(&key);
    let rest = given
        .iter()
        .filter(|(key, _)| !["detect", "routing"].contains(&key.as_str()));
    let rest = rest.map(|(key, value)| (key.clone(), value.clone())).collect();
    detection_record(
        cat(event),
        id,
        &routing(event, sensor.as_ref(), given),
        payload,
        &rest,
    )
}

/// Where it happened: what is known here of the host comes first, then what the detection says.
fn routing(event: &Event, sensor: Option<&Sensor>, given: &Map<String, Value>) -> Routing {
    let places = [
        given.get("routing"),
        given.get("detect").and_then(|detect| detect.get("routing")),
    ];
    let places = places.map(|place| place.and_then(Value::as_object));
    let told = |key: &str| {
        let mut found = places.into_iter().flatten();
        let found = found.find_map(|place| place.get(key)?.as_str());
        found.map(str::to_owned)
    };
    // Where both say something, the first counts.
    let mut more = Map::new();
    for place in places.into_iter().flatten().rev() {
        more.extend(place.clone());
    }
    let known = |of: fn(&Sensor) -> &String| {
        sensor
            .map(|sensor| of(sensor).clone())
            .filter(|text| !text.is_empty())
    };
    Routing {
        oid: oid(&event.org).to_string(),
        sid: sensor
            .map(|sensor| sensor.host_id.to_string())
            .or_else(|| told("sid")),
        hostname: known(|sensor| &sensor.hostname).or_else(|| told("hostname")),
        ext_ip: told("ext_ip"),
        int_ip: told("int_ip").or_else(|| sensor.and_then(|sensor| sensor.int_ip.clone())),
        plat: known(|sensor| &sensor.platform).or_else(|| told("plat")),
        arch: known(|sensor| &sensor.arch).or_else(|| told("arch")),
        tags: match sensor {
            Some(sensor) => sensor.labels.clone(),
            None => texts(more.get("tags")),
        },
        event_type: told("event_type").unwrap_or_else(|| event.etype.to_string()),
        event_time: event.time.as_micros() / 1_000,
        investigation_id: told("investigation_id").or_else(|| {
            let top = given.get("investigation_id").and_then(Value::as_str);
            top.map(str::to_owned)
        }),
        more,
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::{Attestation, EventKey, HostId, Org, Timestamp};
    use uuid::Uuid;

    fn event(etype: &str, data: Value) -> Event {
        let org = Org::default_org();
        Event {
            key: EventKey::derive(&org, "test", "1"),
            id: "1".into(),
            org,
            source: "test".into(),
            etype: etype.parse().unwrap(),
            host: None,
            time: Timestamp::from_micros(1_500_000),
            data,
            attested_by: Attestation::Publisher,
            depth: 0,
            traceparent: None,
        }
    }

    fn sensor() -> Sensor {
        Sensor {
            host_id: HostId(Uuid::from_u128(7)),
            hostname: "amelie".into(),
            platform: "linux".into(),
            arch: "x86_64".into(),
            int_ip: Some("10.0.0.7".into()),
            labels: vec!["dmz".into()],
        }
    }

    #[test]
    fn news_are_told_and_calls_are_not() {
        for (word, is_news) in [
            ("detection", true),
            ("new_sensor", true),
            ("deployment_event", true),
            ("log_event", true),
            ("once_per_1h", true),
            ("sensor_per_30d", true),
            ("health", false),
            ("org_install", false),
            ("org_uninstall", false),
            ("request", false),
            ("get_resource", false),
            ("service_error", false),
            ("acme.alert", false),
        ] {
            assert_eq!(etype(&event(word, json!({}))).is_some(), is_news, "{word}");
        }
        let other = event("acme.alert", json!({ "cat": "miner" }));
        assert_eq!(
            (etype(&other), cat(&other)),
            (Some(ServiceEtype::Detection), "miner")
        );
        let named_by_type = event("detection", json!({ "cat": 7 }));
        assert_eq!(cat(&named_by_type), "detection");
    }

    #[test]
    fn a_detection_has_what_services_of_both_eras_read() {
        let said =
            json!({ "cat": "miner", "priority": 3, "data": { "pid": 42 }, "investigation_id": "svc-x-ex/1" });
        let record = EventRecord {
            event: event("detection", said),
            sensor: Some(sensor()),
        };
        let told = data(&record, ServiceEtype::Detection);
        assert_eq!((&told["cat"], &told["priority"]), (&json!("miner"), &json!(3)));
        assert_eq!(told["detect"]["event"], json!({ "pid": 42 }));
        for routing in [&told["routing"], &told["detect"]["routing"]] {
            assert_eq!(routing["sid"], json!(HostId(Uuid::from_u128(7)).to_string()));
            assert_eq!(routing["hostname"], json!("amelie"));
            assert_eq!(routing["int_ip"], json!("10.0.0.7"));
            assert_eq!(routing["tags"], json!(["dmz"]));
            assert_eq!(routing["investigation_id"], json!("svc-x-ex/1"));
            assert_eq!(routing["event_time"], json!(1_500));
            let oid = routing["oid"].as_str().unwrap();
            assert!(Uuid::parse_str(oid).is_ok(), "{oid}");
        }
    }

    #[test]
    fn a_detection_of_limacharlie_keeps_what_it_says() {
        let said = json!({
            "cat": "c", "detect_id": "d", "link": "l", "namespace": "managed",
            "routing": { "sid": "s", "iid": "i" },
            "detect": { "event": { "a": 1 }, "routing": {
                "sid": "t", "ext_ip": "1.2.3.4", "event_type": "NEW_PROCESS", "tags": ["vip"],
                "moduleid": 2, "parent": { "atom": "p" },
            } },
        });
        let record = EventRecord {
            event: event("detection", said),
            sensor: None,
        };
        let told = data(&record, ServiceEtype::Detection);
        assert_eq!(told["detect_id"], json!("d"));
        assert_eq!(
            (&told["link"], &told["namespace"]),
            (&json!("l"), &json!("managed"))
        );
        assert_eq!(told["detect"]["event"], json!({ "a": 1 }));
        let routing = &told["routing"];
        assert_eq!(
            (&routing["sid"], &routing["ext_ip"]),
            (&json!("s"), &json!("1.2.3.4"))
        );
        assert_eq!(routing["event_type"], json!("NEW_PROCESS"));
        // Also what nobody here knows.
        assert_eq!(
            (&routing["iid"], &routing["moduleid"], &routing["parent"]),
            (&json!("i"), &json!(2), &json!({ "atom": "p" }))
        );
        assert_eq!(routing["tags"], json!(["vip"]));
        assert_eq!(told["detect"]["routing"], *routing);
    }

    #[test]
    fn a_tick_of_the_service_alone_says_nothing() {
        let record = EventRecord {
            event: event("once_per_1h", json!({ "service": "x" })),
            sensor: None,
        };
        let etype = etype(&record.event).unwrap();
        assert_eq!(data(&record, etype), json!({}));
    }
}
