//! Guards of pipelines in a server that is killed, and what is seen of them from outside.

use crate::harness::{AgentProcess, Server, Site, cloud_event, eventually, job_of_event, tripline};
use serde_json::{Value, json};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{EventKey, HostId, Org};

const ONCE: &str = "name: once\non: [alert]\nsuppress: { key: \"{{ event.data.k }}\", per: 1h }\n\
                    job: { steps: [ list_directory: { path: /proc/self } ] }\n";

struct Scene {
    server: Server,
    _agent: AgentProcess,
    host: HostId,
}

impl Scene {
    async fn publish(&self, id: &str, key: &str) {
        let event = cloud_event(id, "alert", self.host, json!({"k": key}));
        self.server.outside().await.publish("alert", &event).await;
    }

    /// The event trips the pipeline, and its job succeeds.
    async fn acts(&self, id: &str, key: &str) {
        self.publish(id, key).await;
        let job = job_of_event("system-test", id, "once", self.host);
        let ended = self.server.api().ended(job).await;
        assert_eq!(ended.state, JobState::Ended(Outcome::Succeeded), "{id}");
    }

    /// The event does not trip it; the reason why not.
    async fn does_not_act(&self, id: &str, key: &str) -> String {
        self.publish(id, key).await;
        let event = EventKey::derive(&Org::default_org(), "system-test", id);
        let path = format!("/v1/events/{event}/decisions");
        let decided = eventually("it is decided", async || {
            let decided = self.server.api().get(&path).await.body;
            let is_decided = decided["withheld"]
                .as_array()
                .is_some_and(|list| !list.is_empty());
            is_decided.then_some(decided)
        })
        .await;
        assert_eq!(decided["jobs"], json!([]), "{decided:#}");
        decided["withheld"][0]["reason"]
            .as_str()
            .expect("a reason")
            .to_owned()
    }

    async fn pipeline(&self) -> Value {
        self.server.api().get("/v1/pipelines").await.body["pipelines"][0].clone()
    }
}

#[tokio::test]
async fn what_a_pipeline_did_and_who_paused_it_is_known_after_a_kill() {
    let site = Site::new().await;
    site.write("pipelines/once.yaml", ONCE);
    let folder = site.path("pipelines");
    let server = Server::start(&site, &[("pipelines.dir", folder.to_str().expect("UTF-8"))]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let mut scene = Scene {
        server,
        _agent: agent,
        host,
    };
    scene.acts("e-1", "a").await;
    assert_eq!(scene.does_not_act("e-2", "a").await, "suppressed");
    scene.server.crash().await;
    scene.server.api().attached(host, true).await;
    assert_eq!(scene.does_not_act("e-3", "a").await, "suppressed");
    scene.acts("e-4", "b").await;

    let data = scene.server.data_dir().to_owned();
    let paused = tripline(&data, &["pipeline", "pause", "once", "--reason", "INC-42"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let said = "once is paused since ";
    assert!(
        paused.stdout.starts_with(said) && paused.stdout.contains("INC-42"),
        "{paused:?}"
    );
    scene.server.crash().await;
    scene.server.api().attached(host, true).await;
    assert_eq!(scene.does_not_act("e-5", "c").await, "paused");
    assert_eq!(scene.pipeline().await["pause"]["reason"], "INC-42");
    let listed = tripline(&data, &["pipeline", "list"]).await;
    assert!(
        listed.stdout.contains(said) && listed.stdout.contains("INC-42"),
        "{listed:?}"
    );
    let unknown = tripline(&data, &["pipeline", "pause", "none"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");

    let resumed = tripline(&data, &["pipeline", "resume", "once"]).await;
    assert_eq!(
        (resumed.code, resumed.stdout.as_str()),
        (0, "once is not paused\n")
    );
    scene.acts("e-6", "c").await;
    assert_eq!(scene.pipeline().await["pause"], Value::Null);
}
