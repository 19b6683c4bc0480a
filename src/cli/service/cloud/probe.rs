//! Bad input, which a service has to refuse as the reference implementations do.

use super::example::{example, wrong_value};
use super::play::{Content, Expect, Play, Sent, Signing};
use serde_json::{Value, json};
use tripline_protocol::limacharlie::{Call, Mtd, ServiceEtype, VERSION};

/// An etype that nobody knows.
const UNKNOWN: &str = "tripline_service_test";

/// All of it. Where an etype of a well-formed call does not matter it is `health`, which changes nothing anywhere.
pub(super) fn all(play: &Play, mtd: &Mtd) -> Vec<Sent> {
    let mut probes = signatures(play);
    probes.extend(envelopes(play));
    probes.extend(null_data(play, mtd));
    probes.extend(parameters(play, mtd));
    probes
}

fn signatures(play: &Play) -> Vec<Sent> {
    [
        ("no signature", Signing::Missing),
        ("a wrong signature", Signing::Wrong),
        ("an upper-case signature", Signing::UpperCase),
        (
            "a body that was changed after it was signed",
            Signing::BodyChanged,
        ),
    ]
    .map(|(name, signing)| Sent {
        signing,
        expect: match signing {
            Signing::UpperCase => Expect::UpperCase,
            _ => Expect::Unauthorized,
        },
        ..play.probe(name, health(play))
    })
    .into()
}

fn envelopes(play: &Play) -> Vec<Sent> {
    let expecting = |expect, sent| Sent { expect, ..sent };
    let mut list = play.probe("a body that is no object", health(play));
    list.content = Content::Raw(b"[]".to_vec());
    let mut text = play.probe("a body that is no JSON", health(play));
    text.content = Content::Raw(b"{\"etype\": \"health\"".to_vec());
    let mut deadline = play.probe("a deadline that is a text", health(play));
    let body = json!({"version": VERSION, "etype": "health", "mid": UNKNOWN, "deadline": "soon", "data": {}});
    deadline.content = Content::Raw(body.to_string().into_bytes());
    let version = Call {
        version: Some(VERSION + 1),
        ..health(play)
    };
    let unknown = play.envelope(UNKNOWN, json!({}), true);
    vec![
        expecting(Expect::NoCall, list),
        expecting(Expect::NoCall, text),
        expecting(Expect::BadDeadline, deadline),
        expecting(Expect::Version, play.probe("a future version", version)),
        expecting(
            Expect::NotImplemented,
            play.probe("an etype that nobody knows", unknown),
        ),
    ]
}

/// To health, and to one that is handled by the service itself.
fn null_data(play: &Play, mtd: &Mtd) -> Vec<Sent> {
    let handled = [ServiceEtype::Detection, ServiceEtype::NewSensor]
        .into_iter()
        .find(|etype| mtd.callbacks.iter().any(|name| name == etype.as_str()));
    let with_null = |etype: ServiceEtype| Sent {
        expect: Expect::NullData,
        ..play.probe(
            &format!("{etype} with data: null"),
            play.envelope(etype.as_str(), Value::Null, etype.is_of_org()),
        )
    };
    [Some(ServiceEtype::Health), handled]
        .into_iter()
        .flatten()
        .map(with_null)
        .collect()
}

/// A request without what it needs, and one with something of another type.
fn parameters(play: &Play, mtd: &Mtd) -> Vec<Sent> {
    if !mtd
        .callbacks
        .iter()
        .any(|name| name == ServiceEtype::Request.as_str())
    {
        return Vec::new();
    }
    let with = |name: String, data: Value| Sent {
        expect: Expect::Parameters,
        ..play.probe(&name, play.envelope("request", data, true))
    };
    let mut required = mtd.request_params.iter().filter(|(_, one)| one.is_required);
    let missing = required.next().map(|(name, _)| {
        let mut data = example(ServiceEtype::Request, mtd, &play.oid);
        if let Some(map) = data.as_object_mut() {
            map.remove(name);
        }
        with(format!("a request without {name}"), data)
    });
    let wrong = mtd.request_params.iter().find_map(|(name, one)| {
        let mut data = example(ServiceEtype::Request, mtd, &play.oid);
        data.as_object_mut()?.insert(name.clone(), wrong_value(one)?);
        Some(with(format!("a request with a wrong {name}"), data))
    });
    missing.into_iter().chain(wrong).collect()
}

fn health(play: &Play) -> Call {
    play.envelope(ServiceEtype::Health.as_str(), json!({}), false)
}

impl Play {
    fn probe(&self, name: &str, call: Call) -> Sent {
        Sent {
            name: name.to_owned(),
            expect: Expect::NotImplemented,
            content: Content::Call(call),
            signing: Signing::Right,
        }
    }
}
