//! The Carbon Black dialect: which paths there are. Their bodies are that product's and in docs/carbon-black.md, as far
//! as they are ours to describe.

use super::Group;
use super::operation::{Operation, delete, get, post, put};
use super::problem::X_AUTH_TOKEN;

pub(super) const GROUP: Group = Group {
    tag: "compatibility: Carbon Black",
    about: "What scripts for the Live Response API of Carbon Black EDR (`cbapi`) ask; bodies and errors are that \
            product's. See docs/carbon-black.md; for new programs use `/v1`.",
    operations,
};

/// Begins the description of an operation.
type Begin = fn(&'static str, &str, &str) -> Operation;

/// Paths that read.
const READS: [(&str, &str, &str); 20] = [
    ("/api/info", "cbInfo", "Which version this claims to be"),
    (
        "/api/v1/storage/events/partition",
        "cbPartitions",
        "Partitions of events; there are none",
    ),
    ("/api/v3/group", "cbGroups3", "Groups of sensors"),
    ("/api/v3/group/{group}", "cbGroup3", "A group of sensors"),
    ("/api/v1/group", "cbGroups1", "Groups of sensors"),
    ("/api/v1/group/{group}", "cbGroup1", "A group of sensors"),
    ("/api/group", "cbGroups", "Groups of sensors"),
    ("/api/group/{group}", "cbGroup", "A group of sensors"),
    ("/api/v2/sensor", "cbSensorPage", "A page of sensors"),
    ("/api/v1/sensor", "cbSensors", "Sensors"),
    ("/api/v1/sensor/{sensor}", "cbSensor", "A sensor"),
    (
        "/api/v1/sensor/{sensor}/queued",
        "cbSensorQueued",
        "What a sensor holds back; nothing",
    ),
    (
        "/api/v1/sensor/{sensor}/activity",
        "cbSensorActivity",
        "When a sensor was active",
    ),
    (
        "/api/v1/sensor/{sensor}/resourcestatus",
        "cbSensorResources",
        "How a sensor's machine is",
    ),
    ("/api/v1/cblr/session", "cbSessions", "The caller's sessions"),
    ("/api/v1/cblr/session/{session}", "cbSession", "A session"),
    (
        "/api/v1/cblr/session/{session}/command",
        "cbCommands",
        "A session's commands",
    ),
    (
        "/api/v1/cblr/session/{session}/command/{command}",
        "cbCommand",
        "A command",
    ),
    (
        "/api/v1/cblr/session/{session}/file",
        "cbFiles",
        "A session's files",
    ),
    ("/api/v1/cblr/session/{session}/file/{file}", "cbFile", "A file"),
];

/// Paths that take JSON.
const CHANGES: [(Begin, &str, &str, &str); 6] = [
    (
        put,
        "/api/v1/sensor/{sensor}",
        "cbChangeSensor",
        "Isolate a sensor's host, or end that",
    ),
    (post, "/api/v1/cblr/session", "cbOpenSession", "Open a session"),
    (
        put,
        "/api/v1/cblr/session/{session}",
        "cbChangeSession",
        "Close a session",
    ),
    (
        post,
        "/api/v1/cblr/session/{session}/command",
        "cbRunCommand",
        "Run a command",
    ),
    (
        put,
        "/api/v1/cblr/session/{session}/command/{command}",
        "cbChangeCommand",
        "Cancel a command",
    ),
    (
        put,
        "/api/v1/cblr/session/{session}/file/{file}",
        "cbChangeFile",
        "Delete a file",
    ),
];

fn operations() -> Vec<Operation> {
    let reads = READS.map(|(path, id, summary)| of_viewer(get(path, id, summary)).answers_json());
    let changes = CHANGES.map(|(verb, path, id, summary)| {
        of_operator(verb(path, id, summary))
            .body_not_described("application/json")
            .answers_json()
    });
    reads.into_iter().chain(changes).chain(others()).collect()
}

fn others() -> Vec<Operation> {
    vec![
        of_operator(get(
            "/api/v1/cblr/session/{session}/keepalive",
            "cbKeepAlive",
            "Give a sign of life",
        ))
        .answers_json(),
        of_viewer(get(
            "/api/v1/cblr/session/{session}/archive",
            "cbArchive",
            "All files of a session",
        ))
        .answers_with(200, "A zip.", "application/zip", None),
        of_operator(post(
            "/api/v1/cblr/session/{session}/file",
            "cbAddFile",
            "Upload a content",
        ))
        .body_not_described("multipart/form-data")
        .answers_json(),
        of_operator(delete(
            "/api/v1/cblr/session/{session}/file/{file}",
            "cbDeleteFile",
            "Delete a file",
        ))
        .answers_json(),
        of_viewer(get(
            "/api/v1/cblr/session/{session}/file/{file}/content",
            "cbFileContent",
            "The content of a file",
        ))
        .answers_with(200, "The content.", "application/octet-stream", None),
    ]
}

fn of_viewer(operation: Operation) -> Operation {
    operation.secured(X_AUTH_TOKEN, &["viewer"])
}

fn of_operator(operation: Operation) -> Operation {
    operation.secured(X_AUTH_TOKEN, &["operator"])
}
