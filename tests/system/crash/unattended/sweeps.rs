//! The fan-outs of the rounds, by a pipeline with `target` and by a submission: every host has one outcome and one turn,
//! the counts are those of the hosts, and one summary came.

use super::super::{Victim, counted};
use crate::fanouts::read_summary;
use crate::harness::{Api, Outside, eventually};
use reqwest::Method;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tripline_protocol::api::JobView;
use tripline_protocol::fanout::{
    FanoutCounts, FanoutHostState, FanoutHostView, FanoutOutcome, FanoutState, FanoutSummary, FanoutView,
};
use tripline_protocol::job::Outcome;
use tripline_protocol::{EventKey, FanoutId, HostId, JobId, Name, Org};

/// One host first, and then two at a time at most. Two fan-outs of one round share the hosts, so that they are under way
/// for longer than anybody who is to die lives on after they began. The command lasts, so that an agent dies in its midst.
pub(super) const PIPELINE: &str = r#"
name: sweep
on: [soak.sweep]
target: all
fanout: { canary: 1, in_flight: 2 }
job:
  steps:
    - create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"; sleep 0.4", "{{ event.data.file }}", "{{ event.id }}/{{ host.id }}"]
    - wait: 300ms
    - list_directory: { path: "/proc/self" }
"#;

/// The same, for a submission.
pub(super) const NAMED_JOB: &str = r#"
name: hunt
params: { file: { type: string }, mark: { type: string } }
steps:
  - create_process:
      argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"; sleep 0.4", "{{ params.file }}", "{{ params.mark }}/{{ host.id }}"]
  - wait: 300ms
  - list_directory: { path: "/proc/self" }
"#;

/// Who begins a fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Pipeline,
    Submission,
}

/// A fan-out that is asked for, by what its jobs leave on their hosts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sweep {
    mark: String,
    by: By,
}

/// A fan-out that has ended, with its hosts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Swept {
    sweep: Sweep,
    view: FanoutView,
    hosts: Vec<FanoutHostView>,
}

impl Sweep {
    pub(super) fn new(by: By, round: u64) -> Self {
        Self {
            mark: format!("{by:?}{round}"),
            by,
        }
    }

    fn name(&self) -> Name {
        let name = match self.by {
            By::Pipeline => "sweep",
            By::Submission => "hunt",
        };
        name.parse().expect("a name")
    }

    fn id(&self) -> FanoutId {
        let org = Org::default_org();
        match self.by {
            By::Pipeline => {
                let event = EventKey::derive(&org, "system-test", &self.mark);
                FanoutId::derive(event, &self.name(), 0)
            }
            By::Submission => FanoutId::derive_submitted(&org, &self.mark),
        }
    }

    /// Asks until it is accepted, as a program would whose server may go away.
    pub(super) async fn begin(&self, api: &Api, outside: &Outside, counter: &Path) {
        match self.by {
            By::Pipeline => {
                let event = json!({"specversion": "1.0", "id": self.mark, "source": "system-test",
                    "type": "soak.sweep", "data": {"file": counter}});
                outside.publish("soak.sweep", &event).await;
            }
            By::Submission => self.submit(api, counter).await,
        }
    }

    async fn submit(&self, api: &Api, counter: &Path) {
        let request = json!({"target": "all", "named": "hunt", "params": {"file": counter, "mark": self.mark},
            "pace": {"canary": 1, "in_flight": 2}, "idempotency_key": self.mark});
        let answer = eventually("the fan-out is accepted", async || {
            let answer = api.try_post("/v1/fanouts", &request).await?;
            (answer.status == 201).then_some(answer)
        })
        .await;
        assert_eq!(answer.body["fanout_id"], json!(self.id()), "{answer:?}");
    }

    /// Waits for its end. A canary of which nobody knows how it ended pauses it, and a person lets it go on.
    pub(super) async fn ended(&self, api: &Api, victim: Victim) -> Swept {
        let path = format!("/v1/fanouts/{}", self.id());
        let view = eventually(&format!("{self:?} ends"), async || {
            let fanout: FanoutView = serde_json::from_value(api.try_get(&path).await?.body).ok()?;
            if fanout.state == FanoutState::Paused {
                let code = fanout.reason.as_ref().map(|reason| reason.code.as_str());
                assert_eq!(code, Some("canary_failed"), "{fanout:?}");
                assert_eq!(
                    (victim, fanout.counts.interrupted),
                    (Victim::Agent, 1),
                    "{fanout:?}"
                );
                let resume = api.request(Method::DELETE, &format!("{path}/pause"));
                let answer = resume.send().await.expect("an answer");
                assert_eq!(answer.status(), 200, "{fanout:?}");
            }
            fanout.state.outcome().is_some().then_some(fanout)
        })
        .await;
        let hosts = api.get(&format!("{path}/hosts?limit=500")).await.body;
        Swept {
            sweep: self.clone(),
            view,
            hosts: serde_json::from_value(hosts["items"].clone()).expect("hosts"),
        }
    }
}

impl Swept {
    /// On how many hosts nobody knows how it ended.
    pub(super) fn interrupted(&self) -> u64 {
        self.view.counts.interrupted
    }

    /// Each host once, at its end, by one job, which did what it says.
    fn check(&self, hosts: &[HostId], jobs: &BTreeMap<JobId, JobView>, counted: &BTreeMap<String, usize>) {
        let found: Vec<HostId> = self.hosts.iter().map(|host| host.host_id).collect();
        let mut expected = hosts.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{self:?}");
        let (id, name) = (self.view.fanout_id, self.sweep.name());
        for host in &self.hosts {
            let job_id = JobId::derive_fanout(id, &name, host.host_id, 0);
            assert_eq!((host.job_id, host.run), (Some(job_id), 0), "{self:?}");
            let job = jobs.get(&job_id).expect("its job");
            let outcome = job.state.outcome().expect("it has ended");
            let of = job.fanout.as_ref().map(|of| of.fanout_id);
            assert_eq!((of, job.host.host_id), (Some(id), host.host_id), "{job:?}");
            assert_eq!(host.state, FanoutHostState::Ended(outcome), "{job:?}");
            let mark = format!("{}/{}", self.sweep.mark, host.host_id);
            let times = counted.get(&mark).copied().unwrap_or(0);
            match outcome {
                Outcome::Succeeded => assert_eq!(times, 1, "{mark}: {job:?}"),
                Outcome::Interrupted => assert!(times <= 1, "{mark}: {job:?}"),
                _ => panic!("{mark}: {job:?}"),
            }
        }
        self.adds_up();
    }

    fn adds_up(&self) {
        let mut counts = FanoutCounts::default();
        for host in &self.hosts {
            counts.hosts += 1;
            *counts.of(host.state) += 1;
        }
        assert_eq!(self.view.counts, counts, "{self:?}");
        let outcome = match counts.interrupted {
            0 => FanoutOutcome::Succeeded,
            _ => FanoutOutcome::Failed,
        };
        assert_eq!(self.view.state, FanoutState::Ended(outcome), "{self:?}");
    }

    fn check_summary(&self, (message_id, subject, summary): &(String, String, FanoutSummary)) {
        let (id, name) = (self.view.fanout_id, self.sweep.name());
        assert!(message_id.starts_with(&id.to_string()), "{message_id}");
        let expected = format!("tripline.fanouts.default.{name}.{}.{id}", self.view.state);
        assert_eq!(*subject, expected);
        assert_eq!(summary.fanout, self.view);
        let succeeded = FanoutHostState::Ended(Outcome::Succeeded);
        let others = self.hosts.iter().filter(|host| host.state != succeeded);
        assert_eq!(summary.not_succeeded, others.cloned().collect::<Vec<_>>());
    }
}

/// The counts of those that have not ended, for whoever reads what a round met.
pub(super) async fn open(api: &Api) -> Vec<FanoutCounts> {
    let all = listed(api).await.into_iter();
    all.filter(|fanout| fanout.state.outcome().is_none())
        .map(|fanout| fanout.counts)
        .collect()
}

async fn listed(api: &Api) -> Vec<FanoutView> {
    let page = api.get("/v1/fanouts?limit=500").await.body;
    serde_json::from_value(page["items"].clone()).expect("fan-outs")
}

/// What must hold of all fan-outs there are, with all jobs there are.
pub(super) fn check_all(
    all: &[Swept],
    hosts: &[HostId],
    jobs: &BTreeMap<JobId, JobView>,
    counter: &Path,
    victim: Victim,
) {
    let counted = counted(counter);
    for swept in all {
        swept.check(hosts, jobs, &counted);
        assert!(victim == Victim::Agent || swept.interrupted() == 0, "{swept:?}");
    }
    let of_hosts = all
        .iter()
        .flat_map(|swept| &swept.hosts)
        .filter_map(|host| host.job_id);
    let of_fanouts = jobs
        .values()
        .filter(|job| job.fanout.is_some())
        .map(|job| job.job_id);
    assert_eq!(
        of_fanouts.collect::<BTreeSet<_>>(),
        of_hosts.collect::<BTreeSet<_>>(),
        "the jobs of fan-outs and those of their hosts"
    );
}

/// These fan-outs are all there are, and each has one summary.
pub(super) async fn one_summary_each(all: &[Swept], api: &Api, outside: &Outside) {
    let known: BTreeSet<FanoutId> = listed(api).await.iter().map(|fanout| fanout.fanout_id).collect();
    let expected: BTreeSet<FanoutId> = all.iter().map(|swept| swept.view.fanout_id).collect();
    assert_eq!(
        known, expected,
        "the fan-outs there are and those that were asked for"
    );
    let found = eventually("a summary of every fan-out", async || {
        let found = summaries(outside).await;
        expected.iter().all(|id| found.contains_key(id)).then_some(found)
    })
    .await;
    assert_eq!(found.len(), all.len(), "a summary of no fan-out");
    for swept in all {
        let of_this = &found[&swept.view.fanout_id];
        assert_eq!(of_this.len(), 1, "one summary: {of_this:?}");
        swept.check_summary(&of_this[0]);
    }
}

async fn summaries(outside: &Outside) -> BTreeMap<FanoutId, Vec<(String, String, FanoutSummary)>> {
    let mut found: BTreeMap<FanoutId, Vec<_>> = BTreeMap::new();
    let messages = outside.read("TRIPLINE_RESULTS").await.into_iter();
    for message in messages.filter(|message| message.subject.starts_with("tripline.fanouts.")) {
        let read = read_summary(message);
        found.entry(read.2.fanout.fanout_id).or_default().push(read);
    }
    found
}
