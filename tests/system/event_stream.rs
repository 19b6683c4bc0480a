//! `GET /v1/events`: what a program hears that follows the events over HTTP.

use crate::harness::{AgentProcess, Api, Broker, Outside, Server, Site, cloud_event};
use crate::listener::{Heard, Listener};
use reqwest::Method;
use serde_json::{Value, json};
use tripline_protocol::event::{StreamGap, StreamedEvent};
use uuid::Uuid;

impl Heard {
    fn event(&self) -> StreamedEvent {
        self.read()
    }

    fn sequence(&self) -> u64 {
        sequence(self.id.as_deref())
    }
}

fn sequence(id: Option<&str>) -> u64 {
    id.expect("an id").parse().expect("a sequence")
}

impl Listener {
    /// Listens to the events from the answer's head on.
    async fn events(api: &Api, query: &str, last_id: Option<&str>) -> Self {
        Self::open(api, &format!("/v1/events{query}"), last_id).await
    }

    async fn event(&mut self) -> StreamedEvent {
        self.next().await.expect("it goes on").event()
    }

    /// The ids of the next events.
    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.id);
        }
        ids
    }
}

async fn publish(outside: &Outside, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let event = json!({"specversion": "1.0", "id": number.to_string(), "source": "system-test",
            "type": "acme.alert", "data": {"number": number}});
        outside.publish("acme.alert", &event).await;
    }
}

fn ids(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn events_are_heard_as_cloudevents_with_org_host_and_who_vouches() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let mut every = Listener::events(&api, "?etype=acme.*,new_sensor", None).await;
    let mut of_host = Listener::events(&api, &format!("?host={host}"), None).await;

    let outside = server.outside().await;
    outside.publish_bytes("other", &[], b"{}".to_vec()).await;
    outside.publish_bytes("acme.bad", &[], b"no JSON".to_vec()).await;
    let hostname = api.host(host).await.expect("the host").hostname;
    let bare = json!({"hostname": hostname, "pid": 7});
    outside
        .publish_bytes(
            "acme.bare",
            &[("Nats-Msg-Id", "b-1")],
            bare.to_string().into_bytes(),
        )
        .await;
    let elsewhere = cloud_event(
        "e-1",
        "acme.alert",
        tripline_protocol::HostId(Uuid::from_u128(1)),
        json!({}),
    );
    outside.publish("acme.alert", &elsewhere).await;
    let mut second = AgentProcess::start(&site, &server, "b").await;

    let event = every.event().await;
    assert_eq!((event.etype.as_str(), event.id.as_str()), ("acme.bare", "b-1"));
    assert_eq!(
        (event.hostid, &event.data),
        (Some(host), &bare),
        "found by its name"
    );
    assert_eq!(
        serde_json::to_value(event.attestedby).expect("a word"),
        "publisher"
    );
    assert_eq!(event.org.as_str(), "default");
    assert_eq!(every.event().await.id, "e-1");
    let heard = every.next().await.expect("it goes on");
    assert_eq!(
        (heard.name.as_str(), heard.event().etype.as_str()),
        ("new_sensor", "new_sensor")
    );
    assert_eq!(heard.event().hostid, Some(second.host_id().await));
    assert_eq!(of_host.event().await.id, "b-1", "of one host only");
}

#[tokio::test]
async fn a_token_of_one_org_hears_its_org_only_and_who_may_not_read_hears_nothing() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let viewer = |org: Value| json!({"name": "v", "role": "viewer", "org": org});
    let acme = api.with_token(&api.create_token(viewer(json!("acme"))).await);
    let all = api.with_token(&api.create_token(viewer(Value::Null)).await);
    let enrol = api.with_token(&api.enrol_token().await);
    for (caller, path, status) in [
        (&enrol, "/v1/events", 403),
        (&api.with_token("nonsense"), "/v1/events", 401),
        (&acme, "/v1/events?org=other", 403),
        (&acme, "/v1/events?host=unknown", 404),
        (&acme, "/v1/events?etype=a..b", 400),
        (&acme, "/v1/events?after=soon", 400),
        (&acme, "/v1/events?until=soon", 400),
    ] {
        assert_eq!(caller.get(path).await.status, status, "{path}");
    }
    let mut of_acme = Listener::events(&acme, "", None).await;
    let mut of_all = Listener::events(&all, "?org=other", None).await;
    for (org, id) in [("other", "1"), ("acme", "2"), ("other", "3"), ("acme", "4")] {
        let event = json!({"etype": "x", "org": org, "id": id, "source": "s"});
        assert_eq!(api.post("/v1/events", &event).await.status, 202);
    }
    assert_eq!(of_acme.ids(2).await, ["2", "4"]);
    assert_eq!(of_all.ids(2).await, ["1", "3"]);
}

#[tokio::test]
async fn who_lost_its_server_goes_on_where_it_was_and_is_told_what_is_gone() {
    let site = Site::new().await;
    let broker = Broker::start(&site).await;
    let mut server = Server::start(&site, &[("nats.url", broker.url())]).await;
    let outside = Outside::of(broker.url()).await;
    let api = server.api();
    publish(&outside, 0..3).await;
    let mut listener = Listener::events(&api, "?etype=acme.alert", None).await;
    publish(&outside, 3..10).await;
    assert_eq!(listener.ids(4).await, ids(3..7));
    let last = listener.last_id.clone();
    assert!(
        server.terminate().await.success(),
        "a stream does not keep a server from ending"
    );
    while let Some(late) = listener.next().await {
        assert!(late.sequence() > sequence(last.as_deref()), "in order to the end");
    }
    publish(&outside, 10..20).await;
    server.spawn();
    server.ready().await;
    let mut listener = Listener::events(&api, "?etype=acme.alert&after=0", last.as_deref()).await;
    assert_eq!(
        listener.ids(13).await,
        ids(7..20),
        "nothing is left out, nothing comes twice"
    );

    let events = outside.stream("TRIPLINE_EVENTS").await;
    events.purge().keep(4).await.expect("to purge");
    let mut listener = Listener::events(&api, "", last.as_deref()).await;
    let gap = listener.next().await.expect("a gap");
    assert_eq!(gap.name, "gap");
    let gap: StreamGap = serde_json::from_str(&gap.data).expect("a gap");
    assert_eq!((gap.after, gap.next, gap.lost), (7, 17, Some(9)));
    assert_eq!(listener.ids(4).await, ids(16..20));
}

#[tokio::test]
async fn a_stream_stays_while_the_broker_is_away_and_a_new_one_waits_for_it() {
    let site = Site::new().await;
    let mut broker = Broker::start(&site).await;
    let server = Server::start(&site, &[("nats.url", broker.url())]).await;
    let api = server.api();
    let mut listener = Listener::events(&api, "", None).await;
    publish(&Outside::of(broker.url()).await, 0..3).await;
    assert_eq!(listener.ids(1).await, ids(0..1));
    broker.kill();
    server.readiness(503).await;
    let refused = api.get("/v1/events").await;
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
    broker.spawn().await;
    publish(&Outside::of(broker.url()).await, 3..6).await;
    assert_eq!(listener.ids(5).await, ids(1..6));
}

#[tokio::test]
async fn a_token_has_so_many_streams_and_one_that_is_revoked_has_none() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let admin = server.api();
    let created = admin
        .post("/v1/tokens", &json!({"name": "v", "role": "viewer"}))
        .await
        .body;
    let viewer = admin.with_token(created["token"].as_str().expect("a secret"));
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(Listener::events(&viewer, "", None).await);
    }
    let refused = viewer.get("/v1/events").await;
    assert_eq!((refused.status, refused.code()), (429, "too_many_streams"));
    streams.pop();
    let mut last = Listener::events(&viewer, "", None).await;
    let id = created["id"].as_str().expect("an id");
    let revoke = admin
        .request(Method::DELETE, &format!("/v1/tokens/{id}"))
        .send()
        .await;
    assert_eq!(revoke.expect("an answer").status(), 204);
    assert!(last.next().await.is_none(), "at the next sign of life");
}
