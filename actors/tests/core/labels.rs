//! Labels that administrators give hosts, and those that agents' configurations give.

use crate::events::{delivery, jobs, listening};
use crate::fixture::{Agent, Fixture, hello, page};
use serde_json::json;
use tripline_actors::store::Table;
use tripline_actors::{HostFilter, LabelChange, Refusal};
use tripline_protocol::api::{ChangeLabels, HostView};
use tripline_protocol::frame::Hello;
use tripline_protocol::selector::HostSelector;
use tripline_protocol::{HostId, Label};

fn labels(words: &[&str]) -> Vec<Label> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

async fn change(fixture: &Fixture, host: HostId, add: &[&str], remove: &[&str]) -> Result<HostView, Refusal> {
    let change = LabelChange::Change(ChangeLabels {
        add: labels(add),
        remove: labels(remove),
    });
    fixture.core.label_host(None, host.to_string(), change).await
}

fn having(label: &str) -> HostSelector {
    HostSelector {
        labels: labels(&[label]),
        ..HostSelector::default()
    }
}

async fn labelled(fixture: &Fixture, label: &str) -> Vec<HostId> {
    let filter = HostFilter {
        selector: having(label),
        ..page(10)
    };
    let page = fixture.core.list_hosts(filter).await.unwrap();
    page.items.iter().map(|host| host.host_id).collect()
}

async fn attach_labelled(fixture: &Fixture, host: HostId, words: &[&str]) -> Agent {
    let labels = words.iter().map(ToString::to_string).collect();
    let hello = Hello {
        labels,
        ..hello("amelie")
    };
    Agent::attach(&fixture.core, host, hello).await
}

#[actix::test]
async fn labels_survive_a_restart_and_an_attachment() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let agent = attach_labelled(&fixture, host, &["rack-7"]).await;
    let view = change(&fixture, host, &["web", "dmz"], &["gone"]).await.unwrap();
    assert_eq!(view.labels, ["dmz", "rack-7", "web"]);
    assert_eq!(view.agent_labels, ["rack-7"]);
    drop(agent);
    let fixture = fixture.restart().await;
    // Its configuration was changed meanwhile.
    let _agent = attach_labelled(&fixture, host, &["rack-8", "web"]).await;
    let view = fixture.core.get_host(None, "amelie".into()).await.unwrap();
    assert_eq!(view.labels, ["dmz", "rack-8", "web"]);
    let view = change(&fixture, host, &[], &["web", "dmz"]).await.unwrap();
    assert_eq!(view.labels, ["rack-8", "web"]);
    assert_eq!(fixture.rows(Table::HostLabels), 0);
    let refused = change(&fixture, host, &["x"], &["rack-8"]).await.unwrap_err();
    assert_eq!(refused.code(), "label_of_agent");
    assert_eq!(fixture.rows(Table::HostLabels), 0, "nothing was changed");
}

#[actix::test]
async fn hosts_are_found_by_their_labels_within_an_org() {
    let fixture = Fixture::start();
    let first = fixture.enrol("amelie").await.host_id;
    let second = fixture.enrol("bert").await.host_id;
    let other = fixture.enrol_in(Some("acme"), "amelie").await.host_id;
    for host in [first, other] {
        change(&fixture, host, &["dmz"], &[]).await.unwrap();
    }
    let _agent = attach_labelled(&fixture, second, &["dmz"]).await;
    let mut all = vec![first, second, other];
    all.sort_unstable();
    assert_eq!(labelled(&fixture, "dmz").await, all);
    assert_eq!(labelled(&fixture, "dm").await, []);
    let org = Some("acme".parse().unwrap());
    let filter = HostFilter {
        org: org.clone(),
        selector: having("dmz"),
        ..page(10)
    };
    let found = fixture.core.list_hosts(filter).await.unwrap().items;
    assert_eq!((found.len(), found[0].host_id), (1, other));
    let change = LabelChange::Set(vec![]);
    let hidden = fixture
        .core
        .label_host(org, first.to_string(), change)
        .await
        .unwrap_err();
    assert_eq!(hidden.code(), "not_found");
    let set = LabelChange::Set(labels(&["b", "a", "b"]));
    let view = fixture
        .core
        .label_host(None, first.to_string(), set)
        .await
        .unwrap();
    assert_eq!(view.labels, ["a", "b"]);
}

const TRIPWIRE: &str = "name: look\non: [acme.alert]\nwhen: '\"dmz\" in host.labels && \"rack-7\" in host.labels'\n\
                        job: { steps: [ list_processes: {} ] }\n";

#[actix::test]
async fn conditions_see_the_labels_of_administrators_and_of_agents() {
    let (fixture, host) = listening(vec![TRIPWIRE]).await;
    let _agent = attach_labelled(&fixture, host, &["rack-7"]).await;
    let event = |sequence: u64| {
        let data = json!({ "host_id": host });
        vec![delivery(&fixture, sequence, &sequence.to_string(), data)]
    };
    fixture.core.ingest(event(1)).await.unwrap();
    assert_eq!(jobs(&fixture).await.len(), 0);
    change(&fixture, host, &["dmz"], &[]).await.unwrap();
    fixture.core.ingest(event(2)).await.unwrap();
    let jobs = jobs(&fixture).await;
    let events: Vec<&str> = jobs.iter().map(|job| &*job.event.as_ref().unwrap().id).collect();
    assert_eq!(events, ["2"]);
}
