//! Streams: made, checked, fitted to the broker's room.

use crate::support::{TestBroker, server_binary};
use async_nats::jetstream::{self, stream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tripline::nats::streams::{Error, STREAM_BYTES, ensure};
use tripline_protocol::Subjects;

#[tokio::test]
async fn missing_streams_are_made_with_their_limits_and_found_again() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    let subjects = Subjects::default();
    let first = ensure(&context, &subjects, STREAM_BYTES).await.expect("streams");
    assert!(first.events_created && first.warnings.is_empty());
    let second = ensure(&context, &subjects, STREAM_BYTES).await.expect("streams");
    assert!(
        !second.events_created && second.warnings.is_empty(),
        "{:?}",
        second.warnings
    );
    let config = second.events.config;
    assert_eq!(config.max_age, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.max_bytes, 8 << 30);
    assert_eq!(config.duplicate_window, Duration::from_secs(600));
    let results = context.get_stream("TRIPLINE_RESULTS").await.expect("results");
    let mut captured = results.cached_info().config.subjects.clone();
    captured.sort();
    assert_eq!(
        captured,
        ["tripline.approvals.>", "tripline.fanouts.>", "tripline.results.>"]
    );
}

#[tokio::test]
async fn a_stream_with_other_subjects_is_an_error_and_left_alone() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    let foreign = stream::Config {
        name: "TRIPLINE_EVENTS".into(),
        subjects: vec!["tripline.other.>".into()],
        ..Default::default()
    };
    context.create_stream(&foreign).await.expect("a stream");
    let error = ensure(&context, &Subjects::default(), STREAM_BYTES)
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("tripline.other.>"));
    let stream = context.get_stream("TRIPLINE_EVENTS").await.expect("the stream");
    assert_eq!(stream.cached_info().config.subjects, ["tripline.other.>"]);
}

#[tokio::test]
async fn limits_an_administrator_set_are_reported_and_kept() {
    let test = TestBroker::start().await;
    let context = jetstream::new(test.admin().await);
    let subjects = Subjects::default();
    let mut config = ensure(&context, &subjects, STREAM_BYTES)
        .await
        .expect("streams")
        .events
        .config;
    config.max_age = Duration::from_secs(3600);
    context.update_stream(&config).await.expect("a change");
    let checked = ensure(&context, &subjects, STREAM_BYTES).await.expect("streams");
    assert!(
        checked.warnings.iter().any(|warning| warning.contains("max_age")),
        "{:?}",
        checked.warnings
    );
    assert_eq!(checked.events.config.max_age, Duration::from_secs(3600));
}

#[tokio::test]
async fn a_broker_with_little_room_gets_smaller_streams_and_a_warning() {
    let small = SmallBroker::start("2GB").await;
    let context = jetstream::new(small.client.clone());
    let checked = ensure(&context, &Subjects::default(), STREAM_BYTES)
        .await
        .expect("streams");
    assert!(checked.events.config.max_bytes < 8 << 30);
    assert!(
        checked.warnings.iter().any(|warning| warning.contains("no room")),
        "{:?}",
        checked.warnings
    );
}

#[tokio::test]
async fn a_broker_with_no_room_is_a_clear_error() {
    let small = SmallBroker::start("10MB").await;
    let context = jetstream::new(small.client.clone());
    let error = ensure(&context, &Subjects::default(), STREAM_BYTES)
        .await
        .unwrap_err();
    assert!(
        error.to_string().starts_with("create stream TRIPLINE_EVENTS of"),
        "{error}"
    );
    assert!(
        std::error::Error::source(&error)
            .expect("a cause")
            .to_string()
            .contains("insufficient")
    );
}

/// A broker that may store only so much, without users.
struct SmallBroker {
    child: Child,
    client: async_nats::Client,
    _folder: tempfile::TempDir,
}

impl SmallBroker {
    async fn start(max_file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("small.conf");
        let text = format!(
            "host: 127.0.0.1\nport: -1\nports_file_dir: {folder:?}\n\
             jetstream {{ store_dir: {folder:?}, max_file_store: {max_file} }}\n",
            folder = folder.path().display().to_string(),
        );
        std::fs::write(&config, text).expect("a configuration");
        let child = Command::new(server_binary())
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("a broker");
        let ports = folder.path().join(format!("nats-server_{}.ports", child.id()));
        let mut url = None;
        crate::support::eventually("the broker tells its port", || {
            let text = std::fs::read(&ports).unwrap_or_default();
            let ports: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
            url = ports.and_then(|ports| Some(ports["nats"][0].as_str()?.to_owned()));
            url.is_some()
        })
        .await;
        let client = async_nats::connect(url.expect("a url"))
            .await
            .expect("a connection");
        Self {
            child,
            client,
            _folder: folder,
        }
    }
}

impl Drop for SmallBroker {
    fn drop(&mut self) {
        self.child.kill().expect("to kill");
        self.child.wait().expect("its end");
    }
}
