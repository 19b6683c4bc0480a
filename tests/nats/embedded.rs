//! The embedded broker's life.

use crate::support::{TestBroker, client, eventually, is_alive, kill, options, root};
use async_nats::jetstream::{self, stream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tripline::nats::ConnectionInfo;
use tripline::nats::embedded::config::STORE_BYTES_MAX;
use tripline::nats::embedded::find::Search;
use tripline::nats::embedded::{EmbeddedBroker, Error};
use tripline::nats::streams::{STREAM_BYTES, ensure};
use tripline_protocol::Subjects;

#[tokio::test]
async fn it_starts_on_any_port_and_writes_down_how_to_reach_it() {
    let test = TestBroker::start().await;
    let info = ConnectionInfo::read(test.folder.path()).expect("a connection file");
    assert_eq!(&info, test.info());
    client(&info.url, &info.server, "_INBOX_tripline")
        .await
        .flush()
        .await
        .expect("an answer");
    let nats = test.folder.path().join("nats");
    for file in ["connection.json", "server.conf"] {
        let mode = std::fs::metadata(nats.join(file))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let pid = test.broker.pid().expect("a process");
    test.broker.stop().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn it_keeps_its_passwords_and_its_messages_over_a_restart() {
    let test = TestBroker::start().await;
    let before = test.info().clone();
    let edge_subjects = tripline_protocol::Subjects::default();
    let context = async_nats::jetstream::new(test.admin().await);
    tripline::nats::streams::ensure(&context, &edge_subjects, 1 << 30)
        .await
        .expect("streams");
    context
        .publish("tripline.events.default.x", "1".into())
        .await
        .unwrap()
        .await
        .expect("an ack");
    let TestBroker { folder, broker } = test;
    broker.stop().await;
    let broker = EmbeddedBroker::start(options(folder.path()))
        .await
        .expect("a second life");
    assert_eq!(broker.info().publisher, before.publisher);
    let test = TestBroker { folder, broker };
    let context = async_nats::jetstream::new(test.admin().await);
    let stream = context.get_stream("TRIPLINE_EVENTS").await.expect("the stream");
    assert_eq!(stream.cached_info().state.messages, 1);
}

#[tokio::test]
async fn it_is_started_again_on_the_same_port_after_kill_9() {
    let test = TestBroker::start().await;
    let client = test.admin().await;
    client.flush().await.expect("an answer");
    test.kill().await;
    let info = test.info().clone();
    let mut connected = false;
    while !connected {
        connected = crate::support::try_client(&info.url, &info.server)
            .await
            .is_some();
    }
    assert_eq!(
        ConnectionInfo::read(test.folder.path())
            .expect("a connection file")
            .url,
        info.url
    );
}

#[tokio::test]
async fn a_second_one_on_the_same_store_is_refused() {
    let test = TestBroker::start().await;
    let error = EmbeddedBroker::start(options(test.folder.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    client(&test.info().url, &test.info().server, "_INBOX_tripline").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.listen = taken.local_addr().expect("an address");
    let error = EmbeddedBroker::start(options).await.unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error}");
    assert!(error.to_string().contains("nats.embedded_listen"));
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_by_its_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = fake_server(folder.path(), "2.9.10");
    let mut options = options(folder.path());
    options.search = Search {
        named: Some(old),
        folders: Vec::new(),
    };
    let error = EmbeddedBroker::start(options).await.unwrap_err();
    assert!(error.to_string().contains("2.9.10"), "{error}");
    assert!(error.to_string().contains("2.11"), "{error}");
}

#[tokio::test]
async fn an_old_server_in_one_folder_does_not_hide_a_new_one_in_the_next() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fake_server(old.path(), "2.9.10");
    let expected = fake_server(new.path(), "2.11.0");
    let search = Search {
        named: None,
        folders: vec![old.path().to_owned(), new.path().to_owned()],
    };
    assert_eq!(search.find().unwrap(), expected);
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_quoted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.search = Search {
        named: Some(fake_server(folder.path(), "2.15.1")),
        folders: Vec::new(),
    };
    let error = EmbeddedBroker::start(options).await.unwrap_err();
    assert!(error.to_string().contains("no configuration today"), "{error}");
}

/// A program that tells a version and otherwise fails.
fn fake_server(folder: &Path, version: &str) -> std::path::PathBuf {
    let path = folder.join("nats-server");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo nats-server: v{version}; exit 0; fi\n\
         echo no configuration today >&2; exit 1\n"
    );
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// The parent is this test binary run again with only the test below; it is killed without a chance to clean up.
#[tokio::test]
async fn it_ends_with_a_server_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut parent = Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "embedded::parent_of_a_broker",
            "--ignored",
            "--nocapture",
        ])
        .env("TRIPLINE_TEST_FOLDER", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a parent");
    let file = folder.path().join("pid");
    eventually("the parent's broker runs", || {
        std::fs::read_to_string(&file).is_ok_and(|text| !text.is_empty())
    })
    .await;
    let broker: u32 = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert!(is_alive(broker));
    kill(parent.id());
    parent.wait().expect("its end");
    eventually("the broker ended too", || !is_alive(broker)).await;
    // Its lock went with it: the next server gets the store.
    let broker = EmbeddedBroker::start(options(folder.path()))
        .await
        .expect("a broker on the same store");
    broker.stop().await;
}

#[tokio::test]
#[ignore = "run as a process of its own by it_ends_with_a_server_that_is_killed"]
async fn parent_of_a_broker() {
    let folder = std::env::var("TRIPLINE_TEST_FOLDER").expect("a folder");
    let folder = Path::new(&folder);
    let broker = EmbeddedBroker::start(options(folder)).await.expect("a broker");
    let text = broker.pid().expect("a process").to_string();
    std::fs::write(folder.join("pid.partial"), text).expect("to write");
    std::fs::rename(folder.join("pid.partial"), folder.join("pid")).expect("to rename");
    std::future::pending::<()>().await;
}

#[test]
fn the_development_configuration_is_understood_by_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |passwords: &[&str]| {
        let mut command = Command::new(crate::support::server_binary());
        command
            .arg("-c")
            .arg(root().join("nats.conf"))
            .arg("-t")
            .current_dir(folder.path());
        for name in [
            "NATS_SERVER_PASSWORD",
            "NATS_PUBLISHER_PASSWORD",
            "NATS_SUBSCRIBER_PASSWORD",
        ] {
            command.env_remove(name);
        }
        for name in passwords {
            command.env(name, "secret");
        }
        command.output().expect("an answer")
    };
    let all = [
        "NATS_SERVER_PASSWORD",
        "NATS_PUBLISHER_PASSWORD",
        "NATS_SUBSCRIBER_PASSWORD",
    ];
    let output = check(&all);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        !check(&all[..2]).status.success(),
        "a missing password is an error"
    );
}

#[tokio::test]
async fn its_store_holds_so_much_and_that_is_more_than_all_streams_together() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    let sized = |name: &str, bytes: u64| stream::Config {
        name: name.into(),
        subjects: vec![format!("tripline.{name}")],
        max_bytes: bytes.try_into().expect("fits"),
        ..Default::default()
    };
    let error = context.create_stream(sized("MORE", STORE_BYTES_MAX + 1)).await;
    let error = error.expect_err("there is no room");
    assert!(error.to_string().contains("insufficient"), "{error}");
    ensure(&context, &Subjects::default(), STREAM_BYTES)
        .await
        .expect("room for all streams");
    let left = STORE_BYTES_MAX - STREAM_BYTES;
    let more = context.create_stream(sized("MORE", left + 1)).await;
    more.expect_err("there is no room");
    let rest = context.create_stream(sized("REST", left)).await;
    rest.expect("room to the byte");
}
