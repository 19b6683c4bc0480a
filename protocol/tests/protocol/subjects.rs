//! Subjects, built and taken apart; hostile ones too.

use crate::samples::{host, p};
use tripline_protocol::fanout::FanoutOutcome;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::subject::EtypePattern;
use tripline_protocol::{Etype, JobId, Name, Org, Subjects};

fn job() -> JobId {
    p("b181f097-458c-596e-ab14-23d84ca1c696")
}

#[test]
fn subjects_and_streams_under_the_default_prefix() {
    let subjects = Subjects::default();
    let (org, name): (Org, Name) = (p("acme"), p("contain-miner"));
    assert_eq!(subjects.prefix(), "tripline");
    assert_eq!(subjects.events_stream(), "TRIPLINE_EVENTS");
    assert_eq!(subjects.results_stream(), "TRIPLINE_RESULTS");
    assert_eq!(subjects.dead_stream(), "TRIPLINE_DEAD");
    assert_eq!(subjects.all_events(), "tripline.events.>");
    assert_eq!(
        subjects.all_results(),
        ["tripline.results.>", "tripline.approvals.>", "tripline.fanouts.>"]
    );
    assert_eq!(
        subjects.fanout(
            &org,
            &name,
            FanoutOutcome::Failed,
            p("6a476cc7-fafe-5985-9fb8-67233a7efb39")
        ),
        "tripline.fanouts.acme.contain-miner.failed.6a476cc7-fafe-5985-9fb8-67233a7efb39"
    );
    assert_eq!(subjects.all_dead(), "tripline.dead.>");
    assert_eq!(subjects.all_jobs(), "tripline.jobs.>");
    assert_eq!(
        subjects.event(&org, &p("acme.alert.high")),
        "tripline.events.acme.acme.alert.high"
    );
    assert_eq!(
        subjects.result(&org, &name, Outcome::TimedOut, host()),
        "tripline.results.acme.contain-miner.timed_out.6a476cc7-fafe-5985-9fb8-67233a7efb39"
    );
    assert_eq!(
        subjects.job(&org, &name, JobState::AwaitingApproval, host()),
        "tripline.jobs.acme.contain-miner.awaiting_approval.6a476cc7-fafe-5985-9fb8-67233a7efb39"
    );
    assert_eq!(
        subjects.dead(Some(&org), "not_json"),
        "tripline.dead.acme.not_json"
    );
    assert_eq!(subjects.dead(None, "bad_subject"), "tripline.dead._.bad_subject");
    let (named, reason) = subjects.parse_dead("tripline.dead.acme.not_json").unwrap();
    assert_eq!((named.unwrap().as_str(), reason.as_str()), ("acme", "not_json"));
    let nameless = subjects.parse_dead("tripline.dead._.bad_subject").unwrap();
    assert_eq!(nameless, (None, "bad_subject".to_owned()));
    for wrong in [
        "tripline.dead.acme",
        "tripline.dead.acme.",
        "tripline.dead.acme.a.b",
        "other.dead.acme.a",
    ] {
        assert!(subjects.parse_dead(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        subjects.approval(&org, job()),
        "tripline.approvals.acme.b181f097-458c-596e-ab14-23d84ca1c696"
    );
    assert_eq!(subjects.all_api(), "tripline.api.>");
    assert_eq!(subjects.api("jobs", "submit"), "tripline.api.jobs.submit");
}

#[test]
fn filters_of_events_never_overlap_and_leave_nothing_out() {
    let subjects = Subjects::default();
    let (all, acme) = (None, Some(&p::<Org>("acme")));
    let filters = |org, patterns: &[&str]| {
        let patterns: Vec<EtypePattern> = patterns.iter().map(|text| p(text)).collect();
        subjects.event_filters(org, &patterns)
    };
    assert_eq!(filters(all, &[]), ["tripline.events.*.>"]);
    assert_eq!(filters(acme, &["NEW"]), ["tripline.events.acme.NEW"]);
    assert_eq!(
        filters(acme, &["a.b", "NEW", "a.*", "a.b", "a.c"]),
        ["tripline.events.acme.NEW", "tripline.events.acme.a.*"],
        "the wider one is enough"
    );
    assert_eq!(
        filters(acme, &["a.*", "*.b"]),
        ["tripline.events.acme.>"],
        "neither covers the other, and both cover a.b"
    );
}

#[test]
fn another_prefix_moves_subjects_and_streams() {
    let subjects: Subjects = p("soc-1.tripline");
    assert_eq!(subjects.events_stream(), "SOC-1_TRIPLINE_EVENTS");
    let subject = subjects.event(&Org::default_org(), &p("NEW"));
    assert_eq!(subject, "soc-1.tripline.events.default.NEW");
    assert_eq!(
        subjects.parse_event(&subject).unwrap(),
        (Org::default_org(), p("NEW"))
    );
    assert!(Subjects::default().parse_event(&subject).is_err());
    for prefix in [
        "", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "ä", "$SYS", "a\n",
    ] {
        assert!(prefix.parse::<Subjects>().is_err(), "{prefix:?}");
    }
    assert!("a".repeat(65).parse::<Subjects>().is_err());
}

#[test]
fn an_events_subject_names_org_and_etype() {
    let parse = |subject: &str| Subjects::default().parse_event(subject);
    let (org, etype) = parse("tripline.events.acme.acme.alert.high").unwrap();
    assert_eq!((org.as_str(), etype.as_str()), ("acme", "acme.alert.high"));
    let (_, etype) = parse("tripline.events.default.alarm-größe").unwrap();
    assert_eq!(etype.as_str(), "alarm-größe", "letters of any script");
}

#[test]
fn hostile_event_subjects_are_refused() {
    for subject in [
        "",
        "tripline",
        "tripline.events",
        "tripline.events.",
        "tripline.events.default",
        "tripline.events.default.",
        "tripline.events..x",
        "tripline.events.default..x",
        "tripline.events.default.x.",
        "tripline.events.default.x..y",
        "tripline.events.*.x",
        "tripline.events.default.*",
        "tripline.events.default.>",
        "tripline.events.default.a*b",
        "tripline.events.default.a b",
        "tripline.events.default.a\tb",
        "tripline.events.default.a\u{a0}b",
        "tripline.events.default.a\r\nPUB x",
        "tripline.events.default.a\u{0}",
        "tripline.events._.x",
        "tripline.events.-.x",
        "tripline.events.de fault.x",
        "tripline.events.größe.x",
        " tripline.events.default.x",
        "Tripline.events.default.x",
        "triplineevents.default.x",
        "tripline.results.default.x",
        "tripline.events.events",
        "other.tripline.events.default.x",
    ] {
        let error = Subjects::default().parse_event(subject).expect_err(subject);
        assert!(error.to_string().len() < 400);
    }
    let long = format!("tripline.events.default.{}", "a".repeat(201));
    assert!(Subjects::default().parse_event(&long).is_err());
    let longest = format!("tripline.events.default.{}", "a".repeat(200));
    assert!(Subjects::default().parse_event(&longest).is_ok());
}

#[test]
fn subjects_of_results_and_jobs_are_taken_apart() {
    let subjects = Subjects::default();
    let (org, name): (Org, Name) = (p("acme"), p("look"));
    let subject = subjects.result(&org, &name, Outcome::Failed, host());
    let expected = (org.clone(), name.clone(), Outcome::Failed, host());
    assert_eq!(subjects.parse_result(&subject).unwrap(), expected);
    let subject = subjects.job(&org, &name, JobState::Running, host());
    assert_eq!(
        subjects.parse_job(&subject).unwrap(),
        (org, name, JobState::Running, host())
    );
    let id = host();
    for subject in [
        format!("tripline.results.acme.look.running.{id}"),
        format!("tripline.results.acme.look.failed.{id}.x"),
        format!("tripline.results.acme.failed.{id}"),
        format!("tripline.results.acme.Look.failed.{id}"),
        format!("tripline.jobs.acme.look.failed.{id}"),
        "tripline.results.acme.look.failed.web-1".to_owned(),
        format!(
            "tripline.results.acme.look.failed.{}",
            id.to_string().to_uppercase()
        ),
    ] {
        assert!(subjects.parse_result(&subject).is_err(), "{subject}");
    }
    assert!(
        subjects
            .parse_job(&format!("tripline.jobs.acme.look.done.{id}"))
            .is_err()
    );
    let shouted = id.to_string().to_uppercase();
    let subject = format!("tripline.jobs.acme.look.running.{shouted}");
    assert!(subjects.parse_job(&subject).is_err(), "no subject has this id");
}

#[test]
fn patterns_cover_etypes_as_nats_does() {
    for (pattern, covered, others) in [
        (
            "NEW_PROCESS",
            vec!["NEW_PROCESS"],
            vec!["new_process", "NEW_PROCESS.x"],
        ),
        (
            "acme.*",
            vec!["acme.alert"],
            vec!["acme", "acme.alert.high", "acm.alert"],
        ),
        (
            "acme.*.high",
            vec!["acme.alert.high"],
            vec!["acme.high", "acme.a.b.high"],
        ),
        (
            "acme.>",
            vec!["acme.alert", "acme.alert.high"],
            vec!["acme", "acmee.x"],
        ),
        (">", vec!["a", "a.b"], vec![]),
        ("*", vec!["a"], vec!["a.b"]),
    ] {
        let parsed: EtypePattern = p(pattern);
        assert!(
            covered.iter().all(|etype| parsed.matches(&p::<Etype>(etype))),
            "{pattern}"
        );
        assert!(
            !others.iter().any(|etype| parsed.matches(&p::<Etype>(etype))),
            "{pattern}"
        );
        assert_eq!(parsed.is_literal(), !pattern.contains(['*', '>']));
    }
    for pattern in ["", ".", "a.", "a..b", "a.>.b", ">.a", "a*", "a>", "**", "a b"] {
        assert!(pattern.parse::<EtypePattern>().is_err(), "{pattern:?}");
    }
    assert!("a".repeat(201).parse::<EtypePattern>().is_err());
}

#[test]
fn names_orgs_and_hashes_take_what_they_say_and_nothing_else() {
    for good in ["a", "0", "contain-miner_2", &"a".repeat(64)] {
        assert!(good.parse::<Name>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "-a",
        "_a",
        "A",
        "a.b",
        "a b",
        "ä",
        "a*",
        "a/b",
        &"a".repeat(65),
    ] {
        assert!(bad.parse::<Name>().is_err(), "{bad}");
    }
    for good in ["default", "8cbe27f4-bfa1-4afb-ba19-138cd51389cd", "A_b"] {
        assert!(good.parse::<Org>().is_ok(), "{good}");
    }
    for bad in ["", "_", "-", "a.b", "a b", "ä", ">", &"a".repeat(65)] {
        assert!(bad.parse::<Org>().is_err(), "{bad}");
    }
    let error = "X".repeat(1_000_000).parse::<Name>().unwrap_err().to_string();
    assert!(
        error.len() < 200 && error.contains("is not a valid name"),
        "{error}"
    );
    let upper = crate::samples::HASH.to_uppercase();
    assert!(upper.parse::<tripline_protocol::Sha256>().is_err());
    let digest = tripline_protocol::Sha256::from_digest(&[0xab; 32]);
    assert_eq!(digest.as_str(), "ab".repeat(32));
    assert_eq!(p::<tripline_protocol::Sha256>(digest.as_str()), digest);
}

#[test]
fn a_chain_of_the_audit_is_told_by_its_subject_and_nothing_else_is_one() {
    let subjects = Subjects::default();
    for chain in ["acme", "_"] {
        assert_eq!(subjects.chain_of_audit(&subjects.audit(chain)), Some(chain));
    }
    for other in [
        "tripline.audit.",
        "tripline.audit.a.b",
        "tripline.audit.no org",
        "tripline.dead.acme",
        "other.audit.acme",
    ] {
        assert_eq!(subjects.chain_of_audit(other), None, "{other}");
    }
}
