//! The Carbon Black dialect as any program speaks it: words, statuses, and what is left behind. The real client
//! has its own suite.

mod commands;
mod files;
mod golden;
mod refused;
mod scripts;

use crate::harness::{AgentProcess, Answer, Server, Site, eventually};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const BASE: &str = "/api/v1/cblr/session";

/// A script with a token.
struct Script {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Script {
    /// With the administrator's token.
    fn new(server: &Server) -> Self {
        let token = std::fs::read_to_string(server.data_dir().join("admin.token")).expect("a token");
        Self::with(server, token.trim())
    }

    fn with(server: &Server, token: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: server.url(),
            token: token.to_owned(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).header("X-Auth-Token", &self.token)
    }

    async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, body }
    }

    async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(&body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request(Method::DELETE, path)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Opens a session and waits until it is active; its path.
    async fn session(&self, sensor_id: u32) -> String {
        let opened = self.post(BASE, json!({"sensor_id": sensor_id})).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        let path = format!("{BASE}/{}", opened.body["id"]);
        eventually("the session is active", async || {
            (self.get(&path).await.body["status"] == "active").then_some(())
        })
        .await;
        path
    }

    /// Runs a command to its end.
    async fn run(&self, session: &str, body: Value) -> Value {
        let accepted = self.post(&format!("{session}/command"), body).await;
        assert_eq!(accepted.status, 200, "{accepted:?}");
        let path = format!("{session}/command/{}", accepted.body["id"]);
        eventually("the command ends", async || {
            let command = self.get(&path).await.body;
            (command["status"] == "complete" || command["status"] == "error").then_some(command)
        })
        .await
    }
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap_or_default()
}

/// A server, a host with an agent, and a script with the administrator's token.
struct Scene {
    site: Site,
    server: Server,
    agent: AgentProcess,
    script: Script,
}

impl Scene {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let site = Site::new().await;
        let server = Server::start(&site, settings).await;
        let agent = AgentProcess::start(&site, &server, "a").await;
        let script = Script::new(&server);
        Self {
            site,
            server,
            agent,
            script,
        }
    }

    /// A script of another caller.
    async fn other(&self, role: &str) -> Script {
        let token = self
            .server
            .api()
            .create_token(json!({"name": role, "role": role}))
            .await;
        Script::with(&self.server, &token)
    }
}
