//! A host as a sensor object: every field that `cbapi` knows of one, with a value it can work with. What
//! Tripline does not know is empty, zero or false, never absent: for an absent field the client asks again.

use super::info::GROUP_ID;
use serde_json::{Value, json};
use tripline_protocol::api::HostView;
use tripline_protocol::{Span, Timestamp};

/// How often a sensor says that it is there.
const CHECKIN: Span = Span::from_secs(15);

/// Whether it is connected now.
pub(super) fn is_online(host: &HostView) -> bool {
    !host.attachments.is_empty()
}

/// A host that offers something, or did when it was last there. One that was only ever heard of by name
/// never had live response.
pub(super) fn has_live_response(host: &HostView) -> bool {
    let offers = host
        .attachments
        .iter()
        .any(|attachment| !attachment.verbs.is_empty());
    offers || !host.agent_version.is_empty() || host.littlebrother.is_some()
}

/// 1 is Windows to the client, and everything else has paths with slashes.
fn os_type(host: &HostView) -> u32 {
    match host.platform.as_str() {
        "windows" => 1,
        "macos" => 2,
        _ => 3,
    }
}

fn os_text(host: &HostView) -> &str {
    match host.os_version.as_str() {
        "" => &host.platform,
        text => text,
    }
}

/// `address,hardware address|`; the second is not known.
fn adapters(host: &HostView) -> String {
    let mut text = String::new();
    for address in &host.addresses {
        text.push_str(address);
        text.push_str(",000000000000|");
    }
    text
}

/// The object.
pub(super) fn object(host: &HostView, now: Timestamp) -> Value {
    let online = is_online(host);
    let last_seen = if online { now } else { host.last_seen_at };
    let connected = host.attachments.iter().map(|attachment| attachment.since).min();
    let uptime = connected.map_or(0, |since| now.since(since).as_millis() / 1000);
    let mut object = identity(host);
    let more = json!({
        "status": if online { "Online" } else { "Offline" },
        "supports_cblr": has_live_response(host),
        "supports_isolation": super::isolation::can_be_isolated(host),
        "supports_2nd_gen_modloads": false,
        "is_isolating": host.isolation.is_some(),
        "network_isolation_enabled": host.isolation.is_some(),
        "group_id": GROUP_ID,
        "notes": "",
        "uninstall": false,
        "uninstalled": false,
        "restart_queued": false,
        "event_log_flush_time": null,
        "registration_time": host.created_at.to_string(),
        "last_checkin_time": last_seen.to_string(),
        "last_update": last_seen.to_string(),
        "next_checkin_time": last_seen.after(CHECKIN).to_string(),
        "license_expiration": "1990-01-01T00:00:00Z",
        "sensor_health_message": if online { "Healthy" } else { "Not connected" },
        "sensor_health_status": if online { 100 } else { 0 },
        "sensor_uptime": uptime,
        "uptime": uptime,
        "clock_delta": 0,
        "power_state": 0,
        "display": true,
    });
    if let (Value::Object(object), Value::Object(more), Value::Object(unknown)) =
        (&mut object, more, not_known())
    {
        object.extend(more);
        object.extend(unknown);
    }
    object
}

fn identity(host: &HostView) -> Value {
    json!({
        "id": host.sensor_id,
        "computer_name": host.hostname,
        "computer_dns_name": host.hostname,
        "computer_sid": host.host_id.to_string(),
        "network_adapters": adapters(host),
        "os_type": os_type(host),
        "os_environment_display_string": os_text(host),
        "os_environment_id": os_type(host),
        "build_version_string": host.agent_version,
        "build_id": 0,
        "node_id": 0,
        "shard_id": 0,
        "cookie": 0,
        "boot_id": "0",
        "parity_host_id": "0",
    })
}

/// Sizes that the client sums up are texts of digits. Nothing waits at a sensor: what it has to tell it tells.
fn not_known() -> Value {
    json!({
        "num_eventlog_bytes": "0",
        "num_storefiles_bytes": "0",
        "systemvolume_total_size": "0",
        "systemvolume_free_size": "0",
        "physical_memory_size": 0,
        "emet_telemetry_path": "",
        "emet_version": "",
        "emet_dump_flags": "",
        "emet_report_setting": "",
        "emet_process_count": 0,
        "emet_is_gpo": false,
        "emet_exploit_action": "",
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;
    use tripline_protocol::api::AttachmentView;
    use tripline_protocol::verb::Verb;

    fn now() -> Timestamp {
        "2026-11-20T14:00:00Z".parse().expect("a time")
    }

    fn attached(verbs: Vec<Verb>) -> HostView {
        let mut host = host(7, "pc");
        host.attachments = vec![AttachmentView {
            kind: "littlebrother".into(),
            verbs,
            since: now().before(Span::from_secs(90)),
            epoch: 1,
        }];
        host
    }

    /// An absent field costs the client a request, and some of its scripts an exception.
    #[test]
    fn every_field_that_clients_know_is_there() {
        let sensor = object(&host(7, "pc"), now());
        let fields = sensor.as_object().expect("an object");
        for field in "systemvolume_total_size emet_telemetry_path os_environment_display_string emet_version \
                      emet_dump_flags clock_delta supports_cblr sensor_uptime last_update physical_memory_size \
                      build_id uptime is_isolating event_log_flush_time computer_dns_name emet_report_setting id \
                      emet_process_count emet_is_gpo power_state network_isolation_enabled uninstalled \
                      systemvolume_free_size status num_eventlog_bytes sensor_health_message \
                      build_version_string computer_sid next_checkin_time node_id cookie emet_exploit_action \
                      computer_name license_expiration supports_isolation parity_host_id \
                      supports_2nd_gen_modloads network_adapters sensor_health_status registration_time \
                      restart_queued notes num_storefiles_bytes os_environment_id shard_id boot_id \
                      last_checkin_time os_type group_id display uninstall"
            .split_whitespace()
        {
            assert!(fields.contains_key(field), "{field}");
        }
        assert_eq!(fields["num_eventlog_bytes"], "0");
        assert_eq!(fields["next_checkin_time"], "1970-01-01T00:00:16.5Z");
    }

    #[test]
    fn a_host_is_online_while_it_is_attached() {
        let sensor = object(&attached(vec![Verb::KillProcess]), now());
        assert_eq!(
            (&sensor["status"], &sensor["sensor_uptime"]),
            (&json!("Online"), &json!(90))
        );
        assert_eq!(sensor["last_checkin_time"], "2026-11-20T14:00:00Z");
        assert_eq!(object(&host(7, "pc"), now())["status"], "Offline");
    }

    #[test]
    fn a_host_that_never_offered_anything_has_no_live_response() {
        let mut known = host(7, "pc");
        assert!(!has_live_response(&known));
        assert!(!has_live_response(&attached(Vec::new())));
        assert!(has_live_response(&attached(vec![Verb::KillProcess])));
        known.agent_version = "0.1.0".into();
        assert!(has_live_response(&known));
    }

    #[test]
    fn only_windows_has_the_number_of_windows() {
        let of = |platform: &str| {
            let mut host = host(7, "pc");
            host.platform = platform.into();
            os_type(&host)
        };
        assert_eq!((of("windows"), of("linux"), of("macos"), of("")), (1, 3, 2, 3));
    }

    #[test]
    fn addresses_are_adapters() {
        let mut host = host(7, "pc");
        host.addresses = vec!["10.0.0.1".into(), "fd00::2".into()];
        assert_eq!(adapters(&host), "10.0.0.1,000000000000|fd00::2,000000000000|");
    }
}
