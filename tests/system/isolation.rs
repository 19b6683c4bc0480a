//! Isolating a host by the command line: a job that waits for it, and what is seen of it.

use crate::harness::scripted::{Persona, ScriptedAgent};
use crate::harness::{Api, Ran, Server, Site, eventually, tripline};
use serde_json::{Value, json};
use tripline_protocol::verb::{Verb, VerbCall};

struct Scene {
    agent: ScriptedAgent,
    api: Api,
    server: Server,
    _site: Site,
}

impl Scene {
    async fn with(persona: Persona) -> Self {
        let site = Site::new().await;
        let server = Server::start(&site, &[]).await;
        let api = server.api();
        let token = api.enrol_token().await;
        let agent = ScriptedAgent::start(&server.url(), &token, persona).await;
        Self {
            agent: agent.expect("an agent"),
            api,
            server,
            _site: site,
        }
    }

    async fn cli(&self, arguments: &[&str]) -> Ran {
        tripline(self.server.data_dir(), arguments).await
    }

    /// Until the host is shown as isolated, or not.
    async fn isolated(&self, is_isolated: bool) -> Value {
        let path = format!("/v1/hosts/{}", self.agent.host_id());
        eventually("the host's record says so", async || {
            let view = self.api.get(&path).await.body;
            (view["isolation"].is_object() == is_isolated).then_some(view)
        })
        .await
    }
}

#[tokio::test]
async fn a_host_is_isolated_shown_so_and_released_by_the_command_line() {
    let scene = Scene::with(Persona::linux("web01")).await;
    let ran = scene
        .cli(&[
            "host",
            "isolate",
            "web01",
            "--for",
            "8h",
            "--persist",
            "--allow",
            "10.0.0.0/8",
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("until 20"), "{ran:?}");
    let view = scene.isolated(true).await;
    assert_eq!(
        (&view["isolation"]["persist"], &view["isolation"]["allow"]),
        (&json!(true), &json!(["10.0.0.0/8"]))
    );
    let shown = scene.cli(&["host", "show", "web01"]).await;
    assert!(
        shown.stdout.contains("isolated") && shown.stdout.contains("but for 10.0.0.0/8"),
        "{shown:?}"
    );
    let wide = scene.cli(&["host", "list", "--wide"]).await;
    let until = view["isolation"]["until"].as_str().expect("a time");
    assert!(
        wide.stdout.contains("ISOLATED UNTIL") && wide.stdout.contains(until),
        "{wide:?}"
    );
    let ran = scene.cli(&["host", "unisolate", "web01"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    scene.isolated(false).await;
    let verbs: Vec<Verb> = scene.agent.seen().commands.iter().map(VerbCall::verb).collect();
    assert_eq!(verbs, [Verb::Isolate, Verb::Unisolate]);
}

#[tokio::test]
async fn who_gives_an_isolated_host_up_is_told_until_when_it_lasts() {
    let scene = Scene::with(Persona::linux("web01")).await;
    let ran = scene.cli(&["host", "isolate", "web01", "--for", "8h"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let view = scene.isolated(true).await;
    let until = view["isolation"]["until"].as_str().expect("a time");
    let refused = scene.cli(&["host", "forget", "web01"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let says = |part: &str| refused.stderr.contains(part);
    assert!(
        says("(isolated)") && says(until) && says("unisolate it first") && says("force"),
        "{refused:?}"
    );
    let warning = format!("web01 stays isolated until {until}");
    for revoke in [["key", "revoke", "web01"], ["host", "revoke", "web01"]] {
        let revoked = scene.cli(&revoke).await;
        assert_eq!(revoked.code, 0, "{revoked:?}");
        assert!(revoked.stderr.contains(&warning), "{revoked:?}");
    }
    let forgotten = scene.cli(&["host", "forget", "web01", "--force"]).await;
    assert_eq!(forgotten.code, 0, "{forgotten:?}");
    assert!(forgotten.stderr.contains(&warning), "{forgotten:?}");
}

#[tokio::test]
async fn the_job_waits_for_a_host_that_is_away() {
    let scene = Scene::with(Persona::linux("web01")).await;
    scene.agent.leave();
    scene.api.attached(scene.agent.host_id(), false).await;
    let ran = scene
        .cli(&["host", "isolate", "web01", "--no-wait", "--expires", "7d"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    scene.agent.come_back();
    scene.isolated(true).await;
}

#[tokio::test]
async fn wrong_arguments_are_told_and_a_host_that_cannot_fails() {
    let scene = Scene::with(Persona::linux("web01").with_verbs(&[Verb::ListProcesses])).await;
    for wrong in [
        vec!["--for", "59s"],
        vec!["--for", "31d"],
        vec!["--allow", "web02"],
        vec!["--allow", "0.0.0.0/0"],
    ] {
        let ran = scene
            .cli(&[&["host", "isolate", "web01"], &*wrong].concat())
            .await;
        assert_eq!(ran.code, 2, "{wrong:?}: {ran:?}");
    }
    let ran = scene.cli(&["host", "isolate", "web01"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("CAP_NET_ADMIN"), "{ran:?}");
    assert!(scene.agent.seen().commands.is_empty());
}
