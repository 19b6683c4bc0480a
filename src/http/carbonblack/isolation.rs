//! A sensor's isolation: what is asked of it, what it is, and asking for it by a job.
//!
//! `is_isolating` is what the host's agent says; `network_isolation_enabled` is what was asked last, until that
//! happened or failed. The client puts the latter and waits for the former.

use super::error::DialectError;
use super::sensor_object::object;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tripline_actors::Core;
use tripline_actors::access::Principal;
use tripline_protocol::api::{HostView, SubmitJob};
use tripline_protocol::job::{JobSpec, Priority};
use tripline_protocol::limit::ISOLATION_SPAN_MAX;
use tripline_protocol::step::Step;
use tripline_protocol::verb::{Isolate, NoArguments, Verb, VerbCall};
use tripline_protocol::{HostId, Span, Timestamp};

const FIELD: &str = "network_isolation_enabled";
/// How long the job waits for a host that is away: the product that the client was written for waits for ever.
const WAITS: Span = Span::from_secs(7 * 24 * 3600);

/// What jobs that have not ended ask of sensors.
pub(super) struct Asked(HashMap<HostId, bool>);

impl Asked {
    /// Of these sensors; without open jobs nothing is looked up.
    pub(super) async fn of(
        core: &Core,
        caller: &Principal,
        hosts: &[HostView],
    ) -> Result<Self, DialectError> {
        if hosts.iter().all(|host| host.jobs_open == 0) {
            return Ok(Self(HashMap::new()));
        }
        Ok(Self(core.isolations_asked(caller.org_for(None)?).await?))
    }

    /// The sensor's object.
    pub(super) fn shown(&self, host: &HostView, now: Timestamp) -> Value {
        let mut sensor = object(host, now);
        if let (Some(asked), Some(shown)) = (self.0.get(&host.host_id), sensor.get_mut(FIELD)) {
            *shown = json!(asked);
        }
        sensor
    }
}

/// The change that is asked for, if it is one.
pub(super) fn change(wanted: &Map<String, Value>, present: &Value) -> Result<Option<bool>, DialectError> {
    match wanted.get(FIELD) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(wanted)) => {
            Ok(Some(*wanted).filter(|wanted| present.get(FIELD) != Some(&json!(wanted))))
        }
        Some(_) => Err(DialectError::bad(format!("{FIELD}: expected true or false"))),
    }
}

/// Asks for it: by a job, which waits for a host that is away.
pub(super) async fn ask(core: &Core, host: &HostView, isolated: bool) -> Result<(), DialectError> {
    if !can_be_isolated(host) {
        return Err(DialectError::refused(
            "This sensor's agent does not offer to isolate its host; nothing was changed",
        ));
    }
    let job = job(isolated).map_err(|error| DialectError::bad(error.to_string()))?;
    let request = SubmitJob {
        org: Some(host.org.clone()),
        host: host.host_id.to_string(),
        job: Some(job),
        named: None,
        params: Default::default(),
        idempotency_key: None,
        investigation_id: None,
    };
    core.submit_job(request).await?;
    Ok(())
}

/// Whether its agent offers it; of one that is away nobody knows, and it is let wait.
pub(super) fn can_be_isolated(host: &HostView) -> bool {
    let mut agents = host
        .attachments
        .iter()
        .filter(|attached| attached.kind == "agent");
    match agents.next() {
        Some(agent) => agent.verbs.contains(&Verb::Isolate),
        None => !host.agent_version.is_empty(),
    }
}

/// The client knows no end of an isolation but its own: it lasts as long as one may, and over boots.
fn job(isolated: bool) -> Result<JobSpec, tripline_protocol::id::InvalidId> {
    let call = match isolated {
        true => VerbCall::Isolate(Isolate {
            lasts: Some(ISOLATION_SPAN_MAX),
            persist: true,
            allow: Vec::new(),
        }),
        false => VerbCall::Unisolate(NoArguments {}),
    };
    let mut step = Step::new(call.verb(), call.to_args());
    step.idempotent = true;
    Ok(JobSpec {
        expires: Some(WAITS),
        priority: Priority::High,
        ..JobSpec::new(call.verb().as_str().parse()?, vec![step])
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;
    use tripline_protocol::api::AttachmentView;

    fn put(value: Value) -> Result<Option<bool>, DialectError> {
        let wanted = Map::from_iter([(FIELD.to_owned(), value)]);
        change(&wanted, &object(&host(1, "a"), Timestamp::default()))
    }

    #[test]
    fn only_another_value_is_a_change() {
        assert_eq!(put(json!(true)).expect("legal"), Some(true));
        assert_eq!(put(json!(false)).expect("legal"), None);
        assert_eq!(put(Value::Null).expect("legal"), None);
        assert!(put(json!("yes")).is_err());
    }

    #[test]
    fn what_was_asked_is_shown_until_it_has_happened() {
        let host = host(1, "a");
        let asked = Asked(HashMap::from([(host.host_id, true)]));
        let sensor = asked.shown(&host, Timestamp::default());
        assert_eq!(
            (&sensor[FIELD], &sensor["is_isolating"]),
            (&json!(true), &json!(false))
        );
    }

    #[test]
    fn a_host_that_is_away_is_waited_for_and_one_that_cannot_is_not() {
        let mut known = host(1, "a");
        assert!(!can_be_isolated(&known), "it never had an agent");
        known.agent_version = "0.1.0".into();
        assert!(can_be_isolated(&known));
        known.attachments = vec![AttachmentView {
            kind: "agent".into(),
            verbs: vec![Verb::ListProcesses],
            since: Timestamp::default(),
            epoch: 1,
        }];
        assert!(!can_be_isolated(&known));
    }

    #[test]
    fn what_is_asked_is_a_job_that_the_verbs_take() {
        for isolated in [true, false] {
            let job = job(isolated).expect("a job");
            assert_eq!(job.expires, Some(WAITS));
            let step = &job.steps[0];
            let verb = step.verb.host().expect("a verb of the host");
            VerbCall::parse(verb, step.args.clone()).expect("a call");
        }
    }
}
