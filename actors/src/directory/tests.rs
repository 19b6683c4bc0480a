//! What an agent may say of its host.

use super::enrol::check_hello;
use tripline_protocol::frame::Hello;
use uuid::Uuid;

fn hello() -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: "amelie".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: "Debian GNU/Linux 13".into(),
        addresses: vec!["10.0.0.1".into()],
        labels: vec!["dmz".into()],
        verbs: vec![],
        resumes: false,
        journal_id: Uuid::nil(),
        run_id: None,
        running: vec![],
        finished: vec![],
        isolation: None,
    }
}

#[test]
fn a_host_is_described_within_bounds() {
    assert_eq!(check_hello(&hello()), Ok(()));
    let long = |n: usize| "x".repeat(n);
    let wrong = [
        Hello {
            hostname: String::new(),
            ..hello()
        },
        Hello {
            hostname: long(256),
            ..hello()
        },
        Hello {
            hostname: "a\0b".into(),
            ..hello()
        },
        Hello {
            platform: "lin\u{1b}[2J".into(),
            ..hello()
        },
        Hello {
            os_version: "Debian\n2026-11-21 forged".into(),
            ..hello()
        },
        Hello {
            addresses: vec!["10.0.0.1\r".into()],
            ..hello()
        },
        Hello {
            platform: long(33),
            ..hello()
        },
        Hello {
            arch: long(33),
            ..hello()
        },
        Hello {
            os_version: long(257),
            ..hello()
        },
        Hello {
            agent_version: long(257),
            ..hello()
        },
        Hello {
            addresses: vec![long(65)],
            ..hello()
        },
        Hello {
            addresses: vec![String::new(); 65],
            ..hello()
        },
        Hello {
            labels: vec![long(65)],
            ..hello()
        },
        Hello {
            labels: vec!["a b".into()],
            ..hello()
        },
        Hello {
            labels: vec!["a".into(); 65],
            ..hello()
        },
    ];
    for hello in wrong {
        assert_eq!(check_hello(&hello).unwrap_err().code(), "bad_hello", "{hello:?}");
    }
}
