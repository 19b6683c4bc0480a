//! Agents' keys: listed, replaced, revoked; and two agents with one key.

use crate::fixture::{Agent, Fixture, Setup, enrolment, eventually, hello};
use serde_json::Value;
use tripline_actors::store::Table;
use tripline_actors::{AttachAgent, KeyFilter, Presented, Refusal};
use tripline_protocol::api::{KeyState, KeyView};
use tripline_protocol::frame::{AgentFrame, Hello, ServerFrame};
use tripline_protocol::{HostId, Sha256, Span};
use uuid::Uuid;

struct Keyed {
    fixture: Fixture,
    host: HostId,
    key: Sha256,
}

async fn keyed(setup: Setup) -> Keyed {
    let fixture = Fixture::start_with(setup);
    let token = fixture.token(None, None).await;
    let request = enrolment("amelie");
    let host = fixture.core.enrol(token, request.clone()).await.unwrap().host_id;
    let key = request.key_sha256;
    Keyed { fixture, host, key }
}

fn digest(byte: u8) -> Sha256 {
    Sha256::from_digest(&[byte; 32])
}

fn run(hello: Hello, run: u128) -> Hello {
    Hello {
        run_id: Some(Uuid::from_u128(run)),
        ..hello
    }
}

impl Keyed {
    fn request(
        &self,
        key: &Sha256,
        hello: Hello,
        last: u8,
    ) -> (
        AttachAgent,
        tokio::sync::mpsc::Receiver<tripline_actors::LinkMessage>,
    ) {
        let (link, receiver) = tokio::sync::mpsc::channel(256);
        let presented = Presented {
            key_sha256: Some(key.clone()),
            address: Some([10, 0, 0, last].into()),
        };
        let host_id = self.host;
        let request = AttachAgent {
            host_id,
            presented,
            hello,
            link,
        };
        (request, receiver)
    }

    async fn attach(&self, key: &Sha256, hello: Hello, last: u8) -> Result<Agent, Refusal> {
        let (request, link) = self.request(key, hello, last);
        let attached = self.fixture.core.attach_agent(request).await?;
        Ok(Agent::of(attached, link))
    }

    async fn keys(&self) -> Vec<KeyView> {
        let filter = KeyFilter {
            limit: 10,
            ..KeyFilter::default()
        };
        self.fixture.core.list_agent_keys(filter).await.unwrap().items
    }

    async fn rotate(&self) -> Result<(), Refusal> {
        self.fixture
            .core
            .rotate_agent_key(None, "amelie".into())
            .await
            .map(drop)
    }

    fn speaks_for(&self, key: &Sha256) -> bool {
        self.fixture.core.host_of_key(key).unwrap() == Some(self.host)
    }
}

async fn offer(agent: &mut Agent, key: &Sha256) {
    agent.attached.frame(
        AgentFrame::NewKey {
            key_sha256: key.clone(),
        },
        0,
    );
    let taken = ServerFrame::KeyTaken {
        key_sha256: key.clone(),
    };
    assert_eq!(agent.frame().await, taken);
}

#[actix::test]
async fn keys_are_listed_with_when_from_where_and_by_what_they_were_used() {
    let keyed = keyed(Setup::default()).await;
    let [key] = <[KeyView; 1]>::try_from(keyed.keys().await).unwrap();
    assert_eq!(
        (key.state, key.in_use, key.last_used_at),
        (KeyState::Current, false, None)
    );
    assert!(key.install_id.is_some());
    let agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    let [key] = <[KeyView; 1]>::try_from(keyed.keys().await).unwrap();
    assert!(key.in_use);
    assert_eq!(key.last_used_from.as_deref(), Some("10.0.0.7"));
    assert_eq!(key.agent_version.as_deref(), Some("0.1.0"));
    assert_eq!(key.last_used_at, Some(keyed.fixture.now()));
    drop(agent);
    keyed
        .fixture
        .core
        .revoke_agent_key(None, "amelie".into())
        .await
        .unwrap();
    assert_eq!(keyed.keys().await[0].state, KeyState::Revoked);
    assert_eq!(keyed.rotate().await.unwrap_err().code(), "key_revoked");
    let other = KeyFilter {
        org: Some("acme".parse().unwrap()),
        limit: 10,
        ..KeyFilter::default()
    };
    assert!(
        keyed
            .fixture
            .core
            .list_agent_keys(other)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let wrong = KeyFilter {
        after: Some("x".into()),
        limit: 10,
        ..KeyFilter::default()
    };
    assert_eq!(
        keyed
            .fixture
            .core
            .list_agent_keys(wrong)
            .await
            .unwrap_err()
            .code(),
        "bad_cursor"
    );
}

#[actix::test]
async fn the_old_key_works_until_the_new_one_opened_a_connection() {
    let keyed = keyed(Setup::default()).await;
    let new = digest(1);
    let mut agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    keyed.rotate().await.unwrap();
    assert_eq!(agent.frame().await, ServerFrame::RotateKey);
    offer(&mut agent, &new).await;
    offer(&mut agent, &new).await;
    let states: Vec<KeyState> = keyed.keys().await.iter().map(|key| key.state).collect();
    assert!(
        states.contains(&KeyState::Next) && states.contains(&KeyState::Current),
        "{states:?}"
    );
    assert!(keyed.speaks_for(&keyed.key) && keyed.speaks_for(&new));
    drop(agent);
    let keyed = Keyed {
        fixture: keyed.fixture.restart().await,
        ..keyed
    };
    assert!(keyed.speaks_for(&keyed.key) && keyed.speaks_for(&new));
    // It comes with the old one: nothing ends, and it is asked again.
    let mut agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    assert_eq!(agent.frame().await, ServerFrame::RotateKey);
    offer(&mut agent, &new).await;
    let _agent = keyed.attach(&new, hello("amelie"), 7).await.unwrap();
    assert!(!keyed.speaks_for(&keyed.key) && keyed.speaks_for(&new));
    let refused = keyed.attach(&keyed.key, hello("amelie"), 7).await.err().unwrap();
    assert_eq!(refused.code(), "forbidden");
    let [key] = <[KeyView; 1]>::try_from(keyed.keys().await).unwrap();
    assert_eq!(
        (key.key_sha256, key.state, key.rotation_asked_at),
        (new, KeyState::Current, None)
    );
}

#[actix::test]
async fn an_agent_that_is_away_is_asked_for_a_new_key_when_it_comes() {
    let keyed = keyed(Setup::default()).await;
    keyed.rotate().await.unwrap();
    let keyed = Keyed {
        fixture: keyed.fixture.restart().await,
        ..keyed
    };
    let mut agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    assert_eq!(agent.frame().await, ServerFrame::RotateKey);
}

#[actix::test]
async fn a_new_key_that_nobody_asked_for_or_that_is_anothers_is_not_taken() {
    let keyed = keyed(Setup::default()).await;
    let token = keyed.fixture.token(None, None).await;
    let other = enrolment("bert");
    keyed.fixture.core.enrol(token, other.clone()).await.unwrap();
    let mut agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    let say = |agent: &Agent, key: &Sha256| {
        agent.attached.frame(
            AgentFrame::NewKey {
                key_sha256: key.clone(),
            },
            0,
        );
    };
    say(&agent, &digest(1));
    keyed.rotate().await.unwrap();
    assert_eq!(agent.frame().await, ServerFrame::RotateKey);
    assert!(!keyed.speaks_for(&digest(1)));
    say(&agent, &other.key_sha256);
    // The answer to the next one shows that the one before had none.
    offer(&mut agent, &digest(2)).await;
    offer(&mut agent, &digest(3)).await;
    assert!(
        !keyed.speaks_for(&digest(2)),
        "one that was named before is not kept"
    );
    assert_eq!(keyed.fixture.rows(Table::AgentKey), 3);
    keyed
        .fixture
        .core
        .revoke_agent_key(None, "amelie".into())
        .await
        .unwrap();
    assert!(!keyed.speaks_for(&keyed.key) && !keyed.speaks_for(&digest(3)));
}

#[actix::test]
async fn a_key_that_is_too_old_is_replaced() {
    let mut setup = Setup::default();
    setup.config.key_age_max = Some(Span::from_secs(100));
    let keyed = keyed(setup).await;
    keyed.fixture.advance(99);
    let agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    assert_eq!(keyed.keys().await[0].rotation_asked_at, None);
    drop(agent);
    keyed.fixture.advance(1);
    let mut agent = keyed.attach(&keyed.key, hello("amelie"), 7).await.unwrap();
    assert_eq!(agent.frame().await, ServerFrame::RotateKey);
}

#[actix::test]
async fn two_agents_with_one_key_are_named_and_take_turns_of_a_minute() {
    let keyed = keyed(Setup::default()).await;
    let mut first = keyed
        .attach(&keyed.key, run(hello("amelie"), 1), 7)
        .await
        .unwrap();
    let mut second = keyed.attach(&keyed.key, run(hello("copy"), 2), 8).await.unwrap();
    assert_eq!(first.close().await, "replaced");
    let cloned = || async {
        keyed
            .fixture
            .core
            .get_host(None, keyed.host.to_string())
            .await
            .unwrap()
            .cloned
    };
    assert_eq!(cloned().await, None, "it may have been started anew");
    let refused = keyed
        .attach(&keyed.key, run(hello("amelie"), 1), 7)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), "agent_cloned");
    let view = cloned().await.unwrap();
    assert_eq!(view.served.address.as_deref(), Some("10.0.0.8"));
    assert_eq!(
        (&*view.served.hostname, &*view.other.hostname),
        ("copy", "amelie")
    );
    assert_eq!(view.other.address.as_deref(), Some("10.0.0.7"));
    let events = keyed.fixture.published(".events.default.agent_cloned", 1).await;
    let event: Value = serde_json::from_slice(&events[0].payload).unwrap();
    assert_eq!(event["data"]["other"]["address"], "10.0.0.7");
    keyed.fixture.advance(60);
    let mut first = keyed
        .attach(&keyed.key, run(hello("amelie"), 1), 7)
        .await
        .unwrap();
    assert_eq!(second.close().await, "replaced");
    assert_eq!(cloned().await.unwrap().times, 2);
    // It is told of once an hour.
    assert_eq!(keyed.fixture.publisher.with("agent_cloned").len(), 1);
    // Only one of them can follow to a new key.
    keyed.rotate().await.unwrap();
    assert_eq!(first.frame().await, ServerFrame::RotateKey);
    offer(&mut first, &digest(1)).await;
    let _first = keyed
        .attach(&digest(1), run(hello("amelie"), 1), 7)
        .await
        .unwrap();
    assert_eq!(cloned().await, None);
    keyed.fixture.advance(60);
    let refused = keyed
        .attach(&keyed.key, run(hello("copy"), 2), 8)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), "forbidden");
}

#[actix::test]
async fn the_mark_of_a_cloned_agent_survives_a_restart() {
    let keyed = keyed(Setup::default()).await;
    for (number, last) in [(1, 7), (2, 8)] {
        drop(
            keyed
                .attach(&keyed.key, run(hello("amelie"), number), last)
                .await
                .unwrap(),
        );
    }
    keyed
        .attach(&keyed.key, run(hello("amelie"), 1), 7)
        .await
        .err()
        .unwrap();
    let fixture = keyed.fixture.restart().await;
    let view = eventually("the host", || async {
        fixture.core.get_host(None, "amelie".into()).await.ok()
    })
    .await;
    assert_eq!(view.cloned.unwrap().times, 1);
}
