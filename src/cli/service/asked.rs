//! Asking a service for something, and what it was asked for.

use super::super::job::idempotency_key;
use super::super::output::{Format, print, print_json};
use super::super::{Client, Failure, Global};
use super::view;
use clap::Args;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tripline_protocol::api::{AskService, ServiceRequestState, ServiceRequestView, ServiceView};
use tripline_protocol::limacharlie::{Parameter, ParameterKind};
use tripline_protocol::{Name, Org, Span};
use uuid::Uuid;

/// Between two looks whether there is an answer.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) const EXAMPLES: &str = "Examples:
  tripline service request responder --param action=sweep --param sid=5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b
  tripline service request yara --param action=scan --wait 0s

`tripline service show` says which parameters a service takes. Exit code 1: it refused, or was never reached.";

#[derive(Debug, Args)]
pub(in super::super) struct Request {
    /// The service's name
    name: Name,
    /// A parameter; the value is of the type that the service says, or else JSON if it can be read as such, or text
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// For this tenant [default: the token's, or the only one that is subscribed]
    #[arg(long)]
    org: Option<Org>,
    /// How long to wait for the answer; 0s: not at all
    #[arg(long, value_name = "SPAN", default_value = "60s")]
    wait: Span,
    /// Asking the same again with the same key gives the same request, for 24 h; anything else with that key is refused
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(in super::super) struct Requests {
    /// The service's name
    name: Name,
    /// The request's id
    id: Option<Uuid>,
    /// Only requests for this tenant
    #[arg(long, conflicts_with = "id")]
    org: Option<Org>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N", conflicts_with = "id")]
    limit: usize,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Of the type that the service says.
fn value(definition: Option<&Parameter>, text: String) -> Value {
    let read = || serde_json::from_str(&text).ok();
    let value = match definition.map(|definition| definition.kind) {
        Some(ParameterKind::Str | ParameterKind::Enum | ParameterKind::Uuid | ParameterKind::Sid) => None,
        // What is none is told so by its name.
        Some(ParameterKind::Int | ParameterKind::Bool | ParameterKind::Other) | None => read(),
    };
    value.unwrap_or(Value::String(text))
}

fn typed(definitions: &BTreeMap<String, Parameter>, given: Vec<(String, String)>) -> Map<String, Value> {
    let given = given.into_iter();
    given
        .map(|(key, text)| {
            let value = value(definitions.get(&key), text);
            (key, value)
        })
        .collect()
}

pub(super) async fn request(global: &Global, client: &Client, asked: Request) -> Result<(), Failure> {
    let name = asked.name.to_string();
    let service: ServiceView = client.get(&["services", &name], &[]).await?;
    let definitions = service
        .wants
        .map(|wants| wants.request_params)
        .unwrap_or_default();
    let body = AskService {
        org: asked.org,
        params: typed(&definitions, asked.params),
    };
    let key = asked.idempotency_key.as_deref();
    let path = ["services", name.as_str(), "requests"];
    let made: ServiceRequestView = client.post_once(&path, &body, key).await?;
    let (view, unseen) = answered(client, made, asked.wait.to_duration()).await;
    show(global, &view)?;
    if let Some(failure) = unseen {
        return Err(naming(failure, &view));
    }
    match view.state {
        ServiceRequestState::Done => Ok(()),
        ServiceRequestState::Waiting if asked.wait == Span::from_secs(0) => Ok(()),
        ServiceRequestState::Waiting => Err(Failure::Failed(format!(
            "no answer within {}; it may come yet: tripline service requests {name} {}; how the service fares: tripline service \
             show {name}",
            asked.wait, view.id
        ))),
        // What it was is in what was shown.
        _ => Err(Failure::NotSucceeded),
    }
}

/// The request when it has ended, or when nobody waits any more, as it was seen last; and why it was not seen then. It is durable:
/// a server that starts anew or has too much to do is asked again.
async fn answered(
    client: &Client,
    mut view: ServiceRequestView,
    wait: Duration,
) -> (ServiceRequestView, Option<Failure>) {
    let begun = Instant::now();
    let (service, id) = (view.service.to_string(), view.id.to_string());
    let path = ["services", &service, "requests", &id];
    let mut unseen = None;
    while !view.state.is_end() && begun.elapsed() < wait {
        tokio::time::sleep(LOOK_EVERY).await;
        match client.get(&path, &[]).await {
            Ok(seen) => (view, unseen) = (seen, None),
            // It is gone, which does not change.
            Err(failure @ Failure::Input(_)) => return (view, Some(failure)),
            Err(failure) => unseen = Some(failure),
        }
    }
    (view, unseen)
}

/// A failure to see a request, with where it will be seen.
fn naming(failure: Failure, ServiceRequestView { service, id, .. }: &ServiceRequestView) -> Failure {
    let text =
        |text: String| format!("{text}; the request was taken: tripline service requests {service} {id}");
    match failure {
        Failure::Failed(why) => Failure::Failed(text(why)),
        Failure::Input(why) => Failure::Input(text(why)),
        Failure::Unavailable(why) => Failure::Unavailable(text(why)),
        other => other,
    }
}

pub(super) async fn requests(global: &Global, client: &Client, asked: Requests) -> Result<(), Failure> {
    let name = asked.name.to_string();
    if let Some(id) = asked.id {
        let path = ["services", &name, "requests", &id.to_string()];
        return show(global, &client.get(&path, &[]).await?);
    }
    let query: Vec<_> = asked
        .org
        .map(|org| ("org", org.to_string()))
        .into_iter()
        .collect();
    let path = ["services", name.as_str(), "requests"];
    let (requests, more) = client
        .list::<ServiceRequestView>(&path, &query, asked.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&requests)?,
        Format::Table => print(&view::requests(&requests))?,
    }
    super::super::say_more(more);
    Ok(())
}

fn show(global: &Global, request: &ServiceRequestView) -> Result<(), Failure> {
    match global.output {
        Format::Json => print_json(request),
        Format::Table => print(&view::request(request)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::server_tests::PreparedServer;
    use super::*;
    use serde_json::json;

    const ID: &str = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";

    fn service() -> Value {
        json!({
            "name": "yara", "url": "http://yara.example/", "configured": false, "state": "up", "since": "2026-11-20T14:00:00Z",
            "breaker": "closed", "installations": {}, "waiting": 0, "calls": 0, "delivered": 0, "given_up": 0,
        })
    }

    fn asked(state: &str) -> Value {
        json!({
            "id": ID, "service": "yara", "org": "default", "params": {}, "state": state, "asked_at": "2026-11-20T14:00:00Z",
            "attempts": 1,
        })
    }

    /// What comes of asking a server that answers what it is asked after the request was taken with these.
    async fn outcome(looks: &[(u16, Value)]) -> Result<(), Failure> {
        let taken = [(200, service()), (201, asked("waiting"))];
        let (global, _handle) =
            PreparedServer::default().start(taken.into_iter().chain(looks.iter().cloned()));
        let client = Client::find(&global)?;
        let request_of = Request {
            name: "yara".parse().expect("a name"),
            params: Vec::new(),
            org: None,
            wait: Span::from_secs(60),
            idempotency_key: None,
        };
        request(&global, &client, request_of).await
    }

    #[actix_rt::test]
    async fn a_look_that_fails_is_not_the_end_of_the_request() {
        let away = || (503, json!({}));
        assert_eq!(outcome(&[away(), away(), (200, asked("done"))]).await, Ok(()));
    }

    #[actix_rt::test]
    async fn a_request_that_cannot_be_seen_any_more_is_named() {
        let Err(Failure::Input(text)) = outcome(&[(404, json!({}))]).await else {
            panic!("it was seen");
        };
        assert!(
            text.contains(&format!("tripline service requests yara {ID}")),
            "{text}"
        );
    }

    #[test]
    fn values_are_of_the_types_that_the_service_says() {
        let definitions: BTreeMap<String, Parameter> = serde_json::from_value(json!({
            "text": { "type": "str" }, "number": { "type": "int" }, "flag": { "type": "bool" },
            "one": { "type": "enum", "values": ["7"] }, "new": { "type": "later" },
        }))
        .expect("definitions");
        let given = [
            "text=7",
            "number=7",
            "flag=true",
            "one=7",
            "new=[1]",
            "unknown=x=y",
            "broken=",
        ];
        let given = given.map(|text| pair(text).expect("a pair")).to_vec();
        assert_eq!(
            Value::Object(typed(&definitions, given)),
            json!({
                "text": "7", "number": 7, "flag": true, "one": "7", "new": [1], "unknown": "x=y", "broken": "",
            })
        );
        assert_eq!(value(definitions.get("number"), "many".to_owned()), json!("many"));
        assert!(pair("x").is_err() && pair("=x").is_err());
    }
}
