//! The embedded broker's generated configuration.
//!
//! Deliberately not here: TLS and monitoring; the broker listens on loopback for this machine.

use crate::nats::connection::{ConnectionInfo, Login};
use crate::nats::link::inbox_prefix;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tripline_protocol::Subjects;

/// Most bytes the broker's store may grow to; more than all streams together.
pub const STORE_BYTES_MAX: u64 = 16 << 30;
/// How often the broker syncs its store: what a power loss of the machine may take.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(10);

/// Where things are.
pub(super) struct Places<'a> {
    /// The folder in which the broker makes its store, `jetstream`.
    pub(super) parent_of_store: &'a Path,
    /// The log file.
    pub(super) log: &'a Path,
    /// The folder in which the broker writes which port it took.
    pub(super) ports: &'a Path,
}

/// The configuration's text. Port 0 lets the broker choose.
pub(super) fn render(
    listen: SocketAddr,
    places: &Places<'_>,
    info: &ConnectionInfo,
    subjects: &Subjects,
) -> String {
    let port = match listen.port() {
        0 => "-1".to_owned(),
        port => port.to_string(),
    };
    let mut text = format!(
        "# Written by tripline at every start; changes are lost.\n\
         server_name: tripline\n\
         host: {host}\n\
         port: {port}\n\
         ports_file_dir: {ports}\n\
         max_payload: 1MB\n\
         write_deadline: \"10s\"\n\
         lame_duck_grace_period: \"1s\"\n\
         lame_duck_duration: \"30s\"\n\
         log_file: {log}\n\
         logfile_size_limit: 10MB\n\
         logfile_max_num: 3\n\
         jetstream {{\n  \
           store_dir: {store}\n  \
           max_memory_store: 64MB\n  \
           max_file_store: {STORE_BYTES_MAX}\n  \
           sync_interval: \"{sync}s\"\n\
         }}\n",
        host = quote(&listen.ip().to_string()),
        ports = quote(&places.ports.to_string_lossy()),
        log = quote(&places.log.to_string_lossy()),
        store = quote(&places.parent_of_store.to_string_lossy()),
        sync = SYNC_INTERVAL.as_secs(),
    );
    text.push_str("authorization {\n  users: [\n");
    text.push_str(&user(&info.server, &server_permissions(subjects)));
    text.push_str(&user(&info.publisher, &publisher_permissions(subjects)));
    text.push_str(&user(&info.subscriber, &subscriber_permissions(subjects)));
    text.push_str("  ]\n}\n");
    text
}

/// What a user may publish on and subscribe to; everything else is refused.
struct Permissions {
    publish: Vec<String>,
    subscribe: Vec<String>,
    /// Whether it may answer whoever asks it, wherever the answer is wanted.
    answers: bool,
}

fn server_permissions(subjects: &Subjects) -> Permissions {
    let own = format!("{}.>", subjects.prefix());
    let inbox = format!("{}.>", inbox_prefix(subjects.prefix()));
    Permissions {
        publish: vec![
            own.clone(),
            "$JS.API.>".into(),
            "$JS.ACK.>".into(),
            "_INBOX.>".into(),
        ],
        subscribe: vec![own, inbox, "$SRV.>".into()],
        answers: true,
    }
}

fn publisher_permissions(subjects: &Subjects) -> Permissions {
    Permissions {
        publish: vec![subjects.all_events(), api(subjects), "$SRV.>".into()],
        subscribe: vec!["_INBOX.>".into()],
        answers: false,
    }
}

fn subscriber_permissions(subjects: &Subjects) -> Permissions {
    let mut publish = vec![
        api(subjects),
        "$SRV.>".into(),
        "$JS.API.INFO".into(),
        "$JS.API.STREAM.NAMES".into(),
    ];
    for stream in [
        subjects.results_stream(),
        subjects.dead_stream(),
        subjects.audit_stream(),
    ] {
        publish.extend([
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.>"),
            format!("$JS.API.CONSUMER.*.{stream}"),
            format!("$JS.API.CONSUMER.*.{stream}.>"),
            format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.>"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.>"),
            format!("$JS.ACK.{stream}.>"),
        ]);
    }
    let [results, approvals, fanouts] = subjects.all_results();
    Permissions {
        publish,
        subscribe: vec![
            results,
            approvals,
            fanouts,
            subjects.all_jobs(),
            subjects.all_dead(),
            subjects.all_audit(),
            "_INBOX.>".into(),
        ],
        answers: false,
    }
}

/// All endpoints of the micro service; it asks for a token.
fn api(subjects: &Subjects) -> String {
    subjects.all_api()
}

fn user(login: &Login, permissions: &Permissions) -> String {
    let mut text = format!(
        "    {{\n      user: {}\n      password: {}\n      permissions: {{\n",
        quote(&login.user),
        quote(&login.password)
    );
    for (what, subjects) in [
        ("publish", &permissions.publish),
        ("subscribe", &permissions.subscribe),
    ] {
        let quoted: Vec<String> = subjects.iter().map(|subject| quote(subject)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "        {what}: {{ allow: [{}] }}", quoted.join(", "));
    }
    if permissions.answers {
        text.push_str("        allow_responses: true\n");
    }
    text.push_str("      }\n    }\n");
    text
}

/// A string of the configuration's language, which knows the escapes of JSON.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
