//! A server over TLS, agents, and scripts.

use crate::harness::scripted::{Persona, ScriptedAgent};
use crate::harness::{AgentProcess, Api, Server, Site, eventually, free_port};
use crate::script::Script;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use tripline_protocol::HostId;

/// Everything at work. The first agent's host is sensor 1, and so on.
pub(crate) struct Scene {
    pub(crate) agents: Vec<AgentProcess>,
    pub(crate) server: Server,
    /// HTTPS, also after another start.
    pub(crate) url: String,
    /// An operator's.
    pub(crate) token: String,
    scripts: AtomicUsize,
    /// Last, because its folder goes with it.
    pub(crate) site: Site,
}

impl Scene {
    /// One agent, and what is configured by default.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], 1).await
    }

    /// So many agents, with settings of the server.
    pub(crate) async fn start_with(settings: &[(&str, &str)], agents: usize) -> Self {
        Self::start_on(Site::new().await, "", settings, agents).await
    }

    /// The same with a configuration file.
    pub(crate) async fn start_on(site: Site, config: &str, settings: &[(&str, &str)], agents: usize) -> Self {
        let mut server = Server::prepare(&site, settings);
        server.set_config(&site.write("tripline.toml", config));
        // Scripts find it where it was when it was started again.
        let address = format!("127.0.0.1:{}", free_port());
        server.set("http.tls_listen", &address);
        server.spawn();
        server.ready().await;
        let mut scene = Self {
            agents: Vec::new(),
            url: format!("https://{address}"),
            token: operator(&server.api(), "scripts").await,
            server,
            scripts: AtomicUsize::new(0),
            site,
        };
        for _ in 0..agents {
            scene.add_agent().await;
        }
        scene
    }

    /// Another host with an agent; its id.
    pub(crate) async fn add_agent(&mut self) -> HostId {
        let name = format!("{}", self.agents.len() + 1);
        let mut agent = AgentProcess::start(&self.site, &self.server, &name).await;
        let host_id = agent.host_id().await;
        self.agents.push(agent);
        host_id
    }

    /// Another host, whose agent has a script.
    pub(crate) async fn add_scripted(&self, persona: Persona) -> ScriptedAgent {
        let token = self.api().enrol_token().await;
        let agent = ScriptedAgent::start(&self.server.url(), &token, persona).await;
        agent.expect("an agent")
    }

    pub(crate) fn api(&self) -> Api {
        self.server.api()
    }

    /// Waits until so many slots are held, and so many sessions wait for one.
    pub(crate) async fn slots(&self, held: usize, waiting: u64) {
        eventually(
            &format!("{held} slots are held and {waiting} sessions wait"),
            async || {
                let slots = self.api().slots().await;
                let holds = slots.slots.iter().filter(|slot| slot.session.is_some()).count();
                (holds == held && slots.sessions_waiting == waiting).then_some(())
            },
        )
        .await;
    }

    /// The sessions of this state, as administrators see them.
    pub(crate) async fn sessions(&self, state: &str) -> Vec<Value> {
        let answer = self.api().get("/v1/sessions?limit=500").await;
        let items = answer.body["items"].as_array().expect("a list");
        items
            .iter()
            .filter(|item| item["state"] == state)
            .cloned()
            .collect()
    }

    /// The secret of another operator.
    pub(crate) async fn operator(&self, name: &str) -> String {
        operator(&self.api(), name).await
    }

    /// The certificate that signed the server's.
    pub(crate) fn authority(&self) -> PathBuf {
        self.server.data_dir().join("tls/ca.pem")
    }

    /// Starts a script with what it is given. It begins with everything of `stage.py`.
    pub(crate) fn start_script(&self, text: &str, given: Value) -> Script {
        let mut all = Map::new();
        all.insert("url".to_owned(), json!(self.url));
        all.insert("token".to_owned(), json!(self.token));
        all.insert("authority".to_owned(), json!(self.authority()));
        let Value::Object(given) = given else {
            panic!("an object")
        };
        all.extend(given);
        let program = format!("from stage import *\n{}", unindented(text));
        let given = Value::Object(all).to_string();
        Script::start(&self.script_folder(), &program, &[("GIVEN", given)])
    }

    /// Runs a script to its end; what it said.
    pub(crate) async fn run(&self, text: &str, given: Value) -> Vec<Value> {
        self.start_script(text, given).end().await
    }

    /// The same for one that says one thing.
    pub(crate) async fn ask(&self, text: &str, given: Value) -> Value {
        let mut said = self.run(text, given).await;
        assert_eq!(said.len(), 1, "{said:?}");
        said.remove(0)
    }

    /// A folder that no other script has.
    pub(crate) fn script_folder(&self) -> PathBuf {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        self.site.path(format!("script-{number}"))
    }
}

/// As many slots as this, none of them reserved.
pub(crate) fn slots_for_sessions(total: &str) -> [(&'static str, &str); 3] {
    [
        ("slots.total", total),
        ("slots.jobs_reserved", "0"),
        ("slots.interactive_reserved", "0"),
    ]
}

async fn operator(api: &Api, name: &str) -> String {
    api.create_token(json!({"name": name, "role": "operator"})).await
}

/// Without what all lines begin with, as the text stands in a test.
fn unindented(text: &str) -> String {
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let indent = lines().map(|line| line.len() - line.trim_start().len()).min();
    let bare = text
        .lines()
        .map(|line| line.get(indent.unwrap_or(0)..).unwrap_or(""));
    bare.fold(String::new(), |text, line| text + line + "\n")
}
