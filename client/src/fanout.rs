//! Fan-outs: one job on many hosts, which the server goes through at a pace, whether this program goes on or not.
//!
//! Deliberately not here: jobs on many hosts that this program runs, which is `jobs`.

use crate::client::Client;
use crate::error::{Error, Result};
use crate::http::{HOLD_MAX, Repeat, Request};
use crate::listing::{self, Listing};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::Map;
use std::time::Duration;
use tripline_protocol::api::SetPause;
use tripline_protocol::fanout::{
    FanoutHostState, FanoutHostView, FanoutOutcome, FanoutReach, FanoutView, Pace, RetryFanout, SubmitFanout,
    Target,
};
use tripline_protocol::job::JobSpec;
use tripline_protocol::{FanoutId, Name, Span};
use uuid::Uuid;

/// Fan-outs.
impl Client {
    /// Has the server run a job on every host of a target. Awaited, the fan-out is durable: it goes on although this
    /// program ends, and hosts that are away have their turn when they come back before it expires.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tripline_client::{JobSpec, Target};
    ///
    /// let target: Target = serde_json::from_value(serde_json::json!({"labels": ["dmz"], "platform": "linux"}))?;
    /// let job: JobSpec = serde_json::from_value(serde_json::json!({
    ///     "name": "look",
    ///     "steps": [{"list_processes": {}}],
    /// }))?;
    /// let fanout = client.run_fanout(target, job).reason("INC-42").await?;
    /// let ended = fanout.ended().await?;
    /// println!("{} of {} hosts succeeded", ended.counts.succeeded, ended.counts.hosts);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_fanout(&self, target: Target, job: JobSpec) -> RunFanout {
        RunFanout::new(self.clone(), target, Some(job), None)
    }

    /// The same with a job that has its steps at the server, under a name.
    ///
    /// ```no_run
    /// # async fn example(client: tripline_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tripline_client::Target;
    ///
    /// let fanout = client.run_named_fanout(Target::All, "collect-logs".parse()?).param("days", 7);
    /// println!("{} hosts", fanout.preview().await?.hosts);
    /// fanout.await?.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_named_fanout(&self, target: Target, name: Name) -> RunFanout {
        RunFanout::new(self.clone(), target, None, Some(name))
    }

    /// A fan-out, whoever submitted it.
    pub async fn fanout(&self, fanout_id: FanoutId) -> Result<Fanout> {
        let view = self.http().ask(&Request::get(&[&"fanouts", &fanout_id])).await?;
        Ok(Fanout {
            client: self.clone(),
            view,
        })
    }

    /// The fan-outs that the token may see, newest first.
    pub fn fanouts(&self) -> Listing<FanoutView> {
        let request = Request::get(&[&"fanouts"]).query_if("org", self.org());
        Listing::new(self.clone(), request, listing::ROWS)
    }
}

/// A fan-out to be submitted. Made by [`Client::run_fanout`] and [`Client::run_named_fanout`]; await it.
#[derive(Debug)]
#[must_use = "a fan-out is submitted when it is awaited"]
pub struct RunFanout {
    client: Client,
    request: SubmitFanout,
    wrong: Option<Error>,
}

impl RunFanout {
    fn new(client: Client, target: Target, job: Option<JobSpec>, named: Option<Name>) -> Self {
        let request = SubmitFanout {
            org: client.org().cloned(),
            target,
            job,
            named,
            params: Map::new(),
            pace: Pace::default(),
            expires: None,
            standing: false,
            max_hosts: None,
            include_protected: false,
            reason: None,
            // An answer that is lost does not make a second fan-out.
            idempotency_key: Some(Uuid::new_v4().to_string()),
        };
        Self {
            client,
            request,
            wrong: None,
        }
    }

    /// A parameter of a named job.
    pub fn param(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        let name = name.into();
        match serde_json::to_value(value) {
            Ok(value) => drop(self.request.params.insert(name, value)),
            Err(error) => {
                let text = format!("parameter {name} has no JSON form: {error}");
                self.wrong = Some(Error::unsupported("bad_argument", text).because(error));
            }
        }
        self
    }

    /// How fast it goes from host to host. Default: on 50 hosts at a time.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.request.pace = pace;
        self
    }

    /// How long hosts may wait for their turn. Default: 24 hours; 30 days at most.
    pub fn expires(mut self, expires: Duration) -> Self {
        let millis = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX);
        self.request.expires = Some(Span::from_millis(millis));
        self
    }

    /// Hosts that come to be such later join it until it expires.
    pub fn standing(mut self) -> Self {
        self.request.standing = true;
        self
    }

    /// It waits for a person, or [`Fanout::resume`], if there are more hosts than this.
    pub fn max_hosts(mut self, hosts: u32) -> Self {
        self.request.max_hosts = Some(hosts);
        self
    }

    /// Hosts that the server protects have their turn, too.
    pub fn include_protected(mut self) -> Self {
        self.request.include_protected = true;
        self
    }

    /// Why, for the record.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.request.reason = Some(reason.into());
        self
    }

    /// Whatever is submitted with the same key in the same org is the same fan-out. Default: a key of its own.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.request.idempotency_key = Some(key.into());
        self
    }

    /// Which hosts it would have now. Nothing is made.
    pub async fn preview(&self) -> Result<FanoutReach> {
        let request = Request::post(&[&"fanouts"]).query("dry_run", true);
        let request = request.json(&self.request)?.repeat(Repeat::Freely);
        self.client.http().ask(&request).await
    }

    async fn submit(self) -> Result<Fanout> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let request = Request::post(&[&"fanouts"]).json(&self.request)?;
        let view = self.client.http().ask(&request.repeat(Repeat::Freely)).await?;
        Ok(Fanout {
            client: self.client,
            view,
        })
    }
}

impl IntoFuture for RunFanout {
    type Output = Result<Fanout>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.submit().boxed()
    }
}

/// A fan-out, as it was when it was asked for. Dropping it does nothing to the fan-out.
#[derive(Debug, Clone)]
pub struct Fanout {
    client: Client,
    view: FanoutView,
}

impl Fanout {
    /// Its id.
    pub fn id(&self) -> FanoutId {
        self.view.fanout_id
    }

    /// Everything the server says of it.
    pub fn view(&self) -> &FanoutView {
        &self.view
    }

    /// The same fan-out as it is now.
    pub async fn refreshed(&self) -> Result<Fanout> {
        self.client.fanout(self.id()).await
    }

    /// Its hosts, each with its outcome and its job.
    ///
    /// ```no_run
    /// # async fn example(fanout: tripline_client::Fanout) -> tripline_client::Result<()> {
    /// let mut hosts = fanout.hosts();
    /// while let Some(host) = hosts.next_item().await.transpose()? {
    ///     println!("{} {}", host.hostname, host.state);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn hosts(&self) -> Listing<FanoutHostView> {
        self.listed(None)
    }

    /// Those of its hosts that are in this state.
    pub fn hosts_in(&self, state: FanoutHostState) -> Listing<FanoutHostView> {
        self.listed(Some(state))
    }

    fn listed(&self, state: Option<FanoutHostState>) -> Listing<FanoutHostView> {
        let request = Request::get(&[&"fanouts", &self.id(), &"hosts"]).query_if("state", state);
        Listing::new(self.client.clone(), request, listing::ROWS)
    }

    /// Waits until it has ended, however that was. One that is paused has not; a standing one ends when it expires.
    pub async fn ended(&self) -> Result<FanoutView> {
        let request = Request::get(&[&"fanouts", &self.id()]);
        loop {
            let view: FanoutView = self.client.http().ask(&request.clone().held(HOLD_MAX)).await?;
            if view.state.outcome().is_some() {
                return Ok(view);
            }
        }
    }

    /// Waits until it has succeeded on every host. One that ended in another way is an error: [`Error::Timeout`] when
    /// hosts had no turn in time, else [`Error::Server`], with the outcome or its reason as code.
    pub async fn result(&self) -> Result<FanoutView> {
        let view = self.ended().await?;
        match view.state.outcome() {
            Some(FanoutOutcome::Succeeded) => Ok(view),
            outcome => Err(why(&view, outcome)),
        }
    }

    /// Gives hosts another turn: those with these outcomes, by default all that failed, timed out, were interrupted or
    /// expired. One that has ended is open again.
    ///
    /// Fails with [`Error::Server`] `nothing_to_retry` when no host has such an outcome.
    ///
    /// ```no_run
    /// # async fn example(fanout: tripline_client::Fanout) -> tripline_client::Result<()> {
    /// if fanout.result().await.is_err() {
    ///     fanout.retry(Default::default()).await?.result().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn retry(&self, retry: RetryFanout) -> Result<Fanout> {
        let request = Request::post(&[&"fanouts", &self.id(), &"retry"]).json(&retry)?;
        self.changed(&request).await
    }

    /// It begins on no more hosts; jobs that it made go on.
    pub async fn pause(&self, reason: Option<String>) -> Result<Fanout> {
        let request = Request::put(&[&"fanouts", &self.id(), &"pause"]);
        self.changed(&request.json(&SetPause { reason })?).await
    }

    /// It goes on, whoever or whatever paused it.
    pub async fn resume(&self) -> Result<Fanout> {
        self.changed(&Request::delete(&[&"fanouts", &self.id(), &"pause"]))
            .await
    }

    /// Hosts that wait get no turn, and its open jobs are cancelled.
    pub async fn cancel(&self) -> Result<Fanout> {
        let request = Request::post(&[&"fanouts", &self.id(), &"cancel"]);
        self.changed(&request.repeat(Repeat::Freely)).await
    }

    async fn changed(&self, request: &Request) -> Result<Fanout> {
        Ok(Fanout {
            client: self.client.clone(),
            view: self.client.http().ask(request).await?,
        })
    }
}

/// Why a fan-out did not succeed.
fn why(view: &FanoutView, outcome: Option<FanoutOutcome>) -> Error {
    let counts = view.counts;
    let wrong = counts.failed + counts.timed_out + counts.interrupted;
    let (code, text) = view.reason.as_ref().map_or_else(
        || {
            let text = format!(
                "{wrong} of {} hosts failed, {} expired",
                counts.hosts, counts.expired
            );
            (view.state.to_string(), text)
        },
        |reason| (reason.code.clone(), reason.text.clone()),
    );
    let text = format!("fan-out {} {}: {}: {text}", view.name, view.fanout_id, view.state);
    match outcome {
        Some(FanoutOutcome::Expired) => Error::timeout(code, text),
        _ => Error::server(code, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Reply, Stub};
    use serde_json::{Value, json};
    use std::collections::VecDeque;
    use tripline_protocol::FaultClass;

    const ID: &str = "00000000-0000-0000-0000-00000000000a";

    fn view(state: &str, more: Value) -> Value {
        let mut view = json!({
            "fanout_id": ID, "org": "default", "name": "look", "state": state, "target": "all",
            "pace": {"in_flight": 50, "ramp": 2},
            "created_at": "2026-11-21T00:00:00Z", "expires_at": "2026-11-22T00:00:00Z",
            "counts": {
                "hosts": 5, "pending": 0, "offline": 0, "in_flight": 0, "succeeded": 2, "failed": 1, "timed_out": 1,
                "expired": 1, "cancelled": 0, "interrupted": 0, "skipped": 0,
            },
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut view, more) {
            all.extend(more);
        }
        view
    }

    /// Answers with these one after the other, the last one for ever.
    async fn stub(answers: impl IntoIterator<Item = Value>) -> Stub {
        let mut answers: VecDeque<Value> = answers.into_iter().collect();
        Stub::start(move |_| {
            let next = match answers.len() {
                0 | 1 => answers.front().cloned(),
                _ => answers.pop_front(),
            };
            Reply::json(200, &next.unwrap_or_default())
        })
        .await
    }

    fn named(stub: &Stub) -> RunFanout {
        let name = "collect".parse().expect("a name");
        stub.client().run_named_fanout(Target::All, name)
    }

    #[tokio::test]
    async fn a_fan_out_whose_answer_was_lost_is_submitted_again_under_the_same_key() {
        let mut first = true;
        let stub = Stub::start(move |_| match std::mem::replace(&mut first, false) {
            true => Reply::HangUp,
            false => Reply::json(201, &view("resolving", json!({}))),
        })
        .await;
        let fanout = named(&stub)
            .param("days", 7)
            .standing()
            .max_hosts(20)
            .expires(Duration::from_secs(3600))
            .reason("INC-42");
        assert_eq!(fanout.await.expect("submitted").id().to_string(), ID);
        let bodies: Vec<Value> = stub.asked().iter().map(|asked| asked.json()).collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0], bodies[1]);
        assert!(bodies[0]["idempotency_key"].is_string());
        for (key, value) in [
            ("target", json!("all")),
            ("named", json!("collect")),
            ("params", json!({"days": 7})),
            ("standing", json!(true)),
            ("max_hosts", json!(20)),
            ("expires", json!("1h")),
            ("reason", json!("INC-42")),
        ] {
            assert_eq!(bodies[0][key], value, "{key}");
        }
    }

    #[tokio::test]
    async fn an_end_is_waited_for_and_one_without_success_is_an_error() {
        let no_hosts = json!({"reason": {"code": "no_hosts", "text": "no host is so"}});
        for (state, more, expected) in [
            ("succeeded", json!({}), None),
            ("failed", json!({}), Some((FaultClass::Server, "failed"))),
            ("failed", no_hosts, Some((FaultClass::Server, "no_hosts"))),
            ("expired", json!({}), Some((FaultClass::Timeout, "expired"))),
            ("cancelled", json!({}), Some((FaultClass::Server, "cancelled"))),
        ] {
            let open = ["resolving", "running", "paused"].map(|state| view(state, json!({})));
            let stub = stub(open.into_iter().chain([view(state, more)])).await;
            let fanout = named(&stub).await.expect("submitted");
            let result = fanout.result().await;
            let found = result.as_ref().err().map(|error| (error.class(), error.code()));
            assert_eq!(found, expected, "{state}");
            assert_eq!(
                fanout.ended().await.expect("it has ended").state.to_string(),
                state
            );
        }
    }

    #[tokio::test]
    async fn hosts_come_page_by_page_and_what_failed_is_tried_again() {
        let host = |state: &str| json!({"host_id": ID, "hostname": "web01", "state": state, "run": 0});
        let stub = stub([
            view("failed", json!({})),
            json!({"items": [host("failed")], "next": "x"}),
            json!({"items": [host("timed_out")]}),
            view("running", json!({})),
        ])
        .await;
        let fanout = named(&stub).await.expect("submitted");
        let wrong = fanout.hosts().list().await.expect("hosts");
        assert_eq!(wrong.len(), 2);
        let retry = RetryFanout {
            timeout: Some(Span::from_secs(60)),
            ..RetryFanout::default()
        };
        let again = fanout.retry(retry).await.expect("again");
        assert_eq!(again.view().state.to_string(), "running");
        let asked = stub.asked();
        let body = asked.last().expect("a request").json();
        assert_eq!(
            body,
            json!({"outcomes": ["failed", "timed_out", "interrupted", "expired"], "timeout": "1m"})
        );
    }
}
