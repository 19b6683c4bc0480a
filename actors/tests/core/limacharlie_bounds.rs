//! Bounds of what LimaCharlie is told of jobs.

use crate::fixture::{Fixture, delete, eventually};
use crate::limacharlie::{linked, news};
use serde_json::json;
use tripline_actors::store::Table;

/// Jobs of an org of which there may be news.
const NEWS_MAX: usize = 1_000;
/// Updates in an answer, and their bytes before the last one.
const UPDATES_MAX: usize = 16;
const UPDATES_BYTES_MAX: usize = 512 * 1024;

#[actix::test]
async fn so_many_updates_go_with_an_answer_and_so_many_jobs_of_an_org_are_told_at_all() {
    let fixture = Fixture::start();
    let fixture = fixture
        .restart_with(|setup| setup.config.jobs_per_host_max = 2 * NEWS_MAX as u32)
        .await;
    let (own, _agent) = linked(&fixture).await;
    for _ in 0..=NEWS_MAX {
        fixture.submit(own, vec![delete()]).await;
    }
    assert_eq!(fixture.rows(Table::Job), NEWS_MAX + 1);
    assert_eq!(fixture.rows(Table::LcNews), NEWS_MAX);
    assert_eq!(news(&fixture).len(), UPDATES_MAX);
    assert_eq!(news(&fixture).len(), UPDATES_MAX, "others");
}

#[actix::test]
async fn updates_go_with_an_answer_until_they_have_so_many_bytes() {
    let fixture = Fixture::start();
    let (own, mut agent) = linked(&fixture).await;
    for _ in 0..UPDATES_MAX {
        let job = fixture.submit(own, vec![delete()]).await;
        let command = agent.command().await;
        agent.answer(command.command_id, json!({ "text": "x".repeat(50 * 1024) }));
        assert_eq!(agent.ack().await, [command.command_id]);
        fixture.ended(job.job_id).await;
    }
    let first = news(&fixture);
    let bytes = |count: usize| -> usize {
        let all = first.iter().take(count);
        all.map(|update| serde_json::to_vec(update).unwrap().len()).sum()
    };
    assert!(first.len() < UPDATES_MAX, "{}", first.len());
    assert!(bytes(first.len() - 1) < UPDATES_BYTES_MAX && bytes(first.len()) >= UPDATES_BYTES_MAX);
    assert!(!news(&fixture).is_empty(), "the rest goes with the next");
}

#[actix::test]
async fn the_ends_of_steps_are_told_while_the_job_goes_on() {
    let fixture = Fixture::start();
    let (own, mut agent) = linked(&fixture).await;
    let job = fixture.submit(own, vec![delete(), delete()]).await;
    let first = agent.command().await;
    assert_eq!(news(&fixture)[0].hist.len(), 1, "it was accepted");
    agent.answer(first.command_id, json!({}));
    let updates = eventually("the first step's end", || async {
        Some(news(&fixture)).filter(|updates| !updates.is_empty())
    })
    .await;
    assert_eq!(
        (updates[0].id.as_str(), updates[0].end),
        (job.job_id.to_string().as_str(), None)
    );
    let lines: Vec<&str> = updates[0].hist.iter().map(|line| line.msg.as_str()).collect();
    assert_eq!(lines, ["started on web-1", "step step1 succeeded"]);
    assert_eq!(agent.ack().await, [first.command_id]);
    agent.obey().await;
    let updates = eventually("its end", || async {
        Some(news(&fixture)).filter(|updates| !updates.is_empty())
    })
    .await;
    assert!(updates[0].end.is_some());
    assert_eq!(updates[0].hist.len(), 1, "its end alone: {updates:?}");
}
