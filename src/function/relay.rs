//! The service: every call that is an event is published, and answered when the broker has it.

use super::settings::Settings;
use crate::nats::{NatsOptions, once};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use tripline_actors::ports::PublishError;
use tripline_protocol::limacharlie::{Answer, Call, Period, ServiceEtype, TickScope, org_of_oid};
use tripline_protocol::limit::{EVENT_BYTES_MAX, TRIPDEPTH_MAX};
use tripline_protocol::{Attestation, Etype, Event, EventKey, Org, Timestamp};
use tripline_service::{On, Service, on};
use uuid::Uuid;

/// How long the broker may take.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// What is left of the time until the deadline for the answer itself.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
/// What sources begin with.
const SOURCE: &str = "limacharlie/";
/// The source of what is about no org, in the place of its id.
const NO_ORG: &str = "cloud";

/// Publishes to one broker.
pub(super) struct Relay {
    detections: Vec<String>,
    etypes: Vec<ServiceEtype>,
    nats: NatsOptions,
}

impl Service for Relay {
    fn detect_subscriptions(&self) -> Vec<String> {
        self.detections.clone()
    }

    fn on_detection(&self) -> On<'_> {
        self.handling(ServiceEtype::Detection)
    }

    fn on_new_sensor(&self) -> On<'_> {
        self.handling(ServiceEtype::NewSensor)
    }

    fn on_deployment_event(&self) -> On<'_> {
        self.handling(ServiceEtype::DeploymentEvent)
    }

    fn on_log_event(&self) -> On<'_> {
        self.handling(ServiceEtype::LogEvent)
    }

    fn on_service_error(&self) -> On<'_> {
        self.handling(ServiceEtype::ServiceError)
    }

    fn on_tick(&self, scope: TickScope, period: Period) -> On<'_> {
        self.handling(ServiceEtype::Tick(scope, period))
    }
}

impl Relay {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            detections: settings.detections,
            etypes: settings.etypes,
            nats: settings.nats,
        }
    }

    fn handling(&self, etype: ServiceEtype) -> On<'_> {
        match self.etypes.contains(&etype) {
            true => on(async move |call: Call| self.publish(etype, call).await),
            false => None,
        }
    }

    async fn publish(&self, etype: ServiceEtype, call: Call) -> Answer {
        let now = Timestamp::from(SystemTime::now());
        let patience = patience(call.deadline, now);
        let event = match event(etype, call, now) {
            Ok(event) => event,
            Err(answer) => return answer,
        };
        let payload = event.to_cloudevent().to_string().into_bytes();
        if payload.len() > EVENT_BYTES_MAX {
            return Answer::refused(format!(
                "event of {} bytes, at most {EVENT_BYTES_MAX} are taken",
                payload.len()
            ));
        }
        let subject = self.nats.subjects.event(&event.org, &event.etype);
        match once::publish(&self.nats, subject, &message_id(&event), payload, patience).await {
            Ok(()) => Answer::done(),
            Err(error) => not_published(&error),
        }
    }
}

/// The org reads it; what the broker said is for who runs this.
fn not_published(error: &PublishError) -> Answer {
    use std::io::Write;
    // A closed stderr is nobody's concern.
    let _ = writeln!(std::io::stderr().lock(), "tripline-function: {error}");
    match error {
        PublishError::Transient(_) | PublishError::OutOfTurn => {
            Answer::again("the event could not be stored")
        }
        PublishError::Permanent(_) => Answer::refused("the event cannot be stored"),
    }
}

/// Until the broker is given up on, so that the answer comes before the deadline.
fn patience(deadline: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = deadline.map_or(ACK_WAIT, |deadline| deadline.since(now).to_duration());
    left.saturating_sub(ANSWER_GRACE).min(ACK_WAIT)
}

/// The event of a call. Its identity is the call's, so that the server that got the same call itself would know it again.
fn event(etype: ServiceEtype, call: Call, now: Timestamp) -> Result<Event, Answer> {
    let bad = |what: &str| Answer::refused(what.to_owned());
    let depth = call
        .depth_caused()
        .ok_or_else(|| bad(&format!("tripdepth: {TRIPDEPTH_MAX} is the end")))?;
    let org: Option<Org> = match (&call.oid, etype.is_of_org()) {
        (Some(oid), _) => Some(org_of_oid(oid).ok_or_else(|| bad("oid: must be a UUID"))?),
        (None, true) if etype != ServiceEtype::ServiceError => return Err(bad("oid: is missing")),
        (None, _) => None,
    };
    let mut data = match call.data {
        Value::Object(map) => map,
        Value::Null => Map::new(),
        _ => return Err(bad("data: must be an object")),
    };
    if etype == ServiceEtype::Detection && !data.get("cat").is_some_and(Value::is_string) {
        return Err(bad("data.cat: must be a text"));
    }
    name_sensor(&mut data);
    let source = format!("{SOURCE}{}", org.as_ref().map_or(NO_ORG, Org::as_str));
    let org = org.unwrap_or_else(Org::default_org);
    let id = call.mid.unwrap_or_else(|| Uuid::new_v4().to_string());
    Ok(Event {
        key: EventKey::derive(&org, &source, &id),
        id,
        org,
        source,
        etype: etype
            .as_str()
            .parse::<Etype>()
            .map_err(|error| bad(&error.to_string()))?,
        host: None,
        time: now,
        data: Value::Object(data),
        attested_by: Attestation::Publisher,
        depth,
        traceparent: None,
    })
}

/// Where events name their host: detections have it deeper.
fn name_sensor(data: &mut Map<String, Value>) {
    let sid = data
        .get("routing")
        .and_then(|routing| routing.get("sid"))
        .cloned();
    if let Some(sid) = sid.filter(Value::is_string) {
        data.entry("sid").or_insert(sid);
    }
}

/// What the broker knows a repeat by. One stream has the events of all orgs, and a `mid` is one org's.
fn message_id(event: &Event) -> String {
    let of = event.source.strip_prefix(SOURCE).unwrap_or(&event.source);
    format!("{of}/{}", event.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tripline_protocol::Span;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";

    fn call(value: Value) -> Call {
        Call::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_event_is_known_by_its_org_and_mid_and_names_its_sensor() {
        let data = json!({"cat": "x", "routing": {"sid": "s"}});
        let detection = call(json!({"oid": OID.to_uppercase(), "mid": "m", "data": data}));
        let event = event(ServiceEtype::Detection, detection, NOW).unwrap();
        assert_eq!(
            (event.id.as_str(), event.org.as_str(), event.etype.as_str()),
            ("m", OID, "detection")
        );
        assert_eq!(event.source, format!("limacharlie/{OID}"));
        assert_eq!(event.data["sid"], "s");
        assert_eq!(
            event.attested_by,
            Attestation::Publisher,
            "as the broker's users are"
        );
    }

    #[test]
    fn an_event_is_one_deeper_than_its_call_and_8_is_the_end() {
        let depth_of = |depth: Value| {
            let tick = call(json!({"oid": OID, "mid": "m", "tripdepth": depth}));
            event(ServiceEtype::LogEvent, tick, NOW).map(|event| event.depth)
        };
        assert_eq!(depth_of(Value::Null).unwrap(), 0);
        assert_eq!(depth_of(json!(0)).unwrap(), 1);
        assert_eq!(depth_of(json!(TRIPDEPTH_MAX - 1)).unwrap(), TRIPDEPTH_MAX);
        assert_eq!(depth_of(json!(TRIPDEPTH_MAX)).unwrap_err().retry, Some(false));
    }

    #[test]
    fn without_a_mid_each_call_is_an_event_of_its_own() {
        let make = || {
            let call = call(json!({"oid": OID, "deadline": 1, "data": {"sid": "a"}}));
            event(ServiceEtype::NewSensor, call, NOW).unwrap().id
        };
        assert_ne!(make(), make(), "as the server's own role has it");
    }

    #[test]
    fn the_broker_tells_two_orgs_with_the_same_mid_apart() {
        let id_of = |oid: &str| {
            let call = call(json!({"oid": oid, "mid": "m", "data": {"sid": "a"}}));
            message_id(&event(ServiceEtype::NewSensor, call, NOW).unwrap())
        };
        assert_eq!(id_of(OID), format!("{OID}/m"));
        assert_eq!(id_of(&OID.to_uppercase().replace('-', "")), id_of(OID), "one org");
        assert_ne!(id_of(OID), id_of("5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b"));
    }

    #[test]
    fn ticks_of_no_org_are_the_default_ones_and_bad_data_are_refused() {
        let tick = ServiceEtype::Tick(TickScope::Once, Period::H1);
        let made = event(tick, call(json!({"mid": "m", "data": null})), NOW).unwrap();
        assert_eq!(
            (made.org, made.source.as_str()),
            (Org::default_org(), "limacharlie/cloud")
        );
        for bad in [
            json!({"mid": "m", "data": {"cat": "x"}}),
            json!({"mid": "m", "oid": OID, "data": [1]}),
            json!({"mid": "m", "oid": OID, "data": {}}),
        ] {
            let refused = event(ServiceEtype::Detection, call(bad.clone()), NOW).unwrap_err();
            assert_eq!(refused.retry, Some(false), "{bad}");
        }
    }

    #[test]
    fn the_broker_has_until_shortly_before_the_deadline() {
        let after = |seconds| patience(Some(NOW.after(Span::from_secs(seconds))), NOW);
        assert_eq!(patience(None, NOW), ACK_WAIT - ANSWER_GRACE);
        assert_eq!(after(60), ACK_WAIT);
        assert_eq!(after(5), Duration::from_secs(4));
        assert_eq!(after(0), Duration::ZERO);
    }
}
