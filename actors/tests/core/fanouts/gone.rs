//! Hosts that wait in vain: forgotten, or clients that a host reports as, whoever was told of it.

use super::{CANCELLED, EXPIRED, SUCCEEDED};
use super::{ended, everywhere, host, submit, until};
use crate::client::{Client, restarted, served};
use crate::fixture::{Fixture, eventually, list, options};
use tripline_actors::store::{Batch, Store, Table};
use tripline_protocol::fanout::{FanoutHostState, FanoutOutcome, RetryFanout, SubmitFanout};
use tripline_protocol::job::JobSpec;
use tripline_protocol::{FanoutId, HostId, Span};

/// What an agent's host and a client can do.
fn look() -> SubmitFanout {
    SubmitFanout {
        job: Some(JobSpec::new("look".parse().unwrap(), vec![list()])),
        expires: Some(Span::from_secs(60)),
        ..everywhere()
    }
}

/// An agent's host and a client, both away, and a third host that goes.
struct Scene {
    fixture: Fixture,
    host: HostId,
    client: HostId,
    goes: HostId,
    fanout: FanoutId,
}

impl Scene {
    /// All of them wait in a fan-out.
    async fn new() -> Self {
        let fixture = served();
        let host = fixture.enrol("amelie").await.host_id;
        let goes = fixture.enrol("goes").await.host_id;
        let client = Client::new("amelie");
        client.arrive(&fixture, 7).await;
        // After a start a client is away until it says something.
        let fixture = restarted(fixture).await;
        let fanout = submit(&fixture, look()).await;
        until(&fixture, fanout, "all wait", |view| view.counts.offline == 3).await;
        Self {
            fixture,
            host,
            client: client.own(),
            goes,
            fanout,
        }
    }

    /// One is forgotten, one linked.
    async fn two_go(&self) {
        let core = &self.fixture.core;
        core.link_host(None, self.host.to_string(), self.client.to_string())
            .await
            .unwrap();
        core.forget_host(None, self.goes.to_string(), false)
            .await
            .unwrap();
    }

    /// The two that are gone wait no more, and the fan-out ends with the other.
    async fn ends(&self, run: u32) {
        let of = async |id| host(&self.fixture, self.fanout, id).await;
        eventually("they wait no more", || async {
            let both = [of(self.client).await, of(self.goes).await];
            both.iter().all(|host| host.state.is_over()).then_some(())
        })
        .await;
        let (linked, forgotten) = (of(self.client).await, of(self.goes).await);
        assert_eq!((linked.state, linked.run), (FanoutHostState::Skipped, run));
        assert_eq!(linked.reason.unwrap().code, "host_linked");
        assert_eq!((forgotten.state, forgotten.run), (CANCELLED, run));
        assert_eq!(forgotten.reason.unwrap().code, "host_forgotten");
        self.fixture.attach(self.host, "amelie").await.obey().await;
        let (outcome, _) = ended(&self.fixture, self.fanout).await;
        assert_eq!(outcome, FanoutOutcome::Succeeded);
        assert_eq!(of(self.host).await.state, SUCCEEDED);
    }
}

#[actix::test]
async fn hosts_that_went_after_a_fan_out_ended_do_not_wait_when_it_is_tried_again() {
    let scene = Scene::new().await;
    scene.fixture.advance(61);
    ended(&scene.fixture, scene.fanout).await;
    assert_eq!(
        host(&scene.fixture, scene.fanout, scene.client).await.state,
        EXPIRED
    );
    scene.two_go().await;
    let retry = RetryFanout::default();
    scene
        .fixture
        .core
        .retry_fanout(None, scene.fanout, retry)
        .await
        .unwrap();
    scene.ends(1).await;
}

#[actix::test]
async fn hosts_that_went_just_before_the_server_died_do_not_wait_for_ever() {
    let scene = Scene::new().await;
    scene.two_go().await;
    until(&scene.fixture, scene.fanout, "they are gone", |view| {
        view.counts.pending == 1
    })
    .await;
    let Scene {
        fixture,
        host,
        client,
        goes,
        fanout,
    } = scene;
    let dir = fixture.stop().await;
    // As if it had died in between: the rows of the two were not written.
    let open = || async { Store::open(&options(&dir)).ok() };
    let store = open().await.unwrap();
    let mut batch = Batch::new();
    for gone in [client, goes] {
        let key = [fanout.as_bytes().as_slice(), gone.as_bytes()].concat();
        assert!(store.get(Table::FanoutHost, &key).unwrap().is_some());
        batch.delete(Table::FanoutHost, key);
    }
    store.commit(batch, || {});
    store.flush_and_close();
    drop(store);
    drop(eventually("the store is free", open).await);
    let scene = Scene {
        fixture: Fixture::resume(dir),
        host,
        client,
        goes,
        fanout,
    };
    scene.ends(0).await;
}
