//! What is asked in the morning about an event of the night: why each pipeline did or did not act, and what came of it.

use crate::events::{delivery, listening};
use crate::fixture::{Fixture, eventually, list, rules};
use serde_json::{Value, json};
use tripline_actors::store::{Batch, Table};
use tripline_actors::{Delivery, LookedUp};
use tripline_protocol::api::{
    EventLookup, EventSearch, Explanation, LookupState, PipelineVerdict, Shortfall, VerdictWord,
};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{EventKey, Org};
use uuid::Uuid;

const ACTS: &str = "name: acts\non: [acme.>]\nwhen: event.data.severity >= 7\n\
                    job: { steps: [ { id: look, list_processes: {} } ] }\n";
const ONCE: &str = "name: once\non: [acme.>]\nsuppress: { key: \"{{ event.data.k }}\", per: 1h }\n\
                    job: { steps: [ list_processes: {} ] }\n";
const MISSES: &str = "name: misses\non: [acme.>]\nwhen: event.data.severity >= 7 && event.data.user == 'root'\n\
                      job: { steps: [ list_processes: {} ] }\n";
const SMALL: &str =
    "name: small\non: [acme.>]\nwhen: event.data.severity < 3\njob: { steps: [ list_processes: {} ] }\n";
const OFF: &str = "name: off\nenabled: false\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
const ELSEWHERE: &str = "name: elsewhere\norgs: acme\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
const SWEEP: &str = "name: sweep\non: [acme.>]\ntarget: all\njob: { steps: [ list_processes: {} ] }\n";
const DEAF: &str = "name: deaf\non: [other]\njob: { steps: [ list_processes: {} ] }\n";

pub(crate) fn key(id: &str) -> EventKey {
    EventKey::derive(&Org::default_org(), "test", id)
}

/// What the stream gives of an event that is there.
pub(crate) fn found(fixture: &Fixture, delivery: &Delivery) -> LookedUp {
    let found = fixture.core.understand(delivery.clone()).map(Box::new);
    LookedUp {
        found,
        lookup: EventLookup::of(LookupState::Read),
    }
}

pub(crate) fn in_vain(state: LookupState) -> LookedUp {
    LookedUp {
        found: None,
        lookup: EventLookup::of(state),
    }
}

pub(crate) async fn explain(
    fixture: &Fixture,
    org: Option<&str>,
    asked: Uuid,
    looked_up: LookedUp,
) -> Explanation {
    let org: Option<Org> = org.map(|org| org.parse().unwrap());
    let located = fixture.core.locate(org.clone(), asked).await.unwrap();
    fixture.core.explain(org, located, looked_up).await.unwrap()
}

pub(crate) fn of<'e>(explanation: &'e Explanation, pipeline: &str) -> &'e PipelineVerdict {
    let found = explanation
        .pipelines
        .iter()
        .find(|verdict| verdict.pipeline.as_str() == pipeline);
    found.unwrap_or_else(|| panic!("no {pipeline}: {explanation:#?}"))
}

fn words(explanation: &Explanation) -> Vec<(&str, VerdictWord)> {
    let verdicts = explanation.pipelines.iter();
    verdicts
        .map(|verdict| (verdict.pipeline.as_str(), verdict.verdict))
        .collect()
}

#[actix::test]
async fn every_pipeline_says_why_it_did_or_did_not_act() {
    let (fixture, host_id) = listening(vec![ACTS, ONCE, MISSES, SMALL, OFF, ELSEWHERE, DEAF]).await;
    let data = json!({ "host_id": host_id, "k": "a", "severity": 8 });
    let first = delivery(&fixture, 4, "e1", data.clone());
    let second = delivery(&fixture, 5, "e2", data);
    fixture.core.ingest(vec![first]).await.unwrap();
    fixture.core.ingest(vec![second.clone()]).await.unwrap();
    let located = fixture.core.locate(None, key("e2").0).await.unwrap();
    assert_eq!((located.key, located.sequence), (Some(key("e2")), Some(5)));

    let told = explain(&fixture, None, key("e2").0, found(&fixture, &second)).await;
    assert_eq!(
        words(&told),
        [
            ("acts", VerdictWord::Acted),
            ("once", VerdictWord::Withheld),
            ("misses", VerdictWord::Condition),
            ("small", VerdictWord::Condition),
            ("elsewhere", VerdictWord::WrongOrg),
            ("off", VerdictWord::Disabled),
        ]
    );
    assert_eq!((told.not_listening, told.pipelines_more), (1, 0));
    let acted = of(&told, "acts");
    assert_eq!((acted.jobs.len(), acted.recorded, told.jobs.len()), (1, true, 1));
    assert_eq!(told.jobs[0].job.job_id, acted.jobs[0]);
    let withheld = of(&told, "once");
    assert_eq!(
        (withheld.reason.as_deref(), withheld.key.as_deref()),
        (Some("suppressed"), Some("a"))
    );
    assert!(withheld.recorded && !withheld.is_of_another_version());
    let misses = of(&told, "misses").unmet.as_ref().unwrap();
    assert_eq!((misses.number, misses.of, misses.why), (2, 2, Shortfall::Missing));
    assert_eq!(misses.field.as_deref(), Some("event.data.user"));
    let small = of(&told, "small");
    assert_eq!(
        small.text,
        "event.data.severity < 3 is false; event.data.severity is 8"
    );
    assert!(!small.recorded);
    let event = told.event.as_ref().unwrap();
    assert_eq!(
        (event.id.as_str(), event.sequence, event.handled_at),
        ("e2", Some(5), Some(fixture.now()))
    );
    assert_eq!(event.host.as_ref().map(|host| host.host_id), Some(host_id));
    assert!(told.notes.is_empty(), "{:?}", told.notes);

    // The same, started over, and from the job's id.
    let fixture = fixture.restart().await;
    let job = acted.jobs[0];
    let again = explain(&fixture, None, job.0, found(&fixture, &second)).await;
    assert_eq!((&again.event, words(&again)), (&told.event, words(&told)));
    let elsewhere = explain(&fixture, Some("acme"), key("e2").0, found(&fixture, &second)).await;
    assert!(
        elsewhere.is_empty() && elsewhere.pipelines.is_empty(),
        "{elsewhere:#?}"
    );
    assert_eq!(
        elsewhere.lookup.state,
        LookupState::NotFound,
        "not even that there is one"
    );
    let own = explain(&fixture, Some("default"), key("e2").0, found(&fixture, &second)).await;
    assert_eq!(words(&own), words(&told));
}

#[actix::test]
async fn the_chain_of_a_job_goes_from_the_event_to_the_place_of_its_result() {
    let (fixture, host_id) = listening(vec![ACTS]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    let mut event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id, "severity": 8 }));
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    event.headers.push(("traceparent".into(), traceparent.into()));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    agent.obey().await;
    let told = eventually("its result is published", || async {
        let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
        let result = told.jobs.first().and_then(|job| job.result.clone());
        result
            .is_some_and(|result| result.published_at.is_some())
            .then_some(told)
    })
    .await;
    let explained = &told.jobs[0];
    let (job, result) = (&explained.job, explained.result.as_ref().unwrap());
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!((job.attempt, explained.resumed, explained.retries), (1, 0, 0));
    assert!(explained.last_session_at.is_some() && job.started_at.is_some());
    assert_eq!(
        (job.steps[0].id.as_str(), &job.steps[0].output),
        ("look", &None),
        "outputs are left out"
    );
    assert_eq!(explained.traceparent.as_deref(), Some(traceparent));
    let published = fixture.publisher.results().remove(0);
    assert_eq!(result.subject, published.subject);
    let carried = published.headers.iter().find(|(name, _)| name == "traceparent");
    assert_eq!(carried.map(|(_, value)| value.as_str()), Some(traceparent));
    assert!(result.sequence.is_some() && result.published_at >= Some(result.staged_at));

    let fixture = fixture.restart().await;
    let again = explain(&fixture, None, job.job_id.0, in_vain(LookupState::BrokerAway)).await;
    assert_eq!(
        again.jobs[0].result, told.jobs[0].result,
        "it is known after a restart"
    );
}

#[actix::test]
async fn without_the_event_what_is_recorded_is_told() {
    let (fixture, host_id) = listening(vec![ACTS, ONCE, SMALL]).await;
    let data = json!({ "host_id": host_id, "k": "a", "severity": 8 });
    fixture
        .core
        .ingest(vec![delivery(&fixture, 1, "e1", data)])
        .await
        .unwrap();
    for (state, said) in [
        (LookupState::BrokerAway, "the broker did not answer"),
        (LookupState::Gone, "not hold the event any more"),
    ] {
        let told = explain(&fixture, None, key("e1").0, in_vain(state)).await;
        let event = told.event.as_ref().unwrap();
        assert_eq!(
            (event.id.as_str(), event.source.as_str(), event.sequence),
            ("e1", "test", Some(1))
        );
        assert_eq!(
            words(&told),
            [
                ("acts", VerdictWord::Acted),
                ("once", VerdictWord::Acted),
                ("small", VerdictWord::Unknown),
            ]
        );
        assert!(
            told.notes.iter().any(|note| note.contains(said)),
            "{:?}",
            told.notes
        );
    }
}

#[actix::test]
async fn of_an_event_that_nobody_knows_it_is_told_what_was_searched() {
    let (fixture, _) = listening(vec![ACTS]).await;
    let search = EventSearch {
        since: fixture.now(),
        messages: 7,
        first_sequence: 1,
        last_sequence: 9,
        complete: true,
    };
    let looked_up = LookedUp {
        found: None,
        lookup: EventLookup {
            state: LookupState::NotFound,
            searched: Some(search.clone()),
        },
    };
    let located = fixture.core.locate(None, key("none").0).await.unwrap();
    assert_eq!(located.sequence, None);
    let told = explain(&fixture, None, key("none").0, looked_up).await;
    assert!(told.is_empty() && told.pipelines.is_empty(), "{told:#?}");
    assert_eq!(told.lookup.searched, Some(search));
}

#[actix::test]
async fn an_event_in_which_nobody_was_interested_is_explained_from_its_stream() {
    let (fixture, host_id) = listening(vec![SMALL]).await;
    let event = delivery(&fixture, 3, "e1", json!({ "host_id": host_id, "severity": 8 }));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    assert_eq!(fixture.rows(Table::HandledEvent), 0);
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!(words(&told), [("small", VerdictWord::Condition)]);
    // One that is still to come.
    let later = delivery(&fixture, 4, "e2", json!({ "host_id": host_id, "severity": 1 }));
    let told = explain(&fixture, None, key("e2").0, found(&fixture, &later)).await;
    assert_eq!(words(&told), [("small", VerdictWord::NotHandled)]);
    assert!(
        told.notes
            .iter()
            .any(|note| note.contains("not been handled yet")),
        "{:?}",
        told.notes
    );
}

#[actix::test]
async fn an_event_is_as_old_as_it_was_when_it_was_decided_about() {
    let (fixture, host_id) = listening(vec![SMALL]).await;
    let mut event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id, "severity": 1 }));
    fixture.advance(2 * 3600);
    event.stored_at = fixture.now();
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    let verdict = of(&told, "small");
    assert_eq!(verdict.verdict, VerdictWord::Stale);
    assert!(verdict.text.contains("at most 1h"), "{}", verdict.text);
    let young = delivery(&fixture, 2, "e2", json!({ "host_id": host_id, "severity": 8 }));
    fixture.core.ingest(vec![young.clone()]).await.unwrap();
    fixture.advance(2 * 3600);
    let told = explain(&fixture, None, key("e2").0, found(&fixture, &young)).await;
    assert_eq!(
        words(&told),
        [("small", VerdictWord::Condition)],
        "it was young then"
    );
}

#[actix::test]
async fn a_pipeline_that_could_not_act_says_what_it_wanted() {
    let (fixture, _) = listening(vec![ONCE, SMALL]).await;
    let event = delivery(
        &fixture,
        1,
        "e1",
        json!({ "hostname": "nowhere", "k": "a", "severity": 8 }),
    );
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!(
        words(&told),
        [("once", VerdictWord::Dead), ("small", VerdictWord::Condition)]
    );
    assert_eq!(of(&told, "once").reason.as_deref(), Some("unknown_host"));
    assert_eq!(told.dead_letters.len(), 1);
    assert!(
        told.dead_letters[0].text.contains("pipeline once"),
        "{:?}",
        told.dead_letters
    );
}

#[actix::test]
async fn rules_that_were_changed_since_are_named() {
    let (fixture, host_id) = listening(vec![ACTS, ONCE]).await;
    let event = delivery(
        &fixture,
        1,
        "e1",
        json!({ "host_id": host_id, "k": "a", "severity": 8 }),
    );
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let changed = "name: acts\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
    let newer = "name: newer\non: [acme.>]\njob: { steps: [ list_processes: {} ] }\n";
    fixture.core.set_rules(rules(&[changed, newer]));
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!(
        words(&told),
        [
            ("acts", VerdictWord::Acted),
            ("once", VerdictWord::Acted),
            ("newer", VerdictWord::Unrecorded),
        ]
    );
    let acts = of(&told, "acts");
    assert!(acts.version.is_some() && acts.is_of_another_version(), "{acts:?}");
    let once = of(&told, "once");
    assert!(
        once.version.is_none() && once.is_of_another_version(),
        "it is in force no more"
    );
    assert_ne!(told.rules.decided_by.as_ref(), Some(&told.rules.version));
    assert!(
        told.notes.iter().any(|note| note.contains("other rules decided")),
        "{:?}",
        told.notes
    );
}

#[actix::test]
async fn marks_and_decisions_of_an_older_version_are_understood() {
    let (fixture, host_id) = listening(vec![ACTS, ONCE]).await;
    let data = json!({ "host_id": host_id, "k": "a", "severity": 8 });
    let second = delivery(&fixture, 2, "e2", data.clone());
    fixture
        .core
        .ingest(vec![delivery(&fixture, 1, "e1", data)])
        .await
        .unwrap();
    fixture.core.ingest(vec![second.clone()]).await.unwrap();
    make_old(&fixture);
    let fixture = fixture.restart().await;
    let located = fixture.core.locate(None, key("e2").0).await.unwrap();
    assert_eq!(located.sequence, None, "it is to be searched for");
    let told = explain(&fixture, None, key("e2").0, found(&fixture, &second)).await;
    assert_eq!(
        words(&told),
        [("acts", VerdictWord::Acted), ("once", VerdictWord::Withheld)]
    );
    assert_eq!(told.rules.decided_by, None);
}

/// Takes from marks and decisions what the version before did not write.
fn make_old(fixture: &Fixture) {
    let rows = |table| {
        let rows = fixture.store.scan(table, &[], None, 100).unwrap();
        let value = |key: &[u8]| fixture.store.get(table, key).unwrap().unwrap();
        rows.into_iter()
            .map(move |(row, _)| (value(&row), row))
            .collect::<Vec<_>>()
    };
    let mut batch = Batch::new();
    for (mark, row) in rows(Table::HandledEvent) {
        batch.put(Table::HandledEvent, row, mark[..mark.len() - 88].to_vec());
    }
    for (record, row) in rows(Table::Withheld) {
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        let fields = record.as_object_mut().unwrap();
        assert!(fields.remove("sequence").is_some() && fields.remove("event").is_some());
        batch.put(Table::Withheld, row, record.to_string().into_bytes());
    }
    fixture.store.commit(batch, || {});
}

#[actix::test]
async fn a_job_that_a_person_submitted_is_explained_alone() {
    let (fixture, host_id) = listening(vec![ACTS]).await;
    let job = fixture.submit(host_id, vec![list()]).await.job_id;
    let located = fixture.core.locate(None, job.0).await.unwrap();
    assert_eq!(located.key, None);
    let told = fixture
        .core
        .explain(None, located, in_vain(LookupState::NoEvent))
        .await
        .unwrap();
    assert!(!told.is_empty() && told.event.is_none() && told.pipelines.is_empty());
    assert_eq!(told.jobs[0].job.job_id, job);
    assert!(told.jobs[0].job.waiting.is_some() && told.jobs[0].result.is_none());
}

/// A pipeline for each of these numbers; those that act say so in their names.
fn many(acting: usize, others: usize) -> &'static str {
    let pipeline = |name: String, when: &str| {
        format!("name: {name}\non: [acme.>]\nwhen: {when}\njob: {{ steps: [ list_processes: {{}} ] }}\n")
    };
    let acting = (0..acting).map(|n| pipeline(format!("acts-{n}"), "has(event.data.host_id)"));
    let others = (0..others).map(|n| pipeline(format!("other-{n}"), "has(event.data.none)"));
    Box::leak(
        acting
            .chain(others)
            .collect::<Vec<_>>()
            .join("---\n")
            .into_boxed_str(),
    )
}

#[actix::test]
async fn so_many_pipelines_and_jobs_of_an_event_are_told_and_the_others_counted() {
    let (fixture, host_id) = listening(vec![many(102, 900)]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id }));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    assert_eq!((told.jobs.len(), told.jobs_more), (100, 2));
    assert_eq!((told.pipelines.len(), told.pipelines_more), (1_000, 2));
    let acted = told
        .pipelines
        .iter()
        .filter(|verdict| verdict.verdict == VerdictWord::Acted);
    assert_eq!(acted.count(), 102, "those that acted come first");
}

#[actix::test]
async fn a_fan_out_is_told_by_its_event_and_by_its_own_id() {
    let (fixture, _) = listening(vec![SWEEP, DEAF]).await;
    let event = delivery(&fixture, 4, "e1", json!({}));
    fixture.core.ingest(vec![event.clone()]).await.unwrap();
    let told = explain(&fixture, None, key("e1").0, found(&fixture, &event)).await;
    let sweep = of(&told, "sweep");
    assert_eq!((sweep.verdict, sweep.recorded), (VerdictWord::Acted, true));
    assert_eq!(sweep.text, "it began a fan-out on all");
    let [fanout] = told.fanouts.as_slice() else {
        panic!("{told:#?}");
    };
    assert_eq!(sweep.fanouts, [fanout.fanout_id]);
    assert_eq!(fanout.event.as_ref().map(|event| event.id.as_str()), Some("e1"));

    let located = fixture.core.locate(None, fanout.fanout_id.0).await.unwrap();
    assert_eq!((located.key, located.sequence), (Some(key("e1")), Some(4)));
    let by_id = explain(
        &fixture,
        None,
        fanout.fanout_id.0,
        in_vain(LookupState::BrokerAway),
    )
    .await;
    assert_eq!(by_id.fanouts, told.fanouts);
    // Without the event only what is recorded is told.
    assert_eq!(words(&by_id), [("sweep", VerdictWord::Acted)]);
    let other = explain(
        &fixture,
        Some("acme"),
        fanout.fanout_id.0,
        in_vain(LookupState::NotFound),
    )
    .await;
    assert!(other.is_empty(), "{other:#?}");
}
