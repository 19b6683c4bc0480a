//! Errors of the client as failures of the command line, with its exit codes.

use super::output::clean;
use super::{Failure, client};
use tripline_client::{Error, FaultClass};

/// What a person is told, and the exit code.
pub(in crate::cli) fn failure(error: Error) -> Failure {
    let text = clean(&format!("{} ({})", error.text(), error.code()));
    match (error.status(), error.code()) {
        (Some(status), code) => client::of_status(status, code, text),
        (None, "unreachable" | "no_answer") => Failure::Unavailable(format!(
            "{text}; does the server run there? (tripline serve, --server, --data-dir)"
        )),
        (None, "untrusted_certificate") => Failure::Unavailable(format!(
            "{text}; name the server's CA with --ca, or the data directory it is in with --data-dir"
        )),
        _ => Failure::Failed(text),
    }
}

/// The same when the connection is made: then what is given is wrong, not what a host did.
pub(in crate::cli) fn of_connecting(error: Error) -> Failure {
    match (error.class(), error.status()) {
        (FaultClass::Unsupported, None) => Failure::Input(clean(error.text())),
        _ => failure(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::Fault;

    #[test]
    fn what_a_host_says_is_told_without_its_control_characters() {
        let fault = Fault::live_response("ENOENT", "No such file: /a\u{1b}[2J");
        let failure = failure(fault.into());
        assert_eq!(failure.code(), 1);
        assert_eq!(
            failure.lines(),
            ["tripline: No such file: /a\u{fffd}[2J (ENOENT)"]
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_not_reachable() {
        assert_eq!(failure(Fault::server("unreachable", "x").into()).code(), 3);
    }
}
