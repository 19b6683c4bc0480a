//! What agents say of their hosts' isolation: on the record, as events, and what was asked and not done yet.

use crate::fixture::{Agent, Fixture, hello};
use serde_json::{Value, json};
use std::collections::HashMap;
use tripline_protocol::frame::{AgentFrame, Hello};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, HostId, Isolation, IsolationEnd, IsolationReport, Span, Timestamp};
use uuid::Uuid;

fn command(number: u128) -> CommandId {
    CommandId(Uuid::from_u128(number))
}

/// By a clock that is far from ours.
pub(crate) fn isolated(number: u128, left: &str) -> IsolationReport {
    let since = Timestamp::from_micros(0);
    IsolationReport::Isolated {
        left: left.parse().unwrap(),
        isolation: Isolation {
            command_id: command(number),
            since,
            until: since.after("4h".parse().unwrap()),
            persist: true,
            allow: vec!["10.0.0.0/8".parse().unwrap()],
        },
    }
}

fn ended(number: u128) -> IsolationReport {
    IsolationReport::Ended {
        command_id: command(number),
        at: Timestamp::from_micros(0),
        why: IsolationEnd::Expired,
    }
}

pub(crate) fn says(report: IsolationReport) -> Hello {
    Hello {
        isolation: Some(report),
        ..hello("amelie")
    }
}

fn say(agent: &Agent, report: IsolationReport) {
    agent.attached.frame(
        AgentFrame::Isolation {
            isolation: Box::new(report),
        },
        0,
    );
}

async fn isolation(fixture: &Fixture, host: HostId) -> Option<Isolation> {
    let view = fixture.core.get_host(None, host.to_string()).await.unwrap();
    view.isolation
}

async fn event(fixture: &Fixture, etype: &str, nth: usize) -> Value {
    let events = fixture.published(&format!(".events.default.{etype}"), nth).await;
    serde_json::from_slice(&events[nth - 1].payload).unwrap()
}

#[actix::test]
async fn an_isolation_is_on_the_hosts_record_by_our_clock_and_an_event() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    assert_eq!(isolation(&fixture, host).await, None);
    say(&agent, isolated(1, "3h"));
    let told = event(&fixture, "host_isolated", 1).await;
    let known = isolation(&fixture, host).await.unwrap();
    assert_eq!(known.until.since(known.since), Span::from_secs(4 * 3600));
    assert!(
        known.until > fixture.now(),
        "and not long ago, as its host thinks"
    );
    assert_eq!(known.command_id, command(1));
    assert_eq!(told["data"]["until"], json!(known.until));
    assert_eq!(
        (&told["data"]["renewed"], &told["data"]["persist"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(told["hostid"], json!(host));
    say(&agent, isolated(2, "4h"));
    let renewed = event(&fixture, "host_isolated", 2).await;
    assert_eq!(renewed["data"]["renewed"], true);
    say(&agent, ended(2));
    let over = event(&fixture, "host_unisolated", 1).await;
    assert_eq!(
        (&over["data"]["why"], &over["data"]["command_id"]),
        (&json!("expired"), &json!(command(2)))
    );
    assert_eq!(isolation(&fixture, host).await, None);
}

#[actix::test]
async fn what_hello_says_again_is_no_news_and_what_it_says_no_more_has_ended() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let agent = Agent::attach(&fixture.core, host, says(isolated(1, "3h"))).await;
    event(&fixture, "host_isolated", 1).await;
    drop(agent);
    let fixture = fixture.restart().await;
    assert!(
        isolation(&fixture, host).await.is_some(),
        "it is known without the agent"
    );
    let agent = Agent::attach(&fixture.core, host, says(isolated(1, "2h"))).await;
    say(&agent, IsolationReport::Unknown);
    say(&agent, isolated(1, "2h"));
    assert!(isolation(&fixture, host).await.is_some());
    drop(agent);
    let _agent = Agent::attach(&fixture.core, host, hello("amelie")).await;
    let over = event(&fixture, "host_unisolated", 1).await;
    assert_eq!(over["data"]["why"], "unknown");
    assert_eq!(isolation(&fixture, host).await, None);
    assert!(
        fixture.publisher.with(".host_isolated").len() <= 1,
        "it was told once"
    );
}

#[actix::test]
async fn what_jobs_ask_of_hosts_is_known_until_they_have_ended() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    assert!(fixture.core.isolations_asked(None).await.unwrap().is_empty());
    for (verb, asked) in [
        (Verb::Isolate, Some(true)),
        (Verb::ListProcesses, Some(true)),
        (Verb::Unisolate, Some(false)),
    ] {
        fixture.submit(host, vec![Step::new(verb, json!({}))]).await;
        let known = fixture.core.isolations_asked(None).await.unwrap();
        assert_eq!(known.get(&host).copied(), asked, "{verb}");
    }
    let elsewhere = Some("acme".parse().unwrap());
    assert_eq!(
        fixture.core.isolations_asked(elsewhere).await.unwrap(),
        HashMap::new()
    );
}
