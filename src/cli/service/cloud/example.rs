//! Data that real clouds send with each etype, about a sensor that does not exist.

use serde_json::{Map, Value, json};
use tripline_protocol::limacharlie::{
    GetResource, Mtd, Parameter, ParameterKind, ResourceNames, Routing, ServiceEtype, TickScope,
    detection_record,
};

/// A sensor of nobody's.
const SENSOR: &str = "5f8d1f2e-0000-4000-8000-000000000000";
const HOSTNAME: &str = "tripline-service-test";
/// Addresses that are set aside for examples.
const EXT_IP: &str = "192.0.2.7";
const INT_IP: &str = "198.51.100.7";
const EVENT_TIME: i64 = 1_700_000_000_000;
const NAME: &str = "tripline-service-test";

/// Data of a call.
pub(super) fn example(etype: ServiceEtype, mtd: &Mtd, oid: &str) -> Value {
    match etype {
        ServiceEtype::Detection => detection(mtd, oid),
        ServiceEtype::Request => parameters(mtd),
        ServiceEtype::Command => command(mtd),
        ServiceEtype::GetResource => json!(GetResource {
            resource: ResourceNames::One(NAME.to_owned()),
            is_include_data: false,
        }),
        ServiceEtype::DeploymentEvent => json!({
            "routing": sensor_routing(oid, "enrollment"),
            "event": {"public_ip": EXT_IP, "internal_ip": INT_IP, "hostname": HOSTNAME},
        }),
        ServiceEtype::LogEvent => json!({
            "routing": {"oid": oid, "log_id": NAME, "log_type": "txt", "event_type": "ingest", "event_time": EVENT_TIME},
            "event": {"size": 5, "source": SENSOR, "original_path": "/var/log/example", "original_md5": "5d41402abc4b2a76b9719d911017c592"},
        }),
        ServiceEtype::NewSensor => json!({
            "sid": SENSOR, "hostname": HOSTNAME, "ext_ip": EXT_IP, "int_ip": INT_IP, "platform": "linux", "architecture": "x64",
        }),
        ServiceEtype::ServiceError => json!({"error": "made up by tripline service test"}),
        ServiceEtype::Tick(TickScope::Sensor, _) => json!({"sid": SENSOR}),
        ServiceEtype::Health
        | ServiceEtype::OrgInstall
        | ServiceEtype::OrgUninstall
        | ServiceEtype::Tick(TickScope::Org | TickScope::Once, _) => json!({}),
    }
}

/// One of the detections that the service subscribed to.
fn detection(mtd: &Mtd, oid: &str) -> Value {
    let routing = Routing {
        oid: oid.to_owned(),
        sid: Some(SENSOR.to_owned()),
        hostname: Some(HOSTNAME.to_owned()),
        ext_ip: Some(EXT_IP.to_owned()),
        int_ip: Some(INT_IP.to_owned()),
        plat: Some("linux".to_owned()),
        arch: Some("x64".to_owned()),
        tags: vec!["test".to_owned()],
        event_type: "NEW_PROCESS".to_owned(),
        event_time: EVENT_TIME,
        investigation_id: None,
        more: Map::new(),
    };
    let cat = mtd.detect_subscriptions.first().map_or(NAME, String::as_str);
    let event = json!({"FILE_PATH": "/usr/bin/example", "PROCESS_ID": 4_194_303, "COMMAND_LINE": "example"});
    detection_record(cat, NAME, &routing, &event, &Map::new())
}

fn sensor_routing(oid: &str, event_type: &str) -> Value {
    json!({
        "oid": oid, "sid": SENSOR, "event_type": event_type, "event_time": EVENT_TIME, "hostname": HOSTNAME,
        "ext_ip": EXT_IP, "int_ip": INT_IP, "plat": "linux", "arch": "x64", "tags": [],
    })
}

/// A value for each parameter that the service defines.
fn parameters(mtd: &Mtd) -> Value {
    let given = mtd
        .request_params
        .iter()
        .map(|(name, parameter)| (name.clone(), value(parameter)));
    Value::Object(given.collect())
}

fn value(parameter: &Parameter) -> Value {
    match parameter.kind {
        ParameterKind::Int => json!(1),
        ParameterKind::Bool => json!(true),
        ParameterKind::Uuid | ParameterKind::Sid => json!(SENSOR),
        ParameterKind::Enum => json!(parameter.values.first()),
        ParameterKind::Str | ParameterKind::Other => json!("test"),
    }
}

/// A value that the parameter cannot have, where there is one.
pub(super) fn wrong_value(parameter: &Parameter) -> Option<Value> {
    match parameter.kind {
        ParameterKind::Str | ParameterKind::Enum | ParameterKind::Uuid | ParameterKind::Sid => Some(json!(1)),
        ParameterKind::Int | ParameterKind::Bool => Some(json!("test")),
        ParameterKind::Other => None,
    }
}

fn command(mtd: &Mtd) -> Value {
    let name = mtd.commands.keys().next().map_or(NAME, String::as_str);
    json!({"command_name": name, "rid": NAME, "cid": NAME, "ssid": NAME})
}
