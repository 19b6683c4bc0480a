//! Services through the core: with a caller that says what the test wants, and a clock that stands still.

mod delivery;
mod leaving;
mod moved;
mod registration;
mod removed_org;
mod requests;
mod telling;

use crate::fixture::{Fixture, Setup, eventually};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tripline_actors::Delivery;
use tripline_actors::ports::{
    BoxFuture, CallFailure, ServiceCall, ServiceCaller, ServiceSecret, ServiceTokens,
};
use tripline_actors::{Refusal, Registration};
use tripline_protocol::api::{ServiceBody, ServiceView};
use tripline_protocol::limacharlie::{Answer, Call, Jwt};
use tripline_protocol::{Event, Name, Org, Timestamp};

/// What is answered to the calls of an etype, the last again and again.
type Script = Vec<Said>;

/// Answers as it is told, and remembers what it was asked. Without a script it is done.
#[derive(Default)]
pub(crate) struct ScriptedCaller {
    scripts: Mutex<HashMap<String, Script>>,
    calls: Mutex<Vec<ServiceCall>>,
    /// Services that never answer.
    hanging: Mutex<Vec<String>>,
    /// Calls that the test answers later, the first of an etype first.
    gates: Mutex<Vec<(String, oneshot::Receiver<Said>)>>,
}

/// What a service says.
type Said = Result<Value, CallFailure>;

impl ScriptedCaller {
    /// A service that wants these etypes and detections.
    fn wanting(callbacks: &[&str], cats: &[&str]) -> Arc<Self> {
        let caller = Arc::new(Self::default());
        caller.says("health", vec![Ok(health(callbacks, cats))]);
        caller
    }

    fn says(&self, etype: &str, script: Script) {
        self.scripts.lock().unwrap().insert(etype.to_owned(), script);
    }

    fn hang(&self, service: &str) {
        self.hanging.lock().unwrap().push(service.to_owned());
    }

    /// One more call of an etype is answered with what is sent here, and not before.
    fn gate(&self, etype: &str) -> oneshot::Sender<Said> {
        let (answer, gate) = oneshot::channel();
        self.gates.lock().unwrap().push((etype.to_owned(), gate));
        answer
    }

    fn gate_of(&self, etype: &str) -> Option<oneshot::Receiver<Said>> {
        let mut gates = self.gates.lock().unwrap();
        let first = gates.iter().position(|(of, _)| of == etype)?;
        Some(gates.remove(first).1)
    }

    /// The calls of an etype so far.
    fn calls(&self, etype: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        let of = calls.iter().filter(|call| call.call.etype == etype);
        of.map(|call| call.call.clone()).collect()
    }

    /// The same of one service.
    fn calls_of(&self, service: &str, etype: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        let of = |call: &&ServiceCall| call.call.etype == etype && call.service.name.as_str() == service;
        calls.iter().filter(of).count()
    }

    /// Waits until there were so many calls of an etype.
    async fn called(&self, etype: &str, count: usize) -> Vec<Call> {
        eventually(etype, || async {
            let calls = self.calls(etype);
            (calls.len() >= count).then_some(calls)
        })
        .await
    }

    fn answer(&self, etype: &str) -> Result<Answer, CallFailure> {
        let mut scripts = self.scripts.lock().unwrap();
        let Some(script) = scripts.get_mut(etype) else {
            return Ok(Answer::done());
        };
        let said = if script.len() > 1 {
            script.remove(0)
        } else {
            script[0].clone()
        };
        read(said)
    }
}

fn read(said: Said) -> Result<Answer, CallFailure> {
    said.and_then(|body| Ok(Answer::read(body.to_string().as_bytes())?))
}

impl ServiceCaller for ScriptedCaller {
    fn call(&self, call: ServiceCall) -> BoxFuture<Result<Answer, CallFailure>> {
        let hangs = self
            .hanging
            .lock()
            .unwrap()
            .iter()
            .any(|name| call.service.name.as_str() == name);
        if hangs && call.call.etype != "health" {
            self.calls.lock().unwrap().push(call);
            return Box::pin(std::future::pending());
        }
        if let Some(gate) = self.gate_of(&call.call.etype) {
            self.calls.lock().unwrap().push(call);
            return Box::pin(async move { read(gate.await.unwrap()) });
        }
        let answer = self.answer(&call.call.etype);
        self.calls.lock().unwrap().push(call);
        Box::pin(async move { answer })
    }
}

/// Tokens that say what they are for.
struct PlainTokens;

impl ServiceTokens for PlainTokens {
    fn token(&self, service: &Name, (org, _): (&Org, Timestamp), depth: u8, _: Timestamp) -> Jwt {
        Jwt::new(format!("{service}/{org}/{depth}"))
    }
}

fn health(callbacks: &[&str], cats: &[&str]) -> Value {
    let mtd = json!({ "callbacks": callbacks, "detect_subscriptions": cats });
    json!({ "success": true, "data": { "version": 1, "start_time": 1, "calls_in_progress": 1, "mtd": mtd } })
}

fn done() -> Result<Value, CallFailure> {
    Ok(json!({ "success": true }))
}

fn again() -> Result<Value, CallFailure> {
    Ok(json!({ "success": false, "retry": true, "error": "later" }))
}

fn reset() -> Result<Value, CallFailure> {
    Err(CallFailure::Transport("connection reset".into()))
}

/// A core whose services `caller` calls.
async fn start(caller: &Arc<ScriptedCaller>) -> Fixture {
    let fixture = Fixture::start_with(Setup::default());
    join(&fixture, caller).await;
    fixture
}

async fn join(fixture: &Fixture, caller: &Arc<ScriptedCaller>) {
    let stream = tripline_actors::IngestPosition {
        stream_created: Timestamp::from_micros(1),
        last_sequence: 0,
    };
    fixture.core.set_ingest_position(stream).await.unwrap();
    fixture.core.set_services(caller.clone(), Arc::new(PlainTokens));
}

fn body(name: &str, more: Value) -> ServiceBody {
    let mut body = json!({ "name": name, "url": "http://service.example/", "secret": "s3cr3t" });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

fn registration(name: &str, more: Value) -> Registration {
    let ServiceBody { spec, secret } = body(name, more);
    let secret = ServiceSecret::new(&secret.unwrap());
    Registration { spec, secret }
}

/// Registers a service and waits until it said what it wants.
async fn register(fixture: &Fixture, name: &str, more: Value) -> ServiceView {
    fixture.core.register_service(body(name, more)).await.unwrap();
    let name: Name = name.parse().unwrap();
    view_when(fixture, &name, |view| view.wants.is_some() && view.waiting == 0).await
}

async fn view_when(fixture: &Fixture, name: &Name, is: impl Fn(&ServiceView) -> bool) -> ServiceView {
    eventually("the service is so", || async {
        let view = fixture.core.get_service(None, name.clone()).await.unwrap();
        is(&view).then_some(view)
    })
    .await
}

/// Hands in events as NATS would: `(etype, data)`, their sequences from `first` on.
async fn publish(fixture: &Fixture, first: u64, events: &[(&str, Value)]) -> Result<(), Refusal> {
    let deliveries = (first..).zip(events).map(|(sequence, (etype, data))| Delivery {
        subject: format!("tripline.events.default.{etype}"),
        headers: Vec::new(),
        payload: data.to_string().into_bytes().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    });
    fixture.core.ingest(deliveries.collect()).await
}

fn detection(cat: &str, n: u64) -> (&'static str, Value) {
    ("detection", json!({ "cat": cat, "data": { "n": n } }))
}

/// The events that were published on the way to NATS.
fn published_events(fixture: &Fixture) -> Vec<Event> {
    let messages = fixture.publisher.with(".events.");
    let read = |message: &tripline_actors::ports::OutMessage| -> Event {
        let subjects = tripline_protocol::Subjects::default();
        let (org, etype) = subjects.parse_event(&message.subject).unwrap();
        let wire = tripline_protocol::event::WireEvent {
            org: &org,
            etype: &etype,
            headers: &message.headers,
            payload: &message.payload,
            stream: "s",
            sequence: 1,
            stored_at: fixture.now(),
        };
        Event::from_wire(&wire).unwrap()
    };
    messages.iter().map(read).collect()
}
