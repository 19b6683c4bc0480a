//! A server with an honest agent, and what its metrics and its log say of the others.

use crate::harness::scripted::{Persona, ScriptedAgent};
use crate::harness::{Api, Server, Site, eventually, job_of};
use crate::liar::Liar;
use serde_json::json;
use tripline_protocol::job::{JobState, Outcome};

/// Everything at work. Dropped from the first to the last.
pub(crate) struct Scene {
    pub(crate) honest: ScriptedAgent,
    pub(crate) api: Api,
    pub(crate) server: Server,
    pub(crate) site: Site,
}

impl Scene {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let site = Site::new().await;
        // As in production: a warning has to name the host also where nothing else is written.
        let mut all = vec![("log.level", "warn")];
        all.extend_from_slice(settings);
        let server = Server::start(&site, &all).await;
        let api = server.api();
        let token = api.enrol_token().await;
        let honest = ScriptedAgent::start(&server.url(), &token, Persona::linux("honest")).await;
        Self {
            honest: honest.expect("an agent"),
            api,
            server,
            site,
        }
    }

    /// Another host, whose agent says what the test has it say.
    pub(crate) async fn liar(&self, hostname: &str) -> Liar {
        let token = self.api.enrol_token().await;
        Liar::attach(&self.server.url(), &token, hostname).await
    }

    /// The honest agent still does its work, and what it says arrives as it is.
    pub(crate) async fn honest_work_is_done(&self) {
        let pid = self.honest.machine().processes.start("/bin/honest --work");
        let job = self
            .api
            .run(self.honest.host_id(), job_of("list_processes", json!({})))
            .await;
        assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
        let output = job.steps[0].output.as_ref().expect("an output");
        let listed = output["processes"].as_array().expect("a list");
        let found = listed.iter().find(|process| process["pid"] == json!(pid));
        assert_eq!(found.expect("it is listed")["command_line"], "/bin/honest --work");
        assert_eq!(self.honest.seen().attachments, 1, "nobody threw it out");
        self.server.readiness(200).await;
    }

    /// The sum of a metric over all its labels, or over those lines that have `label` (`reason="event"`).
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.api.get("/metrics").await.body;
        let text = text.as_str().expect("text").to_owned();
        let named = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        };
        let values = text
            .lines()
            .filter(named)
            .filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().expect("a number")).sum()
    }

    /// Waits until a metric is more than it was.
    pub(crate) async fn counted(&self, name: &str, label: &str, before: f64) {
        eventually(&format!("{name} {label} grows"), async || {
            (self.metric(name, label).await > before).then_some(())
        })
        .await;
    }

    /// Lines of the server's log with all of these.
    pub(crate) fn logged(&mut self, words: &[&str]) -> Vec<String> {
        let log = self.server.process().log();
        let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
        log.lines().filter(has_all).map(str::to_owned).collect()
    }
}
