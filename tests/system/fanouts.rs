//! Fan-outs over real agents: an outcome for each host, canaries, only the failed once more, hosts that appear later,
//! pauses and cancels, pipelines with a target, and a server that is killed in the midst.

use crate::harness::{AgentProcess, Answer, Ran, Server, Site, append_line, eventually, tripline, wait_at};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tripline_protocol::api::JobView;
use tripline_protocol::fanout::{FanoutHostView, FanoutSummary, FanoutView};
use tripline_protocol::subject::{HEADER_MSG_ID, HEADER_TOKEN};
use tripline_protocol::{EventKey, FanoutId, HostId, Org, Subjects};

/// It succeeds on hosts that have a folder of their own there.
const LOOK: &str = "name: look\nparams: { folder: { type: string } }\n\
                    steps: [ { list_directory: { path: \"{{ params.folder }}/{{ host.id }}\" } } ]\n";
const HUNT: &str = "name: hunt\non: hunt.begin\ntarget: { labels: web }\nfanout: { in_flight: 1 }\n\
                    let: { folder: \"{{ event.data.folder }}/{{ host.id }}\" }\n\
                    job: { steps: [ { list_directory: { path: \"{{ vars.folder }}\" } } ] }\n";

struct Scene {
    site: Site,
    server: Server,
    agents: Vec<AgentProcess>,
}

impl Scene {
    /// A server with these pipelines and the named job `look`, and no agents.
    async fn start(pipelines: &[&str]) -> Self {
        let site = Site::new().await;
        site.write("jobs/look.yaml", LOOK);
        std::fs::create_dir_all(site.path("pipelines")).expect("a folder");
        for (index, text) in pipelines.iter().enumerate() {
            site.write(&format!("pipelines/{index}.yaml"), text);
        }
        let [jobs, pipelines] = ["jobs", "pipelines"].map(|folder| site.path(folder));
        let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
        let settings = [("jobs.dir", &*text(&jobs)), ("pipelines.dir", &*text(&pipelines))];
        let server = Server::start(&site, &settings).await;
        Self {
            site,
            server,
            agents: Vec::new(),
        }
    }

    /// One more agent with these labels.
    async fn agent(&mut self, labels: &str) -> HostId {
        let token = self.server.api().enrol_token().await;
        let name = format!("a{}", self.agents.len());
        let mut agent = AgentProcess::prepare(&self.site, &self.server.url(), &token, &name);
        agent.option("--labels", labels);
        agent.spawn();
        let host = agent.host_id().await;
        self.server.api().attached(host, true).await;
        self.agents.push(agent);
        host
    }

    /// Jobs on this host succeed from now on.
    fn let_succeed(&self, host: HostId) {
        std::fs::create_dir_all(self.site.path(format!("found/{host}"))).expect("a folder");
    }

    /// The job `look`, submitted with these fields beside it.
    async fn look(&self, more: Value) -> FanoutId {
        let mut body = json!({"named": "look", "params": {"folder": self.site.path("found")}});
        let fields = body.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        self.submit(body).await
    }

    async fn submit(&self, body: Value) -> FanoutId {
        let answer = self.server.api().post("/v1/fanouts", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        serde_json::from_value(answer.body["fanout_id"].clone()).expect("an id")
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.server.api().request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        Answer {
            status: answer.status().as_u16(),
            body: answer.json().await.unwrap_or_default(),
        }
    }

    async fn fanout(&self, id: FanoutId) -> FanoutView {
        let answer = self.server.api().get(&format!("/v1/fanouts/{id}")).await;
        serde_json::from_value(answer.body).expect("a fan-out")
    }

    /// Waits until it is so.
    async fn until(&self, id: FanoutId, what: &str, holds: impl Fn(&FanoutView) -> bool) -> FanoutView {
        eventually(&format!("fan-out {id} {what}"), async || {
            let answer = self.server.api().try_get(&format!("/v1/fanouts/{id}")).await?;
            let fanout = serde_json::from_value(answer.body).ok()?;
            holds(&fanout).then_some(fanout)
        })
        .await
    }

    async fn state(&self, id: FanoutId, state: &str) -> FanoutView {
        self.until(id, &format!("is {state}"), |fanout| {
            fanout.state.as_str() == state
        })
        .await
    }

    /// Its hosts with their states, page by page.
    async fn hosts(&self, id: FanoutId) -> BTreeMap<HostId, FanoutHostView> {
        let (mut hosts, mut after) = (BTreeMap::new(), String::new());
        loop {
            let path = format!("/v1/fanouts/{id}/hosts?limit=1{after}");
            let page = self.server.api().get(&path).await.body;
            let items: Vec<FanoutHostView> = serde_json::from_value(page["items"].clone()).expect("hosts");
            hosts.extend(items.into_iter().map(|host| (host.host_id, host)));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return hosts,
            }
        }
    }

    async fn state_of(&self, id: FanoutId, host: HostId) -> String {
        self.hosts(id).await[&host].state.to_string()
    }

    async fn jobs(&self, id: FanoutId) -> Vec<JobView> {
        let page = self.server.api().get(&format!("/v1/jobs?fanout={id}")).await.body;
        serde_json::from_value(page["items"].clone()).expect("jobs")
    }

    /// Its summaries on NATS in their order, each with its message's id and subject.
    async fn summaries(&self, id: FanoutId, count: usize) -> Vec<(String, String, FanoutSummary)> {
        let outside = self.server.outside().await;
        eventually(&format!("{count} summaries of {id}"), async || {
            let messages = outside.read("TRIPLINE_RESULTS").await;
            let of_this = |message: &async_nats::Message| {
                let subject = message.subject.to_string();
                subject.starts_with("tripline.fanouts.") && subject.ends_with(&id.to_string())
            };
            let found: Vec<_> = messages.into_iter().filter(of_this).map(read_summary).collect();
            assert!(found.len() <= count, "{found:#?}");
            (found.len() == count).then_some(found)
        })
        .await
    }

    async fn tripline(&self, arguments: &[&str]) -> Ran {
        tripline(self.server.data_dir(), arguments).await
    }
}

/// The message's id, its subject, and what it tells.
pub(crate) fn read_summary(message: async_nats::Message) -> (String, String, FanoutSummary) {
    let mut event: Value = serde_json::from_slice(&message.payload).expect("JSON");
    let summary: FanoutSummary = serde_json::from_value(event["data"].take()).expect("a summary");
    let kind = format!("tripline.fanout.{}", summary.fanout.state);
    assert_eq!(event["type"], json!(kind));
    let headers = message.headers.as_ref().expect("headers");
    let message_id = headers.get(HEADER_MSG_ID).expect("an id").to_string();
    (message_id, message.subject.to_string(), summary)
}

#[tokio::test]
async fn every_host_of_a_selector_has_an_outcome_and_only_the_failed_have_another_turn() {
    let mut scene = Scene::start(&[]).await;
    let (good, bad) = (scene.agent("web").await, scene.agent("web").await);
    let other = scene.agent("db").await;
    scene.let_succeed(good);
    let web = ["--label", "web", "--named", "look"];
    let folder = format!("folder={}", scene.site.path("found").display());
    let submit = ["fanout", "submit", "--param", &folder];
    let dry = scene
        .tripline(&[&submit[..], &web, &["--dry-run"]].concat())
        .await;
    assert!(dry.stdout.starts_with("2 hosts, 2 of them attached\n"), "{dry:?}");
    let submitted = scene
        .tripline(&[&submit[..], &web, &["--reason", "INC-42"]].concat())
        .await;
    let id: FanoutId = submitted.stdout.trim().parse().expect("an id");
    let watched = scene.tripline(&["fanout", "watch", &id.to_string()]).await;
    assert_eq!(watched.code, 1, "{watched:?}");
    assert!(watched.stdout.contains("1 succeeded, 1 failed"), "{watched:?}");

    let ended = scene.fanout(id).await;
    assert_eq!(
        (ended.counts.hosts, ended.counts.succeeded, ended.counts.failed),
        (2, 1, 1)
    );
    let hosts = scene.hosts(id).await;
    assert!(!hosts.contains_key(&other));
    assert_eq!(hosts[&good].state.as_str(), "succeeded");
    assert_eq!(hosts[&bad].reason.as_ref().expect("a reason").code, "step_failed");
    let jobs = scene.jobs(id).await;
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        assert_eq!(job.fanout.as_ref().expect("a fan-out").fanout_id, id);
        assert_eq!(Some(job.job_id), hosts[&job.host.host_id].job_id);
    }
    let result = scene.server.outside().await.result(jobs[0].job_id).await;
    assert_eq!(result.fanout, jobs[0].fanout);
    let (first_id, subject, summary) = scene.summaries(id, 1).await.remove(0);
    assert_eq!(subject, format!("tripline.fanouts.default.look.failed.{id}"));
    assert_eq!(summary.fanout, ended);
    assert_eq!(summary.not_succeeded, [hosts[&bad].clone()]);
    let listed = scene
        .tripline(&[
            "fanout",
            "hosts",
            &id.to_string(),
            "--state",
            "failed",
            "--output",
            "json",
        ])
        .await;
    let listed: Vec<FanoutHostView> = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(listed, [hosts[&bad].clone()]);

    scene.let_succeed(bad);
    let again = scene
        .tripline(&["fanout", "retry", &id.to_string(), "--watch"])
        .await;
    assert_eq!(again.code, 0, "{again:?}");
    let runs = scene.hosts(id).await;
    assert_eq!((runs[&good].run, runs[&bad].run), (0, 1));
    assert_eq!(runs[&good], hosts[&good], "it keeps what it had");
    assert_ne!(runs[&bad].job_id, hosts[&bad].job_id);
    let summaries = scene.summaries(id, 2).await;
    assert_ne!(summaries[1].0, first_id);
    assert_eq!(
        summaries[1].1,
        format!("tripline.fanouts.default.look.succeeded.{id}")
    );
    let nothing = scene.tripline(&["fanout", "retry", &id.to_string()]).await;
    assert_eq!(nothing.code, 1, "{nothing:?}");
    assert!(nothing.stderr.contains("nothing_to_retry"), "{nothing:?}");
    let shown = scene
        .tripline(&["fanout", "list", "--name", "look", "--state", "succeeded"])
        .await;
    assert!(shown.stdout.contains(&id.to_string()), "{shown:?}");
}

#[tokio::test]
async fn a_canary_that_fails_pauses_and_the_others_go_when_a_person_says_so() {
    let mut scene = Scene::start(&[]).await;
    for _ in 0..3 {
        scene.agent("web").await;
    }
    let id = scene.look(json!({"target": "all", "pace": {"canary": 1}})).await;
    let paused = scene.state(id, "paused").await;
    assert_eq!(paused.reason.expect("a reason").code, "canary_failed");
    assert_eq!((paused.counts.failed, paused.counts.pending), (1, 2));
    assert_eq!(scene.jobs(id).await.len(), 1);
    scene.server.crash().await;
    assert_eq!(scene.fanout(id).await.state.as_str(), "paused");
    for host in scene.hosts(id).await.into_keys() {
        scene.server.api().attached(host, true).await;
        scene.let_succeed(host);
    }
    let resumed = scene.tripline(&["fanout", "resume", &id.to_string()]).await;
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let ended = scene.state(id, "failed").await;
    assert_eq!((ended.counts.succeeded, ended.counts.failed), (2, 1));
}

#[tokio::test]
async fn hosts_that_come_to_be_such_later_join_one_that_stands_until_it_is_cancelled() {
    let mut scene = Scene::start(&[]).await;
    let first = scene.agent("web").await;
    scene.let_succeed(first);
    let id = scene
        .look(json!({"target": {"labels": ["web"]}, "standing": true}))
        .await;
    scene
        .until(id, "has its host", |fanout| fanout.counts.succeeded == 1)
        .await;
    let enrolled = scene.agent("web").await;
    scene
        .until(id, "has the host that was enrolled", |fanout| {
            fanout.counts.failed == 1
        })
        .await;
    assert_eq!(scene.state_of(id, enrolled).await, "failed");

    let pause = json!({"reason": "INC-42"});
    let path = format!("/v1/fanouts/{id}/pause");
    let paused = scene.send(Method::PUT, &path, Some(pause)).await;
    assert_eq!((paused.status, &paused.body["state"]), (200, &json!("paused")));
    let labelled = scene.agent("db").await;
    scene.let_succeed(labelled);
    let label = scene
        .tripline(&["host", "label", &labelled.to_string(), "+web"])
        .await;
    assert_eq!(label.code, 0, "{label:?}");
    let joined = scene
        .until(id, "has three", |fanout| fanout.counts.hosts == 3)
        .await;
    assert_eq!((joined.state.as_str(), joined.counts.pending), ("paused", 1));
    let resumed = scene.send(Method::DELETE, &path, None).await;
    assert_eq!((resumed.status, &resumed.body["state"]), (200, &json!("running")));
    scene
        .until(id, "goes on", |fanout| fanout.counts.succeeded == 2)
        .await;
    assert_eq!(scene.state_of(id, labelled).await, "succeeded");

    let cancelled = scene.tripline(&["fanout", "cancel", &id.to_string()]).await;
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let ended = scene.state(id, "cancelled").await;
    assert_eq!((ended.counts.succeeded, ended.counts.failed), (2, 1));
}

#[tokio::test]
async fn a_cancel_ends_what_is_open_and_what_waits() {
    let mut scene = Scene::start(&[]).await;
    let here = scene.agent("web").await;
    let away = scene.agent("web").await;
    scene.agents[1].kill();
    scene.server.api().attached(away, false).await;
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let job = json!({"name": "wait", "steps": [{"create_process": wait_at(&begun, &gate)}]});
    let id = scene.submit(json!({"target": "all", "job": job})).await;
    let under_way = scene
        .until(id, "is under way", |fanout| {
            fanout.counts.in_flight == 1 && fanout.counts.offline == 1 && begun.exists()
        })
        .await;
    assert_eq!(under_way.state.as_str(), "running");
    let waits = scene.hosts(id).await[&away].clone();
    assert_eq!(waits.reason.expect("a reason").code, "host_offline");
    let answer = scene
        .send(Method::POST, &format!("/v1/fanouts/{id}/cancel"), None)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let ended = scene.state(id, "cancelled").await;
    assert_eq!((ended.counts.cancelled, ended.counts.hosts), (2, 2));
    assert_eq!(scene.state_of(id, here).await, "cancelled");
    let summary = scene.summaries(id, 1).await.remove(0).2;
    assert_eq!(summary.not_succeeded.len(), 2);
}

#[tokio::test]
async fn an_event_about_no_host_sends_a_pipelines_job_to_every_host_of_its_target() {
    let mut scene = Scene::start(&[HUNT]).await;
    let hosts = [scene.agent("web").await, scene.agent("web").await];
    let other = scene.agent("db").await;
    hosts.iter().for_each(|host| scene.let_succeed(*host));
    let event = json!({"specversion": "1.0", "id": "e-1", "source": "system-test", "type": "hunt.begin",
        "data": {"folder": scene.site.path("found")}});
    let outside = scene.server.outside().await;
    for _ in 0..2 {
        outside.publish("hunt.begin", &event).await;
    }
    let key = EventKey::derive(&Org::default_org(), "system-test", "e-1");
    let id = FanoutId::derive(key, &"hunt".parse().expect("a name"), 0);
    let ended = scene.state(id, "succeeded").await;
    assert_eq!(ended.counts.succeeded, 2);
    assert_eq!(ended.pipeline.expect("a pipeline").name.as_str(), "hunt");
    assert_eq!(ended.event.expect("an event").id, "e-1");
    let found = scene.hosts(id).await;
    assert!(hosts.iter().all(|host| found.contains_key(host)) && !found.contains_key(&other));
    outside.all_handled().await;
    let all = scene.server.api().get("/v1/fanouts").await.body;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all:#}");
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_midst_goes_on_and_no_host_has_a_second_turn() {
    let mut scene = Scene::start(&[]).await;
    for _ in 0..3 {
        scene.agent("web").await;
    }
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let ran = scene.site.path("ran");
    let job = json!({"name": "once", "steps": [
        {"create_process": append_line(&ran, "x")},
        {"create_process": wait_at(&begun, &gate)},
    ]});
    let pace = json!({"in_flight": 1});
    let id = scene
        .submit(json!({"target": "all", "job": job, "pace": pace}))
        .await;
    eventually("the first host has its turn", async || {
        begun.exists().then_some(())
    })
    .await;
    scene.server.crash().await;
    let open = scene
        .until(id, "is there again", |fanout| fanout.counts.hosts == 3)
        .await;
    // A job whose host is not attached yet has given its place to another one.
    assert_eq!(open.counts.in_flight + open.counts.pending, 3);
    assert_eq!(open.state.as_str(), "running");
    std::fs::remove_file(&gate).expect("the gate was there");
    let ended = scene.state(id, "succeeded").await;
    assert_eq!(ended.counts.succeeded, 3);
    let lines = std::fs::read_to_string(&ran).expect("they ran");
    assert_eq!(lines.lines().count(), 3, "once on each host");
    assert_eq!(scene.jobs(id).await.len(), 3);
    scene.summaries(id, 1).await;
    scene.server.api().all_slots_free().await;
}

#[tokio::test]
async fn the_micro_service_has_fan_outs_too() {
    let mut scene = Scene::start(&[]).await;
    let host = scene.agent("web").await;
    scene.let_succeed(host);
    let publisher = scene.server.outside().await.publisher;
    let token = std::fs::read_to_string(scene.server.data_dir().join("admin.token")).expect("a token");
    let ask = async |verb: &str, body: Value| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(HEADER_TOKEN, token.trim());
        let subject = Subjects::default().api("fanouts", verb);
        let request = publisher.request_with_headers(subject, headers, body.to_string().into());
        let answer = request.await.expect("an answer");
        serde_json::from_slice::<Value>(&answer.payload).expect("JSON")
    };
    let submission =
        json!({"target": "all", "named": "look", "params": {"folder": scene.site.path("found")}});
    let mut dry = submission.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(ask("submit", dry).await["hosts"], 1);
    let submitted = ask("submit", submission).await;
    let id: FanoutId = serde_json::from_value(submitted["fanout_id"].clone()).expect("an id");
    scene.state(id, "succeeded").await;
    let one = json!({"fanout_id": id});
    assert_eq!(ask("get", one.clone()).await["counts"]["succeeded"], 1);
    assert_eq!(ask("hosts", one.clone()).await["items"][0]["state"], "succeeded");
    assert_eq!(
        ask("list", json!({"state": "succeeded"})).await["items"][0]["fanout_id"],
        json!(id)
    );
    assert_eq!(ask("retry", one.clone()).await["code"], "nothing_to_retry");
    assert_eq!(ask("pause", one.clone()).await["code"], "fanout_ended");
    assert_eq!(ask("cancel", one).await["state"], "succeeded");
}

#[tokio::test]
async fn what_is_no_fan_out_is_refused_and_nothing_is_made() {
    let scene = Scene::start(&[]).await;
    let look = json!({"name": "look", "steps": [{"list_processes": {}}]});
    for (body, status, told) in [
        (json!({}), 400, "target"),
        (json!({"target": {}, "job": look}), 400, "say \"all\""),
        (json!({"target": "web", "job": look}), 400, "all"),
        (json!({"target": {"label": "web"}, "job": look}), 400, "`label`"),
        (json!({"target": "all"}), 422, "exactly one of job and named"),
        (json!({"target": "all", "named": "none"}), 404, "named job"),
        (json!({"target": "all", "named": "look"}), 422, "folder"),
        (
            json!({"target": "all", "job": look, "pace": {"ramp": 1}}),
            422,
            "ramp is 1",
        ),
        (
            json!({"target": "all", "job": look, "expires": "31d"}),
            422,
            "expires is 31d",
        ),
        (json!({"target": "all", "job": look, "paces": {}}), 400, "`paces`"),
    ] {
        for query in ["", "?dry_run=true"] {
            let answer = scene
                .server
                .api()
                .post(&format!("/v1/fanouts{query}"), &body)
                .await;
            assert_eq!(answer.status, status, "{body}: {answer:?}");
            let detail = answer.body["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(told), "{body}: {detail}");
        }
    }
    let all = scene.server.api().get("/v1/fanouts").await.body;
    assert_eq!(all["items"], json!([]));
    let none = format!("/v1/fanouts/{}", FanoutId(uuid::Uuid::nil()));
    for (method, path) in [
        (Method::GET, none.clone()),
        (Method::GET, format!("{none}/hosts")),
        (Method::DELETE, format!("{none}/pause")),
        (Method::POST, format!("{none}/cancel")),
    ] {
        let answer = scene.send(method, &path, None).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    let api = scene.server.api();
    let viewer = api.create_token(json!({"name": "v", "role": "viewer"})).await;
    let body = json!({"target": "all", "job": look});
    let refused = api.with_token(&viewer).post("/v1/fanouts", &body).await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));
}

#[tokio::test]
async fn a_token_of_one_org_reaches_no_fan_out_and_no_host_of_another() {
    let mut scene = Scene::start(&[]).await;
    let host = scene.agent("web").await;
    scene.let_succeed(host);
    let id = scene.look(json!({"target": "all"})).await;
    scene.state(id, "succeeded").await;
    let api = scene.server.api();
    let acme = api
        .create_token(json!({"name": "a", "role": "operator", "org": "acme"}))
        .await;
    let acme = api.with_token(&acme);
    assert_eq!(acme.get("/v1/fanouts").await.body["items"], json!([]));
    assert_eq!(acme.get(&format!("/v1/fanouts/{id}")).await.status, 404);
    let look = json!({"name": "look", "steps": [{"list_processes": {}}]});
    let own = json!({"target": "all", "job": look});
    let reach = acme.post("/v1/fanouts?dry_run=true", &own).await.body;
    assert_eq!(reach["hosts"], 0, "{reach:#}");
    let other = json!({"org": "default", "target": "all", "job": look});
    assert_eq!(acme.post("/v1/fanouts", &other).await.status, 403);
    let submitted = acme.post("/v1/fanouts", &own).await.body;
    let none: FanoutId = serde_json::from_value(submitted["fanout_id"].clone()).expect("an id");
    let ended = scene.state(none, "failed").await;
    assert_eq!(
        (ended.reason.expect("a reason").code.as_str(), ended.org.as_str()),
        ("no_hosts", "acme")
    );
}
