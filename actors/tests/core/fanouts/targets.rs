//! Which records of hosts a fan-out can have: of agents and of LittleBrother clients, and no sensors of LimaCharlie.

use super::{ended, everywhere, hosts, is_paused, submit, until};
use crate::client::{Client, served};
use crate::fixture::{Fixture, page};
use serde_json::json;
use tripline_actors::HostFilter;
use tripline_protocol::fanout::{FanoutOutcome, SubmitFanout};
use tripline_protocol::limacharlie::{Call, ServiceEtype};
use tripline_protocol::{HostId, Org};
use uuid::Uuid;

const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";

fn org() -> Org {
    OID.parse().unwrap()
}

fn in_org() -> SubmitFanout {
    SubmitFanout {
        org: Some(org()),
        ..everywhere()
    }
}

/// LimaCharlie tells of a sensor; the answer is the host that it is.
async fn sensor(fixture: &Fixture, number: u128) -> HostId {
    let sid = Uuid::from_u128(number);
    let call = Call {
        version: None,
        oid: Some(OID.into()),
        mid: Some(sid.to_string()),
        deadline: None,
        jwt: None,
        tripdepth: None,
        etype: "new_sensor".into(),
        data: json!({ "sid": sid, "hostname": "web-1" }),
    };
    let etype: ServiceEtype = call.etype.parse().unwrap();
    let answer = fixture.core.limacharlie_call(etype, call).await.unwrap();
    assert!(answer.success, "{answer:?}");
    HostId::derive_limacharlie(&org(), sid)
}

async fn listed(fixture: &Fixture) -> usize {
    let all = HostFilter {
        org: Some(org()),
        ..page(10)
    };
    fixture.core.list_hosts(all).await.unwrap().items.len()
}

#[actix::test]
async fn a_sensor_on_which_nothing_can_be_run_is_no_host_of_a_fan_out() {
    let fixture = Fixture::start();
    sensor(&fixture, 1).await;
    let id = submit(&fixture, in_org()).await;
    let (outcome, view) = ended(&fixture, id).await;
    assert_eq!((outcome, view.counts.hosts), (FanoutOutcome::Failed, 0));
    assert_eq!(view.reason.unwrap().code, "no_hosts");
    let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
    let mut agent = fixture.attach(own, "web-1").await;
    assert_eq!(listed(&fixture).await, 2, "the list of hosts has both");
    let reach = fixture.core.preview_fanout(in_org()).await.unwrap();
    assert_eq!((reach.hosts, reach.attached, reach.first.len()), (1, 1, 1));
    let id = submit(&fixture, in_org()).await;
    agent.obey().await;
    assert_eq!(ended(&fixture, id).await.0, FanoutOutcome::Succeeded);
    let found = hosts(&fixture, id).await;
    assert_eq!(found.iter().map(|host| host.host_id).collect::<Vec<_>>(), [own]);
}

#[actix::test]
async fn a_sensor_that_comes_later_joins_no_standing_fan_out() {
    let fixture = Fixture::start();
    let standing = SubmitFanout {
        standing: true,
        ..in_org()
    };
    let id = submit(&fixture, standing).await;
    sensor(&fixture, 1).await;
    sensor(&fixture, 2).await;
    // It is looked at before this one, who joins.
    let own = fixture.enrol_in(Some(OID), "web-1").await.host_id;
    let view = until(&fixture, id, "a host joins", |view| view.counts.hosts > 0).await;
    assert_eq!(view.counts.hosts, 1);
    assert_eq!(hosts(&fixture, id).await[0].host_id, own);
}

#[actix::test]
async fn the_host_of_a_littlebrother_client_is_one_of_a_fan_outs() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.say(&fixture.core, vec![]).await;
    let reach = fixture.core.preview_fanout(everywhere()).await.unwrap();
    assert_eq!((reach.hosts, reach.attached), (1, 1));
    let id = submit(&fixture, everywhere()).await;
    let view = until(&fixture, id, "it has its turn", |view| view.counts.hosts == 1).await;
    assert_eq!(view.counts.offline, 0);
    assert_eq!(hosts(&fixture, id).await[0].host_id, client.own());
}

#[actix::test]
async fn a_client_that_is_linked_to_a_host_while_it_waits_is_passed_over() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.say(&fixture.core, vec![]).await;
    let own = fixture.enrol("amelie").await.host_id;
    // Neither has its turn: they are one too many.
    let wanted = SubmitFanout {
        max_hosts: Some(1),
        ..everywhere()
    };
    let id = submit(&fixture, wanted).await;
    until(&fixture, id, "both wait", is_paused("max_hosts")).await;
    let (host, linked) = (own.to_string(), client.own().to_string());
    fixture.core.link_host(None, host, linked).await.unwrap();
    let view = until(&fixture, id, "it is passed over", |view| view.counts.skipped == 1).await;
    assert_eq!(view.counts.pending, 1);
    let skipped = super::host(&fixture, id, client.own()).await;
    assert_eq!(skipped.reason.unwrap().code, "host_linked");
}
