//! What to do next, by the code of an error.

use tripline_protocol::FaultClass;

/// One line, as an imperative.
pub(super) fn of(class: FaultClass, code: &str) -> &'static str {
    by_code(code).unwrap_or(match class {
        FaultClass::Timeout => "give it more time, or look why the host is slow",
        FaultClass::LiveResponse => "check the arguments against what is on the host",
        FaultClass::Unsupported => "correct the request; what the host offers is in Session::verbs",
        FaultClass::Server => "look into the server's log, and try again",
    })
}

fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "unreachable" => "check the address, and that the server runs there (tripline serve)",
        "no_answer" => "look into the server's log; a slow way to it needs Builder::request_timeout",
        "untrusted_certificate" => {
            "name the authority that signed it with Builder::ca_file; a self-made one is tls/ca.pem in the server's data directory"
        }
        "unauthenticated" => {
            "give a token that is in force; an administrator makes one with tripline token create --role operator"
        }
        "forbidden" => "use a token with that right; an administrator makes one with tripline token create",
        "not_found" => "check the name; Client::hosts and Session::commands list what is there",
        "ambiguous_host" => "name the host by its host id",
        "host_offline" => {
            "see that the host is up and its agent runs; or open the session with a longer wait"
        }
        "session_pending" => "wait until it is active",
        "given_up" => "open it again when it is wanted",
        "session_wait" => "wait longer with OpenSession::wait, or close sessions that are not needed",
        "session_ended" => "open another session",
        "too_many_commands" | "too_many_files" => "open another session",
        "command_ended" => "read its result",
        "command_timeout" => "give the command more time with its timeout method",
        "command_lost" => {
            "look at Session::commands and at the host before you run it again, or mark the command as idempotent"
        }
        "busy" => "try again later, with fewer sessions or commands at once",
        "unavailable" => "try again when the server is back",
        "unsupported_verb" => "see Session::verbs for what the host offers",
        "path_denied" | "file_too_large" => "ask whoever configures the host's agent",
        "artifact_not_found" => "upload the content again",
        "interrupted" => "look at the host before you run it again: nobody knows how far it came",
        "cancelled" => "run it again if it was not you who cancelled it",
        "bad_url" => "give the server's URL, such as https://tripline.example:7443",
        "plaintext" => {
            "use the server's https address, or Builder::allow_plaintext where the network is trusted"
        }
        "no_token" => "give one with Builder::token or Builder::token_file",
        "local_io" => "see that the path is right and the disk has room",
        "hash_mismatch" | "wrong_hash" | "transfer_cut" => "transfer the file again",
        "bad_answer" => {
            "see that client and server are of like versions, and that no proxy answers in its place"
        }
        "redirect" => "give the address that the server itself has",
        _ => return None,
    })
}
