//! Tripline as a LittleBrother server: started, and looked at from outside.

use crate::harness::{Api, Outside, Server, Site, eventually};
use crate::peers::{IMPATIENT_SECONDS, PATIENT_SECONDS, Person, SECRET};
use crate::stream::{Events, Published};
use serde_json::{Value, json};
use std::path::PathBuf;
use tripline_protocol::HostId;
use tripline_protocol::api::{HostView, JobView};
use tripline_protocol::job::Outcome;

/// A server that knows one person, whose clients report every second.
pub(crate) struct Tripline {
    pub(crate) server: Server,
    pub(crate) outside: Outside,
    events: Events,
    config: PathBuf,
}

/// What a configuration says about LittleBrother.
pub(crate) struct Settings {
    table: toml::Table,
    users: Vec<toml::Table>,
}

impl Settings {
    /// One person, everything else as in all tests.
    pub(crate) fn of(person: &Person) -> Self {
        let table = toml::toml! {
            secret = SECRET
            check_interval = "1s"
            kill_process_delay = "1s"
        };
        let mut settings = Self {
            table,
            users: Vec::new(),
        }
        .with("maximum_time_without_send", format!("{PATIENT_SECONDS}s"));
        settings.add(person, &person.games());
        settings
    }

    /// The same for clients that may not be without a server for long.
    pub(crate) fn impatient(self) -> Self {
        self.with("maximum_time_without_send", format!("{IMPATIENT_SECONDS}s"))
    }

    /// The same with another value of a key.
    pub(crate) fn with(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.table.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a person whose processes of this pattern count.
    pub(crate) fn add(&mut self, person: &Person, pattern: &str) {
        let mut user = toml::Table::new();
        user.insert("login".into(), person.login.into());
        user.insert("uid".into(), person.uid.into());
        user.insert("process_name_pattern".into(), pattern.into());
        user.insert("prohibited_process_name_pattern".into(), person.bad_ones().into());
        self.users.push(user);
    }

    /// Which processes of the first person count.
    pub(crate) fn set_pattern(&mut self, pattern: &str) {
        self.users[0].insert("process_name_pattern".into(), pattern.into());
    }

    fn text(&self) -> String {
        let mut table = self.table.clone();
        table.insert("users".into(), self.users.clone().into());
        let mut all = toml::Table::new();
        all.insert("littlebrother".into(), table.into());
        all.to_string()
    }
}

impl Tripline {
    /// Starts one with the pipelines of these YAML texts.
    pub(crate) async fn start(site: &Site, settings: &Settings, pipelines: &[&str]) -> Self {
        let config = site.write("tripline.toml", settings.text());
        for (number, pipeline) in pipelines.iter().enumerate() {
            site.write(&format!("pipelines/{number}.yaml"), pipeline);
        }
        let folder = site.path("pipelines");
        let rules = [("pipelines.dir", folder.to_str().expect("UTF-8"))];
        let rules: &[(&str, &str)] = if pipelines.is_empty() { &[] } else { &rules };
        let mut server = Server::prepare(site, rules);
        server.set_config(&config);
        server.spawn();
        server.ready().await;
        Self {
            outside: server.outside().await,
            server,
            events: Events::default(),
            config,
        }
    }

    /// Writes another configuration and has it read.
    pub(crate) fn reload(&mut self, settings: &Settings) {
        std::fs::write(&self.config, settings.text()).expect("to write");
        self.server.process().signal(rustix::process::Signal::HUP);
    }

    /// Waits until it is ready after a start; its broker is another one then.
    pub(crate) async fn back(&mut self) {
        self.server.ready().await;
        self.outside = self.server.outside().await;
    }

    pub(crate) fn api(&self) -> Api {
        self.server.api()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// All hosts.
    pub(crate) async fn hosts(&self) -> Vec<HostView> {
        let answer = self.api().get("/v1/hosts").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_value(answer.body["items"].clone()).expect("hosts")
    }

    /// The record of a LittleBrother client of this name, once it has one.
    pub(crate) async fn client(&self, hostname: &str) -> HostView {
        self.client_that(hostname, "is known", |_| true).await
    }

    /// The same, once something holds for it.
    pub(crate) async fn client_that(
        &self,
        hostname: &str,
        what: &str,
        holds: impl Fn(&HostView) -> bool,
    ) -> HostView {
        eventually(&format!("the client {hostname} {what}"), async || {
            self.hosts().await.into_iter().find(|host| {
                let reports = host
                    .littlebrother
                    .as_ref()
                    .is_some_and(|view| view.hostname == hostname);
                reports && holds(host)
            })
        })
        .await
    }

    /// Waits until so many processes of a client are open.
    pub(crate) async fn open_processes(&self, hostname: &str, count: u32) -> HostView {
        self.client_that(hostname, &format!("has {count} open processes"), |host| {
            host.littlebrother
                .as_ref()
                .is_some_and(|view| view.processes_open == count)
        })
        .await
    }

    /// Every event of a type in the stream, in order.
    pub(crate) async fn events(&self, etype: &str) -> Vec<Published> {
        let mut events = self.events.all(&self.outside).await;
        events.retain(|event| event.etype == etype);
        events
    }

    /// Waits for an event about a process; all there are of it then.
    pub(crate) async fn events_of(&self, etype: &str, pid: u32) -> Vec<Published> {
        eventually(&format!("{etype} of {pid} on NATS"), async || {
            let mut events = self.events(etype).await;
            events.retain(|event| event.data["pid"] == pid);
            (!events.is_empty()).then_some(events)
        })
        .await
    }

    /// Waits for an event about a host; the last there is then.
    pub(crate) async fn event_of_host(&self, etype: &str, host: HostId) -> Published {
        eventually(&format!("{etype} of {host} on NATS"), async || {
            self.events(etype)
                .await
                .into_iter()
                .rfind(|event| event.host == Some(host))
        })
        .await
    }

    /// What `list_processes` on a host gives.
    pub(crate) async fn processes(&self, host: HostId) -> Vec<Value> {
        let step = json!({"id": "only", "list_processes": {}});
        let job = self
            .api()
            .run(host, json!({"name": "list", "steps": [step]}))
            .await;
        assert_eq!(job.state.outcome(), Some(Outcome::Succeeded), "{job:?}");
        let output = job.steps[0].output.clone().expect("an output");
        output["processes"].as_array().expect("a list").clone()
    }

    /// The jobs of this name.
    pub(crate) async fn jobs_of(&self, name: &str) -> Vec<JobView> {
        let mut jobs = self.api().jobs().await;
        jobs.retain(|job| job.name.as_str() == name);
        jobs
    }

    /// Waits until a job of this name has succeeded.
    pub(crate) async fn job_succeeds(&self, name: &str) -> JobView {
        eventually(&format!("a job {name} succeeds"), async || {
            let jobs = self.jobs_of(name).await;
            jobs.into_iter()
                .find(|job| job.state.outcome() == Some(Outcome::Succeeded))
        })
        .await
    }

    /// Ends a process on a host by a job.
    pub(crate) async fn kill(&self, host: HostId, arguments: Value) -> JobView {
        let step = json!({"id": "only", "kill_process": arguments});
        self.api()
            .run(host, json!({"name": "kill", "steps": [step]}))
            .await
    }
}
