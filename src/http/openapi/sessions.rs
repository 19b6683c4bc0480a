//! Interactive sessions, their commands and files.

use super::super::sessions::{self, commands, files};
use super::Group;
use super::operation::{Operation, delete, get, post};
use tripline_protocol::api::{Page, Role};
use tripline_protocol::openapi::Outputs;
use tripline_protocol::session::{CommandView, OpenSession, RunCommand, SessionFile, SessionView};

pub(super) const GROUP: Group = Group {
    tag: "sessions",
    about: "Conversations with one host: who may see the org reads them, their owner and administrators act on them.",
    operations,
};

fn operations() -> Vec<Operation> {
    [life(), run(), content()].into_iter().flatten().collect()
}

fn life() -> Vec<Operation> {
    vec![
        get("/v1/sessions", "listSessions", "List sessions")
            .role(Role::Viewer)
            .query::<sessions::ListSessions>()
            .refused(404, &["not_found"])
            .refused(409, &["ambiguous_host"])
            .refused(422, &["bad_cursor"])
            .answers::<Page<SessionView>>(200, "A page of sessions, newest first."),
        post("/v1/sessions", "openSession", "Open a session")
            .says("It waits as `pending` for a slot and for its host.")
            .role(Role::Operator)
            .body::<OpenSession>()
            .once()
            .refused(404, &["not_found"])
            .refused(409, &["ambiguous_host"])
            .refused(422, &["bad_idle_timeout"])
            .makes::<SessionView>("The session, mostly still pending."),
        of_session(get("/v1/sessions/{session}", "showSession", "Show a session"))
            .says("With `wait`, it is answered when the session is not pending any more.")
            .role(Role::Viewer)
            .query::<sessions::Wait>()
            .answers::<SessionView>(200, "The session."),
        of_session(delete(
            "/v1/sessions/{session}",
            "closeSession",
            "Close a session",
        ))
        .says("What runs in it is cancelled.")
        .role(Role::Operator)
        .answers::<SessionView>(200, "The session."),
        of_session(post(
            "/v1/sessions/{session}/keepalive",
            "keepSessionAlive",
            "Give a sign of life",
        ))
        .says("Every other request of the session's owner is one too.")
        .role(Role::Operator)
        .refused(409, &["session_ended"])
        .answers::<SessionView>(200, "The session."),
    ]
}

fn run() -> Vec<Operation> {
    vec![
        of_session(get("/v1/sessions/{session}/commands", "listCommands", "Read a session's transcript"))
            .role(Role::Viewer)
            .query::<commands::ListByNumber>()
            .answers::<Page<CommandView>>(200, "A page of commands, in their order."),
        of_session(post("/v1/sessions/{session}/commands", "runCommand", "Run a command"))
            .says("Commands of a session run one after the other.")
            .role(Role::Operator)
            .body::<RunCommand>()
            .once()
            .refused(409, &["session_ended", "session_pending", "too_many_commands"])
            .refused(422, &["bad_argument", "bad_timeout", "bad_origin", "artifact_not_found"])
            .makes::<CommandView>("The command."),
        of_session(get("/v1/sessions/{session}/commands/{number}", "showCommand", "Show a command"))
            .says("With `wait`, it is answered when the command has ended.")
            .role(Role::Viewer)
            .query::<sessions::Wait>()
            .answers::<CommandView>(200, "The command."),
        of_session(delete("/v1/sessions/{session}/commands/{number}", "cancelCommand", "Cancel a command"))
            .says("With `wait`, it is answered when the host has confirmed it.")
            .role(Role::Operator)
            .query::<sessions::Wait>()
            .refused(409, &["command_ended", "session_pending"])
            .answers::<CommandView>(200, "The command."),
        of_session(get("/v1/sessions/{session}/commands/{number}/output", "showOutput", "Fetch what a verb returned"))
            .says(
                "The command itself has no output when it is larger than 128 KiB: then the output is a kept content, \
                 answered as `application/octet-stream`, whole or one range.",
            )
            .role(Role::Viewer)
            .answers_json_or_content::<Outputs>("What the verb returned."),
    ]
}

fn content() -> Vec<Operation> {
    let files = "/v1/sessions/{session}/files";
    vec![
        of_session(get(files, "listFiles", "List what a session transferred"))
            .role(Role::Viewer)
            .query::<files::ListFiles>()
            .answers::<Page<SessionFile>>(200, "A page of files, by number."),
        of_session(post(files, "addFile", "Upload a content to be put on the host"))
            .says("Put it there with the verb `put_file`, whose `artifact` is the answer's `sha256`. What breaks off leaves nothing.")
            .role(Role::Operator)
            .query::<files::AddFile>()
            .body_of_bytes("The content, as it is, streamed; bounded by `artifacts.bytes_max` and the disk.")
            .refused(409, &["session_ended", "too_many_files"])
            .refused(422, &["bad_file_name", "artifact_not_found"])
            .makes::<SessionFile>("The file."),
        of_session(delete("/v1/sessions/{session}/files/{number}", "deleteFile", "Delete a file of a session"))
            .says("Its content is let go, also after the session's end; that it was there stays in the record.")
            .role(Role::Operator)
            .answers::<SessionFile>(200, "The file."),
        of_session(get("/v1/sessions/{session}/files/{number}/content", "fetchFile", "Fetch the content of a file"))
            .role(Role::Viewer)
            .answers_content(),
        of_session(get("/v1/sessions/{session}/archive", "fetchArchive", "Fetch all files of a session"))
            .says("The zip is made while it is sent; it breaks off if a content is gone.")
            .role(Role::Viewer)
            .answers_with(200, "A zip of all files that were not deleted.", "application/zip", None),
    ]
}

fn of_session(operation: Operation) -> Operation {
    operation
        .refused(400, &["bad_parameter"])
        .refused(404, &["not_found"])
}
