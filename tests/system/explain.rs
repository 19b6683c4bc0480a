//! `tripline explain` against a server with a broker and an agent, from the publisher to the result.

use crate::harness::{AgentProcess, Ran, Server, Site, cloud_event, eventually, job_of_event, tripline};
use serde_json::{Value, json};
use tripline_protocol::api::Explanation;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{EventKey, HostId, Org};

const FETCH: &str = "name: fetch\non: [alert]\nwhen: event.data.severity >= 7\n\
                     job: { steps: [ { id: file, get_file: { path: \"{{ event.data.path }}\" } } ] }\n";
const ONCE: &str = "name: once\non: [alert]\nsuppress: { key: \"{{ event.data.path }}\", per: 1h }\n\
                    job: { steps: [ list_directory: { path: /proc/self } ] }\n";
const ROOT: &str = "name: root\non: [alert]\nwhen: event.data.severity >= 7 && event.data.user == 'root'\n\
                    job: { steps: [ list_processes: {} ] }\n";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Scene {
    site: Site,
    server: Server,
    _agent: AgentProcess,
    host: HostId,
}

impl Scene {
    async fn new() -> Self {
        let site = Site::new().await;
        for (name, text) in [("fetch", FETCH), ("once", ONCE), ("root", ROOT)] {
            site.write(&format!("pipelines/{name}.yaml"), text);
        }
        let folder = site.path("pipelines");
        let server = Server::start(&site, &[("pipelines.dir", folder.to_str().expect("UTF-8"))]).await;
        let mut agent = AgentProcess::start(&site, &server, "a").await;
        let host = agent.host_id().await;
        Self {
            site,
            server,
            _agent: agent,
            host,
        }
    }

    async fn publish(&self, id: &str, etype: &str, data: Value) {
        let mut event = cloud_event(id, etype, self.host, data);
        event["traceparent"] = json!(TRACE);
        self.server.outside().await.publish(etype, &event).await;
    }

    async fn explain(&self, arguments: &[&str]) -> Ran {
        let arguments: Vec<&str> = std::iter::once("explain")
            .chain(arguments.iter().copied())
            .collect();
        tripline(self.server.data_dir(), &arguments).await
    }

    /// What is explained once it is as wanted.
    async fn explained(&self, id: &str, is_wanted: impl Fn(&Explanation) -> bool) -> Explanation {
        let arguments = [id, "--source", "system-test", "--output", "json"];
        eventually("it is explained", async || {
            let ran = self.explain(&arguments).await;
            let explained: Option<Explanation> = serde_json::from_str(&ran.stdout).ok();
            explained.filter(&is_wanted)
        })
        .await
    }
}

fn words(explained: &Explanation) -> Vec<(&str, &str)> {
    let verdicts = explained.pipelines.iter();
    verdicts
        .map(|verdict| (verdict.pipeline.as_str(), verdict.verdict.as_str()))
        .collect()
}

#[tokio::test]
async fn an_event_is_explained_from_its_publisher_to_its_result() {
    let mut scene = Scene::new().await;
    let path = scene.site.write("evidence", "seven b");
    let data = json!({"severity": 8, "path": path});
    scene.publish("e-1", "alert", data.clone()).await;
    let job = job_of_event("system-test", "e-1", "fetch", scene.host);
    assert_eq!(
        scene.server.api().ended(job).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
    scene.publish("e-2", "alert", data).await;

    let is_published = |explained: &Explanation| {
        let published = |job: &tripline_protocol::api::ExplainedJob| {
            job.result
                .as_ref()
                .is_some_and(|result| result.published_at.is_some())
        };
        !explained.jobs.is_empty() && explained.jobs.iter().all(published)
    };
    let first = scene.explained("e-1", is_published).await;
    assert_eq!(
        words(&first),
        [("fetch", "acted"), ("once", "acted"), ("root", "condition")]
    );
    let missing = first.pipelines[2].unmet.as_ref().expect("a part");
    assert_eq!(missing.field.as_deref(), Some("event.data.user"));
    let event = first.event.as_ref().expect("an event");
    assert_eq!(event.host.as_ref().map(|host| host.host_id), Some(scene.host));
    assert!(
        event.stored_at <= event.handled_at && event.sequence == Some(2),
        "{event:?}"
    );
    let fetched = first
        .jobs
        .iter()
        .find(|explained| explained.job.job_id == job)
        .expect("its job");
    assert_eq!(
        fetched.job.steps[0]
            .artifact
            .as_ref()
            .map(|artifact| artifact.bytes),
        Some(7)
    );

    // The publisher's trace: of the event, its jobs, and the result where it lies.
    assert_eq!(event.traceparent.as_deref(), Some(TRACE));
    assert_eq!(fetched.traceparent.as_deref(), Some(TRACE));
    let result = fetched.result.as_ref().expect("a result");
    let stream = scene.server.outside().await.stream("TRIPLINE_RESULTS").await;
    let message = stream
        .get_raw_message(result.sequence.expect("a place"))
        .await
        .expect("a message");
    assert_eq!(message.subject.as_str(), result.subject);
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("traceparent").as_deref(), Some(TRACE));
    assert_eq!(header("Nats-Msg-Id"), Some(job.to_string()));
    let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
    assert_eq!(body["traceparent"], TRACE);

    let second = scene.explained("e-2", is_published).await;
    assert_eq!(
        words(&second),
        [("fetch", "acted"), ("once", "withheld"), ("root", "condition")]
    );

    let shown = scene.explain(&[&job.to_string()]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in [
        "e-1",
        "event.data.user is missing, in event.data.user == 'root'",
        "├─ step file get_file succeeded",
        "└─ artifact evidence 7 bytes",
        "└─ result published ",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }

    // After a kill, and the broker's restart with it, the same is told.
    scene.server.crash().await;
    scene.server.api().attached(scene.host, true).await;
    let again = scene.explained("e-1", is_published).await;
    assert_eq!((&again.event, words(&again)), (&first.event, words(&first)));
}

#[tokio::test]
async fn an_event_that_nobody_listened_to_is_found_in_its_stream_and_another_is_not() {
    let scene = Scene::new().await;
    for number in 0..20 {
        scene
            .publish(&format!("e-{number}"), "nobodys.business", json!({}))
            .await;
    }
    scene.server.outside().await.all_handled().await;
    let told = scene
        .explained("e-7", |explained| explained.not_listening == 3)
        .await;
    // The first event is that the host is there.
    assert_eq!(told.event.as_ref().and_then(|event| event.sequence), Some(9));
    assert!(told.pipelines.is_empty() && told.jobs.is_empty());
    let searched = told.lookup.searched.expect("a search");
    assert!(searched.messages >= 13, "{searched:?}");

    let unknown = scene.explain(&["e-99", "--source", "system-test"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
    assert!(
        unknown.stderr.contains("not among the 21 events since"),
        "{unknown:?}"
    );
    let wrong = scene.explain(&["e-7"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let wrong = scene
        .explain(&["e-7", "--source", "system-test", "--since", "soon"])
        .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");

    // A token of another org learns nothing.
    let request = json!({"name": "other", "role": "viewer", "org": "acme"});
    let other = scene
        .server
        .api()
        .with_token(&scene.server.api().create_token(request).await);
    let key = EventKey::derive(&Org::default_org(), "system-test", "e-7");
    let answer = other.get(&format!("/v1/events/{key}/explain")).await;
    assert_eq!(answer.body["event"], Value::Null, "{answer:?}");
    assert_eq!(answer.body["lookup"]["state"], "not_found", "{answer:?}");
}
