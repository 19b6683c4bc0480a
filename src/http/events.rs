//! `POST /v1/events`: takes an event, and refuses here what ingest would have to call dead. And what was decided about one.

use super::HttpState;
use super::auth::{Operator, Viewer};
use super::body::{Body, path_part};
use super::idempotency::IdempotencyKey;
use super::problem::ApiError;
use actix_web::{HttpResponse, web};
use std::fmt;
use tripline_actors::Refusal;
use tripline_protocol::api::{EventDecisions, PublishEvent};
use tripline_protocol::event::{HostHint, InvalidEvent, WireEvent};
use tripline_protocol::limit::{EVENT_BYTES_MAX, TRIPDEPTH_MAX};
use tripline_protocol::{Attestation, Event, EventKey, Org, Timestamp};
use uuid::Uuid;

/// Longest id and longest source, in bytes.
const TEXT_BYTES_MAX: usize = 256;
/// How the sources begin that are the server's own: who could name one could say that the clock ticks.
const OWN_SOURCES: &str = "tripline/";

pub(super) async fn publish(
    caller: Operator,
    state: web::Data<HttpState>,
    key: IdempotencyKey,
    Body(request): Body<PublishEvent>,
) -> Result<HttpResponse, ApiError> {
    let once = key.once(&caller, "events", &request)?;
    let org = caller
        .org_for(request.org.as_ref())?
        .unwrap_or_else(Org::default_org);
    let event = event(request, org, &caller.name, state.clock.now())?;
    let event = deeper(event, caller.depth)?;
    let published = state.core.by(&caller).publish_event_once(event, once).await?;
    Ok(HttpResponse::Accepted().json(published))
}

/// `GET /v1/events/{event_key}/decisions`: what acted on it, and what did not and why.
pub(super) async fn decisions(
    caller: Viewer,
    state: web::Data<HttpState>,
    event_key: web::Path<String>,
) -> Result<web::Json<EventDecisions>, ApiError> {
    let org = caller.org_for(None)?;
    let event_key = path_part(&event_key)?;
    Ok(web::Json(state.core.decisions(org, event_key).await?))
}

/// The event that `request` describes, as ingest will understand it when it comes back from NATS.
fn event(request: PublishEvent, org: Org, token_name: &str, now: Timestamp) -> Result<Event, ApiError> {
    let id = plain("id", request.id.unwrap_or_else(|| Uuid::now_v7().to_string()))?;
    let source = plain(
        "source",
        request.source.unwrap_or_else(|| format!("api/{token_name}")),
    )?;
    if source.starts_with(OWN_SOURCES) {
        let what = format!("source: those that begin with {OWN_SOURCES} are the server's own");
        return Err(invalid_event("bad_attribute", what));
    }
    let event = Event {
        key: EventKey::derive(&org, &source, &id),
        id,
        org,
        source,
        etype: request.etype,
        host: request.host_id.map(HostHint::HostId),
        time: request.time.unwrap_or(now),
        data: request.data,
        attested_by: Attestation::Publisher,
        depth: 0,
        traceparent: None,
    };
    read_back(&event, now)
}

/// An event of a service is one deeper than what it was told of with its token.
fn deeper(event: Event, told: Option<u8>) -> Result<Event, ApiError> {
    let depth = told.map_or(0, |depth| depth.saturating_add(1));
    if depth > TRIPDEPTH_MAX {
        let what = format!("events and services led to one another {TRIPDEPTH_MAX} times, which is the end");
        return Err(invalid_event("too_deep", what));
    }
    Ok(Event { depth, ..event })
}

/// Takes the way over the wire, with its limits and rules.
fn read_back(event: &Event, now: Timestamp) -> Result<Event, ApiError> {
    let payload = serde_json::to_vec(&event.to_cloudevent())
        .map_err(|error| ApiError::internal("write the event", error))?;
    let wire = WireEvent {
        org: &event.org,
        etype: &event.etype,
        headers: &[],
        payload: &payload,
        stream: "",
        sequence: 0,
        stored_at: now,
    };
    Event::from_wire(&wire).map_err(|invalid| match invalid {
        InvalidEvent::TooLarge(_) => ApiError::BodyTooLarge {
            limit: EVENT_BYTES_MAX,
        },
        invalid => invalid_event(invalid.reason(), invalid),
    })
}

fn plain(field: &'static str, text: String) -> Result<String, ApiError> {
    let legal = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    match legal {
        true => Ok(text),
        false => {
            let what = format!("{field}: expected 1 to {TEXT_BYTES_MAX} bytes without control characters");
            Err(invalid_event("bad_attribute", what))
        }
    }
}

fn invalid_event(code: &'static str, detail: impl fmt::Display) -> ApiError {
    Refusal::Invalid {
        code,
        detail: detail.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2026-11-20T14:00:00Z".parse().expect("a time")
    }

    fn made(request: Value) -> Result<Event, ApiError> {
        let request = serde_json::from_value(request).expect("a request");
        event(request, Org::default_org(), "ana", now())
    }

    fn code(result: Result<Event, ApiError>) -> String {
        result.expect_err("refused").to_problem().code
    }

    #[test]
    fn what_is_not_said_is_made() {
        let event = made(json!({"etype": "acme.alert.high"})).expect("an event");
        assert_eq!(event.source, "api/ana");
        assert_eq!(event.time, now());
        assert_eq!(event.attested_by, Attestation::Publisher);
        assert!(Uuid::parse_str(&event.id).is_ok());
        assert_eq!(event.key, EventKey::derive(&event.org, &event.source, &event.id));
    }

    #[test]
    fn what_is_said_is_kept() {
        let host = Uuid::from_u128(5);
        let event = made(json!({"etype": "E", "id": "1", "source": "siem", "host_id": host,
            "time": "2026-11-19T00:00:00Z", "data": {"pid": 4}}))
        .expect("an event");
        assert_eq!((event.id.as_str(), event.source.as_str()), ("1", "siem"));
        assert_eq!(
            event.host,
            Some(HostHint::HostId(tripline_protocol::HostId(host)))
        );
        assert_eq!(event.time, "2026-11-19T00:00:00Z".parse().expect("a time"));
        assert_eq!(event.data, json!({"pid": 4}));
    }

    #[test]
    fn nobody_takes_a_source_of_the_servers_own() {
        for source in ["tripline/timekeeper", "tripline/"] {
            assert_eq!(
                code(made(json!({"etype": "once_per_1h", "source": source}))),
                "bad_attribute"
            );
        }
        assert!(made(json!({"etype": "E", "source": "tripline"})).is_ok());
    }

    #[test]
    fn a_host_that_only_the_data_names_is_found() {
        let event = made(json!({"etype": "E", "data": {"hostname": "pc-1"}})).expect("an event");
        assert_eq!(event.host, Some(HostHint::Hostname("pc-1".into())));
    }

    #[test]
    fn an_event_of_a_service_is_one_deeper_than_what_it_was_told_of_up_to_the_end() {
        let made = || made(json!({"etype": "E"})).expect("an event");
        assert_eq!(deeper(made(), None).expect("no service's").depth, 0);
        assert_eq!(deeper(made(), Some(0)).expect("taken").depth, 1);
        let last = deeper(made(), Some(TRIPDEPTH_MAX - 1)).expect("taken");
        assert_eq!(last.depth, TRIPDEPTH_MAX);
        assert_eq!(code(deeper(made(), Some(TRIPDEPTH_MAX))), "too_deep");
    }

    #[test]
    fn what_ingest_would_call_dead_is_refused_here() {
        assert_eq!(code(made(json!({"etype": "E", "id": ""}))), "bad_attribute");
        assert_eq!(
            code(made(json!({"etype": "E", "source": "a\nb"}))),
            "bad_attribute"
        );
        assert_eq!(
            code(made(json!({"etype": "E", "id": "x".repeat(257)}))),
            "bad_attribute"
        );
    }

    #[test]
    fn an_event_that_grows_over_the_limit_on_its_way_is_refused() {
        let data = "x".repeat(EVENT_BYTES_MAX - 30);
        assert_eq!(code(made(json!({"etype": "E", "data": data}))), "body_too_large");
    }

    #[test]
    fn ids_and_sources_are_taken_up_to_their_bound() {
        for field in ["id", "source"] {
            let said = |bytes: usize| made(json!({"etype": "E", field: "x".repeat(bytes)}));
            assert!(said(TEXT_BYTES_MAX).is_ok(), "{field}");
            assert_eq!(code(said(TEXT_BYTES_MAX + 1)), "bad_attribute", "{field}");
        }
    }
}
