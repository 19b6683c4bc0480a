//! A host that is really isolated: nftables in the kernel, in network namespaces of the tests' own.
//!
//! Each test runs again as a process of its own in a new namespace, so that the machine's network is never touched.
//! `wires.py` gives it a wire to a second one with two addresses that answer: the server's and another. A machine that
//! cannot do this (no root, no nf_tables, no nft) says SKIPPED and why. `TRIPLINE_NFT` names the program.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

#[expect(dead_code, reason = "tests of whole programs use the rest")]
mod namespace;
mod scene;

use scene::{ANOTHER, SERVER};
use std::time::Duration;
use tripline_agent::isolation::Reinstated;
use tripline_agent::platform::isolation::Walls;
use tripline_protocol::limit::{ISOLATION_SPAN_MAX, ISOLATION_SPAN_MIN};
use tripline_protocol::verb::Isolate;
use tripline_protocol::{IsolationEnd, IsolationReport};

#[test]
fn only_the_server_stays_reachable_until_unisolating_undoes_it() {
    scene::run(
        "only_the_server_stays_reachable_until_unisolating_undoes_it",
        |scene| {
            let others = scene.make_a_foreign_table();
            let agent = scene.agent(1);
            let mut to_server = scene.connect(SERVER).expect("reachable");
            let mut to_another = scene.connect(ANOTHER).expect("reachable");
            agent
                .isolate(scene.command(), &Isolate::default())
                .expect("isolated");
            assert!(
                scene::answers(&mut to_server),
                "the agent's own connection goes on"
            );
            assert!(scene.connect(SERVER).is_some(), "and it can make another");
            assert!(!scene::answers(&mut to_another), "an open connection is cut");
            assert!(scene.connect(ANOTHER).is_none(), "and no new one can be made");
            assert!(
                !scene.can_send_to(ANOTHER) && !scene.can_send_to(SERVER),
                "nor by another protocol"
            );
            assert!(scene.has_loopback());
            assert_eq!(scene.foreign_table(), others);
            assert!(agent.unisolate().expect("ended").was_isolated);
            assert!(scene.connect(ANOTHER).is_some());
            assert!(scene.can_send_to(ANOTHER));
            assert_eq!(scene.foreign_table(), others);
            assert!(!scene.tables().contains("tripline_isolation"));
        },
    );
}

#[test]
fn what_is_allowed_stays_reachable_too() {
    scene::run("what_is_allowed_stays_reachable_too", |scene| {
        let agent = scene.agent(1);
        let args = Isolate {
            allow: vec!["192.0.2.2".parse().expect("an address")],
            ..Isolate::default()
        };
        agent.isolate(scene.command(), &args).expect("isolated");
        assert!(scene.connect(ANOTHER).is_some() && scene.can_send_to(ANOTHER));
        agent
            .isolate(scene.command(), &Isolate::default())
            .expect("renewed");
        assert!(
            scene.connect(ANOTHER).is_none(),
            "what was allowed before is forgotten"
        );
    });
}

#[test]
fn the_kernel_takes_the_longest_and_the_shortest() {
    scene::run("the_kernel_takes_the_longest_and_the_shortest", |scene| {
        let agent = scene.agent(1);
        for span in [ISOLATION_SPAN_MAX, ISOLATION_SPAN_MIN] {
            let args = Isolate {
                lasts: Some(span),
                ..Isolate::default()
            };
            agent.isolate(scene.command(), &args).expect("isolated");
            assert!(scene.connect(ANOTHER).is_none(), "for {span}");
        }
    });
}

#[test]
fn the_kernel_undoes_it_without_an_agent_and_renewing_extends_it() {
    scene::run(
        "the_kernel_undoes_it_without_an_agent_and_renewing_extends_it",
        |scene| {
            let network = scene.network();
            let walls = Walls {
                server: vec![SERVER],
                ..Walls::default()
            };
            network.raise(&walls, Duration::from_secs(2)).expect("raised");
            assert!(scene.connect(ANOTHER).is_none());
            network.raise(&walls, Duration::from_secs(3600)).expect("renewed");
            // The first time must have passed, or nothing would be shown; nobody tells when it has.
            std::thread::sleep(Duration::from_secs(3));
            assert!(scene.connect(ANOTHER).is_none(), "the first end counts no more");
            network.raise(&walls, Duration::from_secs(1)).expect("shortened");
            scene::wait_until("the kernel has undone it", || scene.connect(ANOTHER).is_some());
            assert!(network.stands().expect("an answer"), "an empty shell is left");
            network.lower().expect("cleared up");
            assert!(!network.stands().expect("an answer"));
            network.lower().expect("nothing to clear up is no error");
        },
    );
}

#[test]
fn it_survives_a_restart_and_a_boot_only_if_it_persists() {
    scene::run("it_survives_a_restart_and_a_boot_only_if_it_persists", |scene| {
        let persist = Isolate {
            persist: true,
            ..Isolate::default()
        };
        scene
            .agent(1)
            .isolate(scene.command(), &persist)
            .expect("isolated");
        assert!(scene.connect(ANOTHER).is_none(), "without an agent");
        let rules = scene.own_table();
        let agent = scene.agent(1);
        assert!(matches!(agent.report(), Some(IsolationReport::Isolated { .. })));
        assert_eq!(scene.own_table(), rules, "a restart changes nothing");
        drop(agent);
        scene.boot();
        assert!(
            scene.connect(ANOTHER).is_some(),
            "the kernel of the next boot knows nothing"
        );
        let agent = scene.agent(2);
        assert!(scene.connect(ANOTHER).is_none(), "the agent has reinstated it");
        assert!(scene.connect(SERVER).is_some());
        agent
            .isolate(scene.command(), &Isolate::default())
            .expect("renewed");
        drop(agent);
        scene.boot();
        let agent = scene.agent(3);
        assert!(scene.connect(ANOTHER).is_some(), "it was not to persist any more");
        let Some(IsolationReport::Ended { why, .. }) = agent.report() else {
            panic!("its end is told");
        };
        assert_eq!(why, IsolationEnd::Rebooted);
    });
}

#[test]
fn what_is_reinstated_before_the_agent_starts_is_kept_by_it_untouched() {
    scene::run(
        "what_is_reinstated_before_the_agent_starts_is_kept_by_it_untouched",
        |scene| {
            let persist = Isolate {
                persist: true,
                ..Isolate::default()
            };
            let agent = scene.agent(1);
            agent.isolate(scene.command(), &persist).expect("isolated");
            drop(agent);
            scene.boot();
            let reinstated = scene.isolation(2).reinstate().expect("isolated again");
            assert!(matches!(reinstated, Reinstated::Again(_)), "{reinstated:?}");
            assert!(scene.connect(ANOTHER).is_none() && scene.connect(SERVER).is_some());
            let rules = scene.own_table();
            assert_eq!(scene.isolation(2).reinstate().expect("kept"), Reinstated::Stands);
            let agent = scene.agent(2);
            assert_eq!(scene.own_table(), rules, "neither loads it anew");
            assert!(matches!(agent.report(), Some(IsolationReport::Isolated { .. })));
        },
    );
}
