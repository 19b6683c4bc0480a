//! How a call is handled, whatever carried it here: signature, then JSON, then version and deadline, then the service.

use crate::service::{Service, describe, handling};
use crate::signature::verify;
use futures_util::FutureExt;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tripline_protocol::Timestamp;
use tripline_protocol::limacharlie::{
    Answer, CALL_BYTES_MAX, Call, Health, InvalidCall, SIGNATURE_HEADER, ServiceEtype, VERSION,
    check_parameters,
};
use uuid::Uuid;

/// What goes back: an HTTP status, and a body of `application/json` that may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 for whatever is answered with an envelope of the protocol, 401 for a wrong signature, 400 for what is no JSON object,
    /// 413 for what is too long.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

/// A service that runs: its secret, when it started, and how many calls are under way.
pub struct Runtime<S> {
    service: Arc<S>,
    secret: String,
    started: Timestamp,
    bytes_max: usize,
    in_progress: AtomicU64,
}

impl<S: Service> Runtime<S> {
    /// Of a service whose calls are signed with `secret`.
    pub fn new(service: Arc<S>, secret: String, started: Timestamp) -> Self {
        Self {
            service,
            secret,
            started,
            bytes_max: CALL_BYTES_MAX,
            in_progress: AtomicU64::new(0),
        }
    }

    /// With calls of so many bytes at most; longer ones are refused for good, with an answer of the protocol.
    #[must_use]
    pub fn taking(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// The service.
    pub fn service(&self) -> &Arc<S> {
        &self.service
    }

    /// Handles one request. `headers` are names and values as they came.
    pub async fn handle<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        body: &[u8],
        now: Timestamp,
    ) -> Response {
        let _call = self.enter();
        match self.open(headers, body) {
            Ok(call) => Response::of(&self.answer(call, now).await),
            Err(response) => response,
        }
    }

    /// Counts a call among those in progress, for as long as what is returned lives. For who opens and answers it in steps of
    /// its own.
    pub fn enter(&self) -> InProgress<'_> {
        InProgress::begin(&self.in_progress)
    }

    /// Reads one request: the signature first, then the call. `Err`: what is to be answered to one that is no call. A body too
    /// long for [`Self::taking`] is not read whole, only seen to be an object.
    ///
    /// # Errors
    /// The response.
    pub fn open<'h>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        body: &[u8],
    ) -> Result<Call, Response> {
        if body.len() > CALL_BYTES_MAX {
            return Err(Response::status(413));
        }
        if !self.is_signed(headers, body) {
            return Err(Response::status(401));
        }
        let read = match body.len() > self.bytes_max {
            true => read_outside(body).and(Err(InvalidCall::TooLong {
                bytes: body.len(),
                bytes_max: self.bytes_max,
            })),
            false => Call::read(body),
        };
        read.map_err(|error| match error.is_answered() {
            true => Response::of(&Answer::refused(error.to_string())),
            false => refused(&error),
        })
    }

    fn is_signed<'h>(&self, headers: impl IntoIterator<Item = (&'h str, &'h [u8])>, body: &[u8]) -> bool {
        let mut given = headers
            .into_iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(SIGNATURE_HEADER));
        // Of two signatures nobody could say which counts.
        match (given.next(), given.next()) {
            (Some((_, signature)), None) => verify(&self.secret, body, signature),
            _ => false,
        }
    }

    /// Answers a call whose signature was right.
    pub async fn answer(&self, call: Call, now: Timestamp) -> Answer {
        if call.deadline.is_some_and(|deadline| deadline <= now) {
            return Answer::refused("deadline exceeded");
        }
        if call.oid.as_ref().is_some_and(|oid| Uuid::parse_str(oid).is_err()) {
            return Answer::refused("oid: must be a UUID");
        }
        match call.kind() {
            Some(ServiceEtype::Health) => self.health(),
            Some(etype) => self.dispatch(etype, call).await,
            None => Answer::not_implemented(),
        }
    }

    async fn dispatch(&self, etype: ServiceEtype, call: Call) -> Answer {
        let Some(handle) = handling(&*self.service, etype) else {
            return Answer::not_implemented();
        };
        if etype == ServiceEtype::Request
            && let Err(answer) = self.check(&call.data)
        {
            return answer;
        }
        let handled = AssertUnwindSafe(async { handle(call).await })
            .catch_unwind()
            .await;
        handled.unwrap_or_else(|_| {
            tracing::error!(%etype, "handling a call panicked");
            Answer::again("internal error")
        })
    }

    fn check(&self, data: &Value) -> Result<(), Answer> {
        let none = Map::new();
        let given = match data {
            Value::Object(map) => map,
            Value::Null => &none,
            _ => return Err(Answer::refused("data: must be an object")),
        };
        check_parameters(&self.service.request_params(), given)
            .map_err(|bad| Answer::refused(bad.to_string()))
    }

    fn health(&self) -> Answer {
        let health = Health {
            version: VERSION,
            start_time: self.started.as_micros() / 1_000_000,
            // A call that did not come through `handle` counts itself, too.
            calls_in_progress: self.in_progress.load(Ordering::Relaxed).max(1),
            mtd: describe(&*self.service),
        };
        Answer::done_with(json!(health))
    }
}

/// Counts a call for as long as it lives, however it ends.
pub struct InProgress<'c>(&'c AtomicU64);

impl<'c> InProgress<'c> {
    fn begin(count: &'c AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Response {
    /// Of an answer.
    pub fn of(answer: &Answer) -> Self {
        Self {
            status: 200,
            // Texts, numbers and JSON values always serialise.
            body: serde_json::to_vec(answer).unwrap_or_default(),
        }
    }

    /// Of a status alone.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            body: Vec::new(),
        }
    }
}

/// Sees that a body is an object, in no more memory than it has.
fn read_outside(body: &[u8]) -> Result<(), InvalidCall> {
    struct Object;
    impl<'de> Deserialize<'de> for Object {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Outside)
        }
    }
    struct Outside;
    impl<'de> Visitor<'de> for Outside {
        type Value = Object;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Object)
        }
    }
    match serde_json::from_slice::<Object>(body) {
        Ok(Object) => Ok(()),
        Err(error) if error.is_data() => Err(InvalidCall::NotObject),
        Err(error) => Err(InvalidCall::NotJson(error.to_string())),
    }
}

/// No envelope can be expected to be read by who sends no object, but whoever looks sees why.
fn refused(error: &InvalidCall) -> Response {
    Response {
        status: 400,
        body: json!(Answer::refused(error.to_string())).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{On, on};
    use crate::signature::sign;
    use futures_util::future::pending;
    use tripline_protocol::limacharlie::{Period, TickScope};

    const SECRET: &str = "shared";
    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    /// Handles detections, each in the way its `cat` names, and the org's hourly tick.
    struct Obedient;

    impl Service for Obedient {
        fn detect_subscriptions(&self) -> Vec<String> {
            vec!["b".into(), "a".into(), "b".into()]
        }

        fn on_detection(&self) -> On<'_> {
            on(async |call: Call| match call.data["cat"].as_str() {
                Some("panic") => panic!("as told"),
                Some("wait") => pending().await,
                _ => Answer::done_with(json!({ "oid": call.oid, "mid": call.mid })),
            })
        }

        fn on_tick(&self, scope: TickScope, period: Period) -> On<'_> {
            let is_ours = scope == TickScope::Org && period == Period::H1;
            if is_ours {
                on(async |_| Answer::done())
            } else {
                None
            }
        }
    }

    fn runtime() -> Runtime<Obedient> {
        Runtime::new(Arc::new(Obedient), SECRET.into(), NOW)
    }

    async fn post(body: Value) -> Response {
        let body = body.to_string();
        let signature = sign(SECRET, body.as_bytes());
        let headers = [("Lc-Svc-Sig", signature.as_bytes())];
        runtime().handle(headers, body.as_bytes(), NOW).await
    }

    async fn answer(body: Value) -> Value {
        let response = post(body).await;
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.body).unwrap()
    }

    #[actix_rt::test]
    async fn health_names_what_is_handled_and_counts_itself() {
        let data = &answer(json!({ "etype": "health", "mid": "m" })).await["data"];
        assert_eq!(data["version"], 1);
        assert_eq!(data["start_time"], 1_700_000_000);
        assert_eq!(data["calls_in_progress"], 1);
        assert_eq!(
            data["mtd"]["callbacks"],
            json!(["health", "detection", "org_per_1h"])
        );
        assert_eq!(data["mtd"]["detect_subscriptions"], json!(["a", "b"]));
        assert_eq!(data["mtd"]["request_params"], json!({}));
    }

    #[actix_rt::test]
    async fn a_signature_is_looked_at_before_anything_else() {
        let runtime = runtime();
        let empty = Response {
            status: 401,
            body: Vec::new(),
        };
        let body = b"no json";
        let right = sign(SECRET, body);
        let upper = right.to_uppercase();
        let none: [(&str, &[u8]); 0] = [];
        assert_eq!(runtime.handle(none, body, NOW).await, empty);
        assert_eq!(
            runtime
                .handle([("lc-svc-sig", upper.as_bytes())], body, NOW)
                .await,
            empty
        );
        assert_eq!(
            runtime
                .handle([("lc-svc-sig", right.as_bytes())], b"no json!", NOW)
                .await,
            empty
        );
        let twice = [("lc-svc-sig", right.as_bytes()), ("lc-svc-sig", upper.as_bytes())];
        assert_eq!(runtime.handle(twice, body, NOW).await, empty);
        let signed = runtime
            .handle([("lc-svc-sig", right.as_bytes())], body, NOW)
            .await;
        assert_eq!(signed.status, 400, "then it is no JSON");
    }

    #[actix_rt::test]
    async fn what_is_no_call_is_refused_for_good() {
        for (body, error) in [
            (
                json!({ "etype": "health", "version": 2 }),
                "unsupported version (> 1)",
            ),
            (
                json!({ "etype": "health", "version": "1" }),
                "version: must be a number",
            ),
            (
                json!({ "etype": "health", "deadline": "soon" }),
                "deadline: must be a number",
            ),
            (
                json!({ "etype": "detection", "mid": "m".repeat(129) }),
                "mid: must be at most 128 bytes",
            ),
            (
                json!({ "etype": "detection", "oid": "acme" }),
                "oid: must be a UUID",
            ),
            (
                json!({ "etype": "detection", "deadline": 1_699_999_999 }),
                "deadline exceeded",
            ),
            (json!({ "etype": "Detection" }), "not implemented"),
            (json!({ "etype": "org_per_3h" }), "not implemented"),
            (json!({}), "not implemented"),
        ] {
            let answer = answer(body.clone()).await;
            let expected =
                json!({ "success": false, "retry": false, "error": error, "data": { "error": error } });
            assert_eq!(answer, expected, "{body}");
        }
        for body in [json!([]), json!("health"), json!(null)] {
            assert_eq!(post(body).await.status, 400);
        }
    }

    #[actix_rt::test]
    async fn a_call_reaches_its_handler_with_what_it_needs() {
        let oid = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
        let call = json!({ "version": 1, "etype": "detection", "oid": oid, "mid": "m", "deadline": 1_700_000_060.5, "data": null });
        assert_eq!(
            answer(call).await,
            json!({ "success": true, "data": { "oid": oid, "mid": "m" } })
        );
        assert_eq!(answer(json!({ "etype": "org_per_1h" })).await["success"], true);
    }

    #[actix_rt::test]
    async fn a_handler_that_panics_is_asked_again_and_tells_nothing_of_itself() {
        let answer = answer(json!({ "etype": "detection", "data": { "cat": "panic" } })).await;
        assert_eq!(answer["retry"], true);
        assert_eq!(answer["error"], "internal error");
    }

    #[actix_rt::test]
    async fn a_call_that_is_too_long_is_refused_for_good_without_being_read_whole() {
        let runtime = runtime().taking(200);
        let post = async |body: String| {
            let signature = sign(SECRET, body.as_bytes());
            let headers = [("lc-svc-sig", signature.as_bytes())];
            runtime.handle(headers, body.as_bytes(), NOW).await
        };
        let call = |length: usize| {
            json!({ "etype": "detection", "data": { "cat": "x".repeat(length) } }).to_string()
        };
        let fits = call(200 - call(0).len());
        assert_eq!(fits.len(), 200);
        let response = post(fits).await;
        assert!(String::from_utf8(response.body).unwrap().contains("true"));
        let response = post(call(200)).await;
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            (response.status, &answer["success"], &answer["retry"]),
            (200, &json!(false), &json!(false))
        );
        assert!(
            answer["error"].as_str().unwrap().contains("at most 200"),
            "{answer}"
        );
        for body in [
            format!("[{}0]", "0,".repeat(200)),
            format!("{{{}", " ".repeat(200)),
        ] {
            assert_eq!(post(body).await.status, 400);
        }
    }

    #[actix_rt::test]
    async fn calls_under_way_are_counted_even_when_they_are_dropped() {
        let runtime = runtime();
        let body = json!({ "etype": "detection", "data": { "cat": "wait" } }).to_string();
        let signature = sign(SECRET, body.as_bytes());
        let headers = [("lc-svc-sig", signature.as_bytes())];
        let mut waiting = Box::pin(runtime.handle(headers, body.as_bytes(), NOW));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!(runtime.in_progress.load(Ordering::Relaxed), 1);
        drop(waiting);
        assert_eq!(runtime.in_progress.load(Ordering::Relaxed), 0);
    }
}
